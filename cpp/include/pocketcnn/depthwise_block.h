// A depthwise convolution between two batch normalisations, in training, as one operation. Channels
// do not meet in it: a few of them at a time pass through all steps while they are in cache, with
// all images, and what lies between the steps never goes to memory. The gradient computes it again.
#pragma once

#include <pocketcnn/batch_norm.h>
#include <pocketcnn/conv2d.h>

namespace pocketcnn {

template <typename T>
struct DepthwiseBlock {
    Conv2d conv;  ///< with as many groups and filters as x has channels
    const T* weight = nullptr;
    const T* bias = nullptr;  ///< may be null
    BatchNorm<T> before, behind;
};

/// Mean and variance of what each normalisation takes, an element per channel.
template <typename Number>
struct DepthwiseStatistics {
    Number *mean_before, *variance_before, *mean_behind, *variance_behind;
};

/// y = behind(conv2d(before(x)) + bias), each normalisation by the batch's own statistics, which
/// are also written, and with its rectifying. Bits and algorithms are those of the three
/// operations. Throws std::invalid_argument where the shapes do not fit.
template <typename T>
void depthwise_block(ImageView<const T> x, const DepthwiseBlock<T>& block,
                     const DepthwiseStatistics<double>& statistics, ImageView<T> y);

/// Where the gradients go. All are overwritten.
template <typename T>
struct DepthwiseBlockGrads {
    T* dx;
    T *dweight, *dbias;
    T *dgamma_before, *dbeta_before;
    T *dgamma_behind, *dbeta_behind;
};

/// The gradients from dy, x, and the statistics of the forward pass. dx may be x.
template <typename T>
void depthwise_block_backward(ImageView<const T> dy, ImageView<const T> x,
                              const DepthwiseBlock<T>& block,
                              const DepthwiseStatistics<const double>& statistics,
                              const DepthwiseBlockGrads<T>& grads);

}  // namespace pocketcnn
