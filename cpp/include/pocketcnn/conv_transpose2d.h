// Transposed convolution: a convolution's gradient of its input, as an operation of its own. Each
// pixel of x is a factor of the kernel, which is added into y around the place of the pixel.
#pragma once

#include <pocketcnn/conv2d.h>
#include <pocketcnn/types.h>

namespace pocketcnn {

/// y[f] = bias[f] + the gradient of sum(x * conv2d(y)) with respect to y, where `conv` is the
/// convolution that makes maps of x's shape of maps of y's: its filters are x's channels, and
/// weight is (x.c, y.c / groups, kh, kw). bias may be null. Overwrites y. Throws
/// std::invalid_argument if the shapes do not fit each other.
template <typename T>
void conv_transpose2d(ImageView<const T> x, const T* weight, const T* bias, const Conv2d& conv,
                      ImageView<T> y);

/// dweight and dbias, from dy, of y's shape, and x. The gradient of x is conv2d(dy).
template <typename T>
void conv_transpose2d_backward_weight(ImageView<const T> dy, ImageView<const T> x,
                                      const Conv2d& conv, T* dweight, T* dbias);

}  // namespace pocketcnn
