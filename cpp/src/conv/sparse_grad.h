// The gradient of a convolution's weights where few of its results have a gradient: behind a max
// pooling of 2x2, one in four. Only these are multiplied, each with the patch that it saw.
#pragma once

#include "conv/problem.h"

namespace pocketcnn::conv {

/// Whether this is faster than the gradient from all results, `values` of which, in each plane,
/// have a gradient.
bool sparse_grad_suits(const Problem& problem, index_t values);

/// dweight, overwritten, from dy (n, f, count): element i of a plane is the gradient of the result
/// places[i], an index into the plane of y; several may be gradients of one. Throws
/// std::invalid_argument where a place is outside.
template <typename T>
void sparse_weight_grad(const Problem& problem, index_t count, const T* dy, const index_t* places,
                        const T* x, T* dweight);

}  // namespace pocketcnn::conv
