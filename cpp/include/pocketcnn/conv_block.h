// Convolution, ReLU and optional max pooling in one operation, as in most layers of most networks;
// in inference also with batch normalisation after the convolution. A few images at a time pass
// through all steps while they are in cache, so the feature maps between the steps never go to
// memory. Values are those of the separate steps; gradients of weights are added in another order.
#pragma once

#include <pocketcnn/batch_norm.h>
#include <pocketcnn/conv2d.h>
#include <pocketcnn/pool2d.h>

#include <cstdint>
#include <optional>

namespace pocketcnn {

struct ConvBlock {
    Conv2d conv;
    std::optional<Pool2d> pool;
    /// Whether x came out of a ReLU and dx is to be the gradient of what went in, and whether dy is
    /// already the gradient of what went into this block's ReLU. Between two blocks either both
    /// hold or neither: the second does the ReLU's part while dx is in cache.
    bool dx_before_relu = false;
    bool dy_before_relu = false;
};

/// Throws std::invalid_argument where the sizes do not fit.
Shape4 conv_block_output_shape(const Shape4& x, const ConvBlock& block);

/// Batch normalisation by statistics that are known.
template <typename T>
struct KnownNorm {
    BatchNorm<T> norm;
    ChannelStatistics statistics;
};

/// y = max_pool2d(relu(conv2d(x) + bias)); bias may be null. argmax is null without pooling, else
/// as in max_pool2d of what comes before the ReLU. Overwrites both. Where `norm` is given, it takes
/// the place of the ReLU, which it may include.
template <typename T>
void conv_block(ImageView<const T> x, const T* weight, const T* bias, const ConvBlock& block,
                ImageView<T> y, std::int32_t* argmax, const KnownNorm<T>* norm = nullptr);

/// Where the gradients go; dx may be null. All are overwritten.
template <typename T>
struct ConvBlockGrads {
    T* dx;
    T* dweight;
    T* dbias;
};

/// The gradients from dy, with y and argmax as conv_block left them.
template <typename T>
void conv_block_backward(ImageView<const T> dy, const T* y, const std::int32_t* argmax,
                         ImageView<const T> x, const T* weight, const ConvBlock& block,
                         const ConvBlockGrads<T>& grads);

}  // namespace pocketcnn
