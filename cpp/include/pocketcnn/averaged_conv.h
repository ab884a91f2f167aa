// Convolution, activation and average pooling in one operation, as the first convolutional networks
// had them: a few images at a time pass through all steps while they are in cache.
#pragma once

#include <pocketcnn/activation.h>
#include <pocketcnn/conv_block.h>

namespace pocketcnn {

struct AveragedConv {
    Conv2d conv;
    Activation activation;
    Pool2d pool;
    bool count_include_pad;
};

/// maps = f(conv2d(x) + bias), y = avg_pool2d(maps); bias may be null. Overwrites both; the
/// gradient needs the maps.
template <typename T>
void averaged_conv(ImageView<const T> x, const T* weight, const T* bias, const AveragedConv& block,
                   ImageView<T> maps, ImageView<T> y);

/// The gradients from dy.
template <typename T>
void averaged_conv_backward(ImageView<const T> dy, const T* maps, ImageView<const T> x,
                            const T* weight, const AveragedConv& block,
                            const ConvBlockGrads<T>& grads);

}  // namespace pocketcnn
