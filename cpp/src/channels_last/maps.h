// What is done with maps, channel by channel.
#pragma once

#include <pocketcnn/types.h>
#include <pocketcnn/window2d.h>

#include "channels_last/filters.h"

namespace pocketcnn::channels_last {

/// The channels of each pixel together.
template <typename T>
void from_planes(ImageView<const T> x, T* y);

/// The same back.
template <typename T>
void to_planes(const T* x, ImageView<T> y);

/// Max pooling of n images by a window that lies inside the padded image.
template <typename T>
void max_pool(const T* x, const Shape4& image, index_t n, const Window2d& window, T* y);

/// y[n][c] = the mean of each channel of n images.
template <typename T>
void average(const T* x, const Shape4& shape, T* y);

/// y = x * numbers[n][c], for every channel of n images.
template <typename T>
void scale(const T* x, const Shape4& shape, const T* numbers, T* y);

}  // namespace pocketcnn::channels_last
