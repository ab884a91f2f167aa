// Convolutions that see all channels.
#pragma once

#include <pocketcnn/types.h>
#include <pocketcnn/window2d.h>

#include <memory>
#include <vector>

#include "channels_last/filters.h"
#include "kernels/normalization.h"

namespace pocketcnn::channels_last {

/// y = a 1x1 convolution of x, + addend before the activation; the addend may be null.
template <typename T>
void pointwise(const Filters<T>& filters, const T* x, index_t pixels, const T* addend, T* y);

/// A convolution by any window.
template <typename T>
struct Convolution {
    Shape4 image;  ///< one, of what goes in
    Window2d window;
    std::shared_ptr<const Filters<T>> filters;  ///< of weights (filters, kh, kw, channels)
    bool from_planes = false;                   ///< how x lies
    std::vector<ChannelNorm<T>> units = {};     ///< of each channel of planes; may be empty
};

/// Of weights (filters, channels, kh, kw).
template <typename T>
std::shared_ptr<const Filters<T>> filters_of(const T* weight, const T* bias, const Shape4& shape,
                                             const Epilogue& epilogue);

/// y = the convolution of n images, + addend before the activation; the addend may be null.
template <typename T>
void convolve(const Convolution<T>& layer, const T* x, index_t n, const T* addend, T* y);

}  // namespace pocketcnn::channels_last
