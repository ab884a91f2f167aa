// Batch normalisation over channels and its gradient: Ioffe, Szegedy, "Batch Normalization:
// Accelerating Deep Network Training by Reducing Internal Covariate Shift", ICML 2015.
#pragma once

#include <pocketcnn/types.h>

namespace pocketcnn {

/// A contiguous batch (n, channels, plane); what lies in one channel is normalised together.
struct ChannelShape {
    index_t n = 0;
    index_t channels = 0;
    index_t plane = 0;

    constexpr index_t size() const { return n * channels * plane; }
    /// Elements of one channel.
    constexpr index_t count() const { return n * plane; }
};

/// What turns a channel's normalised elements into the output: gamma and beta have an element a
/// channel. With `rectify` negative results become zero, as by a ReLU behind.
template <typename T>
struct BatchNorm {
    const T* gamma = nullptr;
    const T* beta = nullptr;
    double eps = 1e-5;
    bool rectify = false;
};

/// Mean and variance (of the population, divided by the count) of each channel.
struct ChannelStatistics {
    const double* mean = nullptr;
    const double* variance = nullptr;
};

/// y = (x - mean) / sqrt(variance + eps) * gamma + beta with the batch's own statistics, which it
/// writes too. They are accurate for means far larger than the deviations, and zero where the
/// batch is empty. NaN anywhere makes its channel NaN.
template <typename T>
void batch_norm_train(const T* x, const ChannelShape& shape, const BatchNorm<T>& norm, double* mean,
                      double* variance, T* y);

/// The same with the statistics that are given; y may be x.
template <typename T>
void batch_norm_infer(const T* x, const ChannelShape& shape, const BatchNorm<T>& norm,
                      const ChannelStatistics& statistics, T* y);

/// Gradients from dy and what the forward pass took and wrote; `training` says which of the two it
/// was: with the batch's own statistics they depend on x.
template <typename T>
void batch_norm_backward(const T* dy, const T* x, const ChannelShape& shape,
                         const BatchNorm<T>& norm, const ChannelStatistics& statistics,
                         bool training, T* dx, T* dgamma, T* dbeta);

}  // namespace pocketcnn
