// Which layers are computed as one, by the rule of python/pocketcnn/network/fusion.py.
#pragma once

#include "session/graph.h"

namespace pocketcnn::session {

/// One or more layers, computed as one.
template <typename T>
struct Step {
    std::vector<std::size_t> sources;  ///< values, as Graph numbers them
    std::size_t result;
    index_t size;                    ///< elements of a sample of the result
    Run<T> run;                      ///< as that of a layer
    std::vector<std::size_t> spent;  ///< values that no later step takes
};

/// How a normalisation beside a convolution is computed: as Python's `predict` does, to the same
/// bits, or as other weights of the convolution.
enum class Norms { exact, folded };

/// The steps of a network, each after those that it takes from.
template <typename T>
std::vector<Step<T>> fuse(const Graph<T>& graph, Norms norms);

}  // namespace pocketcnn::session
