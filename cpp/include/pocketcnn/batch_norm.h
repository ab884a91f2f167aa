// Batch normalisation over channels and its gradient: Ioffe, Szegedy, "Batch Normalization:
// Accelerating Deep Network Training by Reducing Internal Covariate Shift", ICML 2015.
#pragma once

#include <pocketcnn/types.h>

#include <limits>

namespace pocketcnn {

/// A contiguous batch (n, channels, plane); each channel is normalised by itself.
struct ChannelShape {
    index_t n = 0;
    index_t channels = 0;
    index_t plane = 0;

    constexpr index_t size() const { return n * channels * plane; }
    /// Elements of one channel.
    constexpr index_t count() const { return n * plane; }
};

/// Turns normalised elements into the output: gamma and beta have one element per channel. With
/// `rectify`, negative results become zero, as by a ReLU that follows, and those above the ceiling
/// become the ceiling, as by a ReLU6 if that is 6.
template <typename T>
struct BatchNorm {
    const T* gamma = nullptr;
    const T* beta = nullptr;
    double eps = 1e-5;
    bool rectify = false;
    double ceiling = std::numeric_limits<double>::infinity();
};

/// Batch normalisation by statistics that are known, each an element per channel.
template <typename T>
struct KnownNorm {
    const T* gamma = nullptr;
    const T* beta = nullptr;
    const double* mean = nullptr;
    const double* variance = nullptr;
    double eps = 1e-5;
};

/// Mean and variance (of the population, divided by the count) of each channel.
struct ChannelStatistics {
    const double* mean = nullptr;
    const double* variance = nullptr;
};

/// y = (x - mean) / sqrt(variance + eps) * gamma + beta with the batch's own statistics, which are
/// also written. They stay accurate when a mean is far larger than the deviations, and are zero for
/// an empty batch. A NaN makes its whole channel NaN.
template <typename T>
void batch_norm_train(const T* x, const ChannelShape& shape, const BatchNorm<T>& norm, double* mean,
                      double* variance, T* y);

/// The same with given statistics; y may be x.
template <typename T>
void batch_norm_infer(const T* x, const ChannelShape& shape, const BatchNorm<T>& norm,
                      const ChannelStatistics& statistics, T* y);

/// Gradients from dy and what the forward pass read and wrote. `training` says that it was
/// batch_norm_train, whose statistics depend on x. dx may be dy or x.
template <typename T>
void batch_norm_backward(const T* dy, const T* x, const ChannelShape& shape,
                         const BatchNorm<T>& norm, const ChannelStatistics& statistics,
                         bool training, T* dx, T* dgamma, T* dbeta);

/// y = batch_norm_train(x) + added, and with `norm.rectify` zero where that is negative: the end of
/// a residual block. The bits are those of the two operations, and there is no ceiling.
template <typename T>
void batch_norm_add_train(const T* x, const T* added, const ChannelShape& shape,
                          const BatchNorm<T>& norm, double* mean, double* variance, T* y);

/// Its gradients, where it rectifies, from dy and what the forward pass read and wrote; that of
/// `added` is the gradient of the sum, dsum. dx may be x. With `more`, the output's gradient is dy
/// + more; dsum may be more.
template <typename T>
void batch_norm_add_backward(const T* dy, const T* y, const T* x, const ChannelShape& shape,
                             const BatchNorm<T>& norm, const ChannelStatistics& statistics, T* dsum,
                             T* dx, T* dgamma, T* dbeta, const T* more = nullptr);

}  // namespace pocketcnn
