// What JavaScript calls. Pointers are addresses in the module's memory. A call that fails returns
// null or 0, and `pocketcnn_error` says why; engine.js is the other side.
#include <algorithm>
#include <exception>
#include <string>

#include "learner.h"

using pocketcnn::Buffer;
using pocketcnn::index_t;
using pocketcnn::wasm::Gradients;
using pocketcnn::wasm::Learner;
using pocketcnn::wasm::Network;

namespace {

std::string& last_error() {
    static std::string text;
    return text;
}

/// What `work` returns, or zero if it throws.
template <typename Work>
auto attempt(const Work& work) -> decltype(work()) {
    try {
        last_error().clear();
        return work();
    } catch (const std::exception& error) {
        last_error() = error.what();
        return {};
    }
}

}  // namespace

#define POCKETCNN_CALLED __attribute__((used, visibility("default")))

extern "C" {

POCKETCNN_CALLED const char* pocketcnn_error() {
    return last_error().c_str();
}

POCKETCNN_CALLED Network* pocketcnn_load(const char* path) {
    return attempt([&] { return new Network(Network::load(path)); });
}
POCKETCNN_CALLED void pocketcnn_unload(Network* network) {
    delete network;
}

POCKETCNN_CALLED int pocketcnn_values(const Network* network) {
    return static_cast<int>(network->graph().shapes.size());
}
/// Elements of value k for one image.
POCKETCNN_CALLED int pocketcnn_size(const Network* network, int k) {
    return static_cast<int>(pocketcnn::session::size_of(network->graph().shapes[k]));
}
/// 1 once every value of n images is computed.
POCKETCNN_CALLED int pocketcnn_forward(Network* network, const float* images, int n) {
    return attempt([&] {
        network->forward(images, n);
        return 1;
    });
}
POCKETCNN_CALLED const float* pocketcnn_value(const Network* network, int k) {
    return network->value(k);
}

/// The array's elements; null where there is none of that name.
POCKETCNN_CALLED float* pocketcnn_array(const Network* network, const char* name) {
    const auto found = network->arrays().find(name);
    return found == network->arrays().end() ? nullptr : found->second.data();
}
POCKETCNN_CALLED int pocketcnn_array_size(const Network* network, const char* name) {
    const auto found = network->arrays().find(name);
    return found == network->arrays().end() ? 0 : static_cast<int>(found->second.size());
}

POCKETCNN_CALLED Gradients* pocketcnn_gradients(Network* network) {
    return attempt([&] { return new Gradients(*network); });
}
POCKETCNN_CALLED void pocketcnn_forget_gradients(Gradients* gradients) {
    delete gradients;
}
/// The gradient of one score of one image by every value; 1 once that is computed.
POCKETCNN_CALLED int pocketcnn_differentiate(Gradients* gradients, const float* image, int score,
                                             int scores) {
    return attempt([&] {
        gradients->forward(image, 1);
        const Buffer<float> by_scores(scores);
        std::fill_n(by_scores.data(), scores, 0.0F);
        by_scores[score] = 1;
        gradients->backward(by_scores.data(), true);
        return 1;
    });
}
POCKETCNN_CALLED const float* pocketcnn_by_value(const Gradients* gradients, int k) {
    return gradients->by_value(k);
}

POCKETCNN_CALLED Learner* pocketcnn_learner(Network* network, const char* optimizer,
                                            unsigned seed) {
    return attempt([&] { return new Learner(*network, optimizer, seed); });
}
POCKETCNN_CALLED void pocketcnn_dismiss(Learner* learner) {
    delete learner;
}
/// 1 once the update is made; result[0] is the loss, result[1] the hits.
POCKETCNN_CALLED int pocketcnn_learn(Learner* learner, const float* images, const int* labels,
                                     int n, double rate, double* result) {
    return attempt([&] {
        const Buffer<index_t> wide(n);
        std::copy_n(labels, n, wide.data());
        const auto [loss, hits] = learner->learn(images, wide.data(), n, rate);
        result[0] = loss;
        result[1] = hits;
        return 1;
    });
}
}
