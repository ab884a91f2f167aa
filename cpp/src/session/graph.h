// A network as an architecture describes it: layers, and what each of them takes.
#pragma once

#include "session/layer.h"
#include "session/value.h"

namespace pocketcnn::session {

/// A layer in its place. Value 0 is the network's input, value k + 1 is what node k gives.
template <typename T>
struct Node {
    Layer<T> layer;
    std::vector<std::size_t> sources;
};

/// Nodes, each after those that it takes from; the last gives the network's output. A Residual is
/// the nodes of its branches and a sum.
template <typename T>
struct Graph {
    std::vector<Node<T>> nodes;
    std::vector<Shape> shapes;  ///< of the values
    index_t largest = 0;        ///< elements of the largest value that is not inside a Residual
};

/// Makes the layers that an architecture describes. Throws std::invalid_argument unless they fit
/// each other and the tensors, of which none may be left.
template <typename T>
Graph<T> build_graph(const Value& architecture, Tensors<T>& tensors);

}  // namespace pocketcnn::session
