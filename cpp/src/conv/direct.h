// Convolution of few channels or few filters, and of groups of few: pixels in the lanes of the
// vectors, straight from a padded copy of the image, without packing a column matrix.
#pragma once

#include "conv/problem.h"

namespace pocketcnn::conv::direct {

/// Whether the padded copy of a small block of the image stays small: a window that is dilated far
/// beyond its kernel sees too much.
bool fits(const Problem& problem);

/// y = conv2d(x) + bias; bias may be null.
template <typename T>
void forward(const Problem& problem, const T* x, const T* weight, const T* bias, T* y,
             const OutputGrid& grid);

template <typename T>
void weight_grad(const Problem& problem, const T* dy, const T* x, T* dweight);

}  // namespace pocketcnn::conv::direct
