// The gradients of a convolution's weights and bias if few of its results have a gradient: before a
// max pooling of 2x2, one in four. Only these are multiplied, each with the patch that its window
// saw.
#pragma once

#include <cstdint>

#include "conv/call.h"

namespace pocketcnn::conv {

/// Gradients with respect to the result of a max pooling of a convolution's results.
template <typename T>
struct PooledGrad {
    Shape4 shape;
    Window2d window;  ///< of the pooling
    const T* dy;
    const T* rectified;          ///< output of a ReLU after the pooling; null if there is none
    const std::int32_t* argmax;  ///< as max_pool2d leaves it
};

/// Why this algorithm cannot compute the gradient, or null.
const char* sparse_obstacle(const Problem& problem, const Window2d* pooling);
/// Whether it is faster than the gradient from all results; `pooled` is the pooling's output shape.
bool sparse_pays(const Problem& problem, const Shape4& pooled);

/// dweight and dbias, which must not be null, from call.pooled. Throws std::invalid_argument if an
/// index of argmax lies outside the rows of its window.
template <typename T>
void sparse_weight_grad(const WeightGradCall<T>& call);

}  // namespace pocketcnn::conv
