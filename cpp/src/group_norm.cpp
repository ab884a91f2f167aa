// The work is cut by groups of images, each of which is consecutive in memory. Sums go over blocks
// that depend on the shape only.
#include <pocketcnn/group_norm.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "moments.h"
#include "runtime/isa.h"
#include "runtime/memory_pool.h"
#include "runtime/parallel.h"

namespace pocketcnn {
namespace {

/// One group of one image: `channels` planes.
template <typename T>
struct Group {
    const GroupNorm<T>& norm;
    index_t index;  ///< among the groups of all images
    index_t channels, plane;

    index_t size() const { return channels * plane; }
    index_t offset() const { return index * size(); }
    /// Of gamma and beta.
    index_t first_channel() const { return index % norm.groups * channels; }
};

/// Runs body(group) for every group of every image.
template <typename T, typename Body>
void for_groups(const ChannelShape& shape, const GroupNorm<T>& norm, Body&& body) {
    if (shape.size() == 0) return;
    const index_t channels = shape.channels / norm.groups;
    parallel_for(shape.n * norm.groups, kMomentsCost * static_cast<double>(shape.size()),
                 [&](index_t i) { body(Group<T>{norm, i, channels, shape.plane}); });
}

template <typename T>
void check(const ChannelShape& shape, const GroupNorm<T>& norm) {
    if (norm.groups < 1 || shape.channels % norm.groups != 0) {
        throw std::invalid_argument("groups " + std::to_string(norm.groups) + " must divide the " +
                                    std::to_string(shape.channels) + " channels");
    }
}

template <typename T>
Moments group_moments(const Kernels<T>& kernels, index_t size, const T* x) {
    Moments all = {0, 0};
    double count = 0;
    for (index_t at = 0; at < size; at += kMomentsBlock) {
        const index_t block = std::min(kMomentsBlock, size - at);
        join(kernels.normalization.moments(block, x + at), static_cast<double>(block), all, count);
    }
    return all;
}

/// The statistics of a group, for the kernels. The mean is rounded to T; the error is `lost`.
template <typename T>
struct Statistics {
    Statistics(double mean, double variance, double eps)
        : rounded(static_cast<T>(mean)),
          lost(mean - static_cast<double>(rounded)),
          inverse(1 / std::sqrt(variance + eps)) {}

    ChannelNorm<T> channel(T gamma, T beta) const {
        const double scale = static_cast<double>(gamma) * inverse;
        return {rounded, static_cast<T>(scale),
                static_cast<T>(static_cast<double>(beta) - lost * scale), false, T{0}};
    }

    T rounded;
    double lost, inverse;
};

/// Sums over a plane of dy and of dy (x - mean), with the rounded mean.
template <typename T>
TwoSums plane_sums(const Kernels<T>& kernels, const ChannelNorm<T>& norm, index_t plane,
                   const T* dy, const T* x) {
    TwoSums total = {0, 0};
    for (index_t at = 0; at < plane; at += kMomentsBlock) {
        const TwoSums sums = kernels.normalization.normalize_sums(
            norm, std::min(kMomentsBlock, plane - at), dy + at, x + at);
        total.first += sums.first;
        total.second += sums.second;
    }
    return total;
}

/// With xhat = (x - mean) r, r = 1 / sqrt(variance + eps): the gradient of xhat is gamma dy, and
/// dx = r (gamma dy - its mean over the group - xhat times the mean of gamma dy xhat). The sums of
/// dy xhat and of dy over each plane are left in dgamma and dbeta.
template <typename T>
void group_backward(const Kernels<T>& kernels, const Group<T>& group,
                    const Statistics<T>& statistics, const T* dy, const T* x, T* dx, double* dgamma,
                    double* dbeta) {
    const T* gamma = group.norm.gamma + group.first_channel();
    const ChannelNorm<T> how = statistics.channel(T{1}, T{0});
    const index_t plane = group.plane;
    double products = 0, plain = 0;
    for (index_t c = 0; c < group.channels; ++c) {
        const TwoSums sums = plane_sums(kernels, how, plane, dy + c * plane, x + c * plane);
        dgamma[c] = (sums.second - statistics.lost * sums.first) * statistics.inverse;
        dbeta[c] = sums.first;
        products += static_cast<double>(gamma[c]) * dgamma[c];
        plain += static_cast<double>(gamma[c]) * dbeta[c];
    }
    const double share = statistics.inverse / static_cast<double>(group.size());
    const double slope = -share * products * statistics.inverse;
    for (index_t c = 0; c < group.channels; ++c) {
        const ChannelGrad<T> grad = {
            static_cast<T>(static_cast<double>(gamma[c]) * statistics.inverse),
            static_cast<T>(slope), static_cast<T>(-share * plain - slope * statistics.lost)};
        kernels.normalization.normalize_backward(how, grad, plane, dy + c * plane, x + c * plane,
                                                 dx + c * plane);
    }
}

/// to[c] = the sum of sums (images, channels) over the images, in their order.
template <typename T>
void add_images(const ChannelShape& shape, const double* sums, T* to) {
    for (index_t c = 0; c < shape.channels; ++c) {
        double total = 0;
        for (index_t n = 0; n < shape.n; ++n) total += sums[n * shape.channels + c];
        to[c] = static_cast<T>(total);
    }
}

}  // namespace

template <typename T>
void group_norm(const T* x, const ChannelShape& shape, const GroupNorm<T>& norm, double* mean,
                double* variance, T* y) {
    check(shape, norm);
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    std::fill_n(mean, shape.n * norm.groups, 0.0);
    std::fill_n(variance, shape.n * norm.groups, 0.0);
    for_groups(shape, norm, [&](const Group<T>& group) {
        const index_t i = group.index, first = group.first_channel(), plane = group.plane;
        const T* from = x + group.offset();
        const Moments moments = group_moments(kernels, group.size(), from);
        mean[i] = moments.mean;
        variance[i] = moments.squares / static_cast<double>(group.size());
        const Statistics<T> statistics(mean[i], variance[i], norm.eps);
        for (index_t c = 0; c < group.channels; ++c) {
            kernels.normalization.normalize(
                statistics.channel(norm.gamma[first + c], norm.beta[first + c]), plane,
                from + c * plane, y + group.offset() + c * plane);
        }
    });
}

template <typename T>
void group_norm_backward(const T* dy, const T* x, const ChannelShape& shape,
                         const GroupNorm<T>& norm, const ChannelStatistics& statistics, T* dx,
                         T* dgamma, T* dbeta) {
    check(shape, norm);
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const index_t images = shape.plane == 0 ? 0 : shape.n;
    const Buffer<double> products(images * shape.channels), plain(images * shape.channels);
    for_groups(shape, norm, [&](const Group<T>& group) {
        const index_t at = group.offset(), planes = group.index * group.channels;
        group_backward(kernels, group,
                       {statistics.mean[group.index], statistics.variance[group.index], norm.eps},
                       dy + at, x + at, dx + at, products.data() + planes, plain.data() + planes);
    });
    const ChannelShape summed = {images, shape.channels, shape.plane};
    add_images(summed, products.data(), dgamma);
    add_images(summed, plain.data(), dbeta);
}

#define POCKETCNN_INSTANTIATE(T)                                                                   \
    template void group_norm(const T*, const ChannelShape&, const GroupNorm<T>&, double*, double*, \
                             T*);                                                                  \
    template void group_norm_backward(const T*, const T*, const ChannelShape&,                     \
                                      const GroupNorm<T>&, const ChannelStatistics&, T*, T*, T*);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn
