// Convolution with pixels in the lanes of the vectors, straight from a padded copy of the image,
// without packing a column matrix: for few channels or filters, and for groups of few.
#pragma once

#include "conv/problem.h"

namespace pocketcnn::conv::direct {

/// Whether the copy of a block of the image stays small: not where a window is dilated far beyond
/// its kernel.
bool fits(const Problem& problem);

/// Whether this way is the faster one for a pass, input_grad being the forward pass of another
/// convolution.
bool suits(const Problem& problem, ConvPass pass);

/// y = conv2d(x) + bias; bias may be null.
template <typename T>
void forward(const Problem& problem, const T* x, const T* weight, const T* bias, T* y,
             const OutputGrid& grid);

/// Also the sum of each plane of dy, where plane_sums (images, filters of all groups) is not null.
/// What depthwise::fits is left to that.
template <typename T>
void weight_grad(const Problem& problem, const T* dy, const T* x, T* dweight, double* plane_sums);

}  // namespace pocketcnn::conv::direct
