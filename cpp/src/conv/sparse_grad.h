// The gradients of a convolution's weights and bias where few of its results have a gradient:
// behind a max pooling of 2x2, one in four. Only these are multiplied, each with the patch that it
// saw.
#pragma once

#include <cstdint>

#include "conv/call.h"

namespace pocketcnn::conv {

/// Gradients of what a max pooling made of a convolution's results.
template <typename T>
struct PooledGrad {
    Shape4 shape;
    Window2d window;  ///< of the pooling
    const T* dy;
    const T* rectified;          ///< what a ReLU behind the pooling gave; null where there is none
    const std::int32_t* argmax;  ///< as max_pool2d leaves it
};

/// Why the gradient is not computed this way, or null.
const char* sparse_obstacle(const Problem& problem, const Window2d* pooling);
/// Whether it is faster than the gradient from all results, which were pooled to this shape.
bool sparse_pays(const Problem& problem, const Shape4& pooled);

/// dweight and dbias, which is not null, from call.pooled. Throws std::invalid_argument where an
/// index of argmax lies outside the rows of its window.
template <typename T>
void sparse_weight_grad(const WeightGradCall<T>& call);

}  // namespace pocketcnn::conv
