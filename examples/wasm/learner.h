// Training, one batch at a time.
#pragma once

#include <pocketcnn/optimizer.h>

#include "gradients.h"

namespace pocketcnn::wasm {

/// What a batch showed before the update.
struct Learned {
    double loss;  ///< mean cross-entropy
    int hits;     ///< images whose largest score is that of their label
};

class Learner {
  public:
    /// The optimiser by its name on the page: "SGD", "AdaGrad", "RMSprop", "Adam" or "AdamW".
    /// Throws as Gradients, and for another name.
    Learner(Network& network, const std::string& optimizer, std::uint32_t seed);

    Learned learn(const float* images, const index_t* labels, index_t n, double rate);

  private:
    /// What an optimiser keeps of an array.
    struct Memory {
        Buffer<float> first, second;
    };
    UpdateStep<float> step_of(Parameter& parameter, const Memory& memory, double rate) const;

    Gradients gradients_;
    index_t classes_;
    std::string optimizer_;
    std::mt19937 random_;
    std::vector<Memory> memories_;
    index_t steps_ = 0;
};

}  // namespace pocketcnn::wasm
