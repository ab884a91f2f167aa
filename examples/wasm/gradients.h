// Gradients of a network whose layers follow each other, by the library's operations.
#pragma once

#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "network.h"

namespace pocketcnn::wasm {

/// An array that is trained, and its gradient.
struct Parameter {
    std::span<float> value;
    Buffer<float> gradient;
};

class Gradients {
  public:
    /// Throws std::invalid_argument unless the layers follow each other and each is a convolution,
    /// a pooling, a linear layer, an activation, Dropout or Flatten.
    explicit Gradients(Network& network);

    std::vector<Parameter>& parameters() { return parameters_; }

    /// The scores of n images, with the masks of Dropout.
    const float* forward_in_training(const float* images, index_t n, std::mt19937& random);
    /// The same as in inference.
    const float* forward(const float* images, index_t n);
    /// From the gradient by the scores to those of all parameters; and that of the images too,
    /// which training has no use for.
    void backward(const float* by_scores, bool to_images);
    /// The gradient by value k after backward.
    const float* by_value(std::size_t k) const { return by_values_[k].data(); }

  private:
    /// n samples: y = f(x) has been computed, and dy is known. dx may be null.
    struct Call {
        index_t n;
        const float *x, *y, *dy;
        float* dx;
    };
    using Backward = std::function<void(const Call&)>;

    Backward backward_of(std::size_t k, const std::string& name, const std::string& kind);
    Backward of_convolution(const session::Convolution<float>& part, const std::string& name);
    Backward of_linear(index_t in, index_t out, const std::string& name);
    Backward of_dropout(std::size_t k);
    /// Where the gradient of an array goes; null where the network has no such array.
    float* gradient_of(const std::string& name);
    void drop(std::size_t k, std::mt19937& random);

    Network& network_;
    std::vector<Parameter> parameters_;
    std::vector<Backward> backward_;
    std::vector<double> dropped_;       // the probability of each layer, 0 for others
    std::vector<Buffer<float>> masks_;  // of the last forward_in_training
    bool in_training_ = false;
    std::vector<Buffer<float>> by_values_;
};

}  // namespace pocketcnn::wasm
