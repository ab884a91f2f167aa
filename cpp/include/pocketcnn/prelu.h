// The rectifier whose slope for negative numbers is learned: He, Zhang, Ren, Sun, "Delving Deep
// into Rectifiers: Surpassing Human-Level Performance on ImageNet Classification", ICCV 2015.
#pragma once

#include <pocketcnn/batch_norm.h>

namespace pocketcnn {

/// y = x, or slopes[channel] * x where x <= 0. One channel of one plane is a slope for all.
template <typename T>
void prelu(const T* x, const ChannelShape& shape, const T* slopes, T* y);

/// dx = dy, or slopes[channel] * dy where x <= 0; dslopes is the sum of dy * x there, and where x
/// is NaN.
template <typename T>
void prelu_backward(const T* dy, const T* x, const ChannelShape& shape, const T* slopes, T* dx,
                    T* dslopes);

}  // namespace pocketcnn
