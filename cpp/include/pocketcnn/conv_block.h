// A convolution with the steps that follow it in most networks, each optional, in one operation:
// batch normalisation (in inference), an activation, a pooling. A few images at a time pass through
// all steps while they are in cache, so the feature maps between the steps never go to memory.
// Values are those of the separate steps; gradients of weights are added in another order.
#pragma once

#include <pocketcnn/activation.h>
#include <pocketcnn/conv2d.h>
#include <pocketcnn/pool2d.h>

#include <cstdint>
#include <optional>

namespace pocketcnn {

enum class PoolKind { max, average };

struct BlockPool {
    Pool2d pool;
    PoolKind kind = PoolKind::max;
    bool count_include_pad = true;  ///< of an average, as in avg_pool2d
};

struct ConvBlock {
    Conv2d conv;
    std::optional<Activation> activation;
    std::optional<BlockPool> pool;
    double parameter = 0;  ///< of the activation
    /// Whether x came out of a ReLU and dx is to be the gradient of what went in, and whether dy is
    /// already the gradient of what went into this block's ReLU. Between two blocks either both
    /// hold or neither: the second does the ReLU's part while dx is in cache.
    bool dx_before_relu = false;
    bool dy_before_relu = false;

    bool pools(PoolKind kind) const { return pool && pool->kind == kind; }
    /// Whether y is zero exactly where the ReLU made it so.
    bool ends_in_relu() const {
        return activation == Activation::relu && !pools(PoolKind::average);
    }
    /// Whether the gradient needs what the activation gave, of which y does not tell enough.
    bool keeps_maps() const {
        return activation && pool && !ends_in_relu() && !gradient_takes_input(*activation);
    }
};

/// Throws std::invalid_argument where the sizes do not fit.
Shape4 conv_block_output_shape(const Shape4& x, const ConvBlock& block);

/// What a block writes.
template <typename T>
struct ConvBlockOutput {
    ImageView<T> y;
    std::int32_t* argmax = nullptr;  ///< of max pooling, as in max_pool2d; before a ReLU
    T* maps = nullptr;               ///< what is pooled; null where nobody needs it
};

/// y = pool(f(norm(conv2d(units(x)) + bias))); bias, norm, kept and units, which normalises as in
/// conv2d, may be null. Overwrites the output.
template <typename T>
void conv_block(ImageView<const T> x, const T* weight, const T* bias, const ConvBlock& block,
                const ConvBlockOutput<T>& output, const KnownNorm<T>* norm = nullptr,
                const KeptWeights<T>* kept = nullptr, const KnownNorm<T>* units = nullptr);

/// What a block without normalisation left.
template <typename T>
struct ConvBlockKept {
    const T* activated = nullptr;  ///< y, or the maps where block.keeps_maps()
    const std::int32_t* argmax = nullptr;
};

/// The gradients from dy, of a block whose activation has its gradient from what it gave. All but
/// dx are wanted.
template <typename T>
void conv_block_backward(ImageView<const T> dy, const ConvBlockKept<T>& kept, ImageView<const T> x,
                         const T* weight, const ConvBlock& block, const ConvGrads<T>& grads);

}  // namespace pocketcnn
