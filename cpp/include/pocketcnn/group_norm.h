// Group normalisation and its gradient: Wu, He, "Group Normalization", ECCV 2018.
#pragma once

#include <pocketcnn/batch_norm.h>
#include <pocketcnn/types.h>

namespace pocketcnn {

/// Turns normalised elements into the output: gamma and beta have one element per channel, and
/// `groups` divides the channels.
template <typename T>
struct GroupNorm {
    index_t groups = 1;
    const T* gamma = nullptr;
    const T* beta = nullptr;
    double eps = 1e-5;
};

/// y = (x - mean) / sqrt(variance + eps) * gamma + beta with the mean and the variance (of the
/// population) of each group of channels of each image, which are also written: mean and variance
/// are (n, groups). They stay accurate when a mean is far larger than the deviations, and are zero
/// where a plane is empty. A NaN makes its group of its image NaN. Throws std::invalid_argument if
/// the groups do not divide the channels.
template <typename T>
void group_norm(const T* x, const ChannelShape& shape, const GroupNorm<T>& norm, double* mean,
                double* variance, T* y);

/// Gradients from dy, and from what group_norm read and wrote.
template <typename T>
void group_norm_backward(const T* dy, const T* x, const ChannelShape& shape,
                         const GroupNorm<T>& norm, const ChannelStatistics& statistics, T* dx,
                         T* dgamma, T* dbeta);

}  // namespace pocketcnn
