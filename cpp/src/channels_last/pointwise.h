// Operations on whole maps in the layout of filters.h.
#pragma once

#include <pocketcnn/types.h>

#include "channels_last/filters.h"

namespace pocketcnn::channels_last {

/// y = a 1x1 convolution of x, + addend before the activation; the addend may be null.
template <typename T>
void pointwise(const Filters<T>& filters, const T* x, index_t pixels, const T* addend, T* y);

/// The channels of each pixel together.
template <typename T>
void from_planes(ImageView<const T> x, T* y);

/// The same back.
template <typename T>
void to_planes(const T* x, ImageView<T> y);

/// y = x * numbers[n][c], for every channel of n images.
template <typename T>
void scale(const T* x, const Shape4& shape, const T* numbers, T* y);

/// y[n][c] = the mean of each channel of n images.
template <typename T>
void average(const T* x, const Shape4& shape, T* y);

}  // namespace pocketcnn::channels_last
