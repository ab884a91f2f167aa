// Which layers are computed as one, by the rule of python/pocketcnn/network/fusion.py.
#pragma once

#include "session/graph.h"

namespace pocketcnn::session {

/// A convolution and what follows it, as one operation.
template <typename T>
struct Chain {
    Convolution<T> conv;
    std::optional<Normalization<T>> norm = {};
    std::optional<Function> activation = {};
    std::optional<BlockPool> pool = {};
};

/// One or more layers, computed as one.
template <typename T>
struct Step {
    std::vector<std::size_t> sources;  ///< values, as Graph numbers them
    std::size_t result;
    index_t size;  ///< elements of a sample of the result
    Run<T> run;    ///< as that of a layer
    /// What it computes, where another way of computing it is known.
    std::variant<std::monostate, Chain<T>, Function, BlockPool, Sum, GlobalAverage, Gate> part = {};
};

/// Steps, each after those that it takes from. Value 0 is the network's input.
template <typename T>
struct Plan {
    std::vector<Step<T>> steps;
    std::size_t values;
    std::size_t output;
};

/// How a normalisation beside a convolution is computed: as Python's `predict` does, to the same
/// bits, or as other weights of the convolution.
enum class Norms { exact, folded };

template <typename T>
Plan<T> fuse(const Graph<T>& graph, Norms norms);

}  // namespace pocketcnn::session
