#include "learner.h"

#include <pocketcnn/cross_entropy.h>

#include <algorithm>
#include <array>
#include <stdexcept>

namespace pocketcnn::wasm {

Learner::Learner(Network& network, const std::string& optimizer, std::uint32_t seed)
    : gradients_(network),
      classes_(session::size_of(network.graph().shapes.back())),
      optimizer_(optimizer),
      random_(seed) {
    constexpr std::array known = {"SGD", "AdaGrad", "RMSprop", "Adam", "AdamW"};
    if (std::find(known.begin(), known.end(), optimizer) == known.end()) {
        throw std::invalid_argument("optimizer is " + session::in_quotes(optimizer) +
                                    ", but must be SGD, AdaGrad, RMSprop, Adam or AdamW");
    }
    for (const Parameter& parameter : gradients_.parameters()) {
        const auto size = static_cast<index_t>(parameter.value.size());
        Memory memory = {Buffer<float>(size), Buffer<float>(size)};
        std::fill_n(memory.first.data(), size, 0.0F);
        std::fill_n(memory.second.data(), size, 0.0F);
        memories_.push_back(std::move(memory));
    }
}

Learned Learner::learn(const float* images, const index_t* labels, index_t n, double rate) {
    const float* scores = gradients_.forward_in_training(images, n, random_);
    const Buffer<float> by_scores(n * classes_);
    Learned learned = {};
    learned.loss = cross_entropy<float>({scores, n, classes_}, labels, 0, by_scores.data());
    for (index_t i = 0; i < n; ++i) {
        const float* row = scores + i * classes_;
        learned.hits += std::max_element(row, row + classes_) - row == labels[i] ? 1 : 0;
    }
    gradients_.backward(by_scores.data(), false);
    ++steps_;
    std::vector<Parameter>& parameters = gradients_.parameters();
    for (std::size_t i = 0; i < parameters.size(); ++i) {
        update(step_of(parameters[i], memories_[i], rate), parameters[i].gradient.data(),
               static_cast<index_t>(parameters[i].value.size()));
    }
    return learned;
}

/// With the settings that the page's server has.
UpdateStep<float> Learner::step_of(Parameter& parameter, const Memory& memory, double rate) const {
    float* value = parameter.value.data();
    float *first = memory.first.data(), *second = memory.second.data();
    if (optimizer_ == "SGD") return sgd_step<float>({.lr = rate, .momentum = 0.9}, first, value);
    if (optimizer_ == "AdaGrad") return adagrad_step<float>({.lr = rate}, first, value);
    if (optimizer_ == "RMSprop") return rmsprop_step<float>({.lr = rate}, first, value);
    Adam adam = {.lr = rate, .step = steps_};
    if (optimizer_ == "AdamW") {
        adam.weight_decay = 0.01;
        adam.decoupled = true;
    }
    return adam_step<float>(adam, first, second, value);
}

}  // namespace pocketcnn::wasm
