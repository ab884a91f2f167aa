// The work is cut by channels, so a thread finds in its cache, when it normalises, what it has just
// summed over. A channel's sums go over blocks that depend on the shape only.
#include <pocketcnn/batch_norm.h>

#include <algorithm>
#include <cmath>

#include "moments.h"
#include "runtime/isa.h"
#include "runtime/parallel.h"

namespace pocketcnn {
namespace {

/// Planes below this size are gathered from several images into one block.
constexpr index_t kSmallPlane = 512;

/// One channel of a batch: `n` planes.
struct Channel {
    const ChannelShape& shape;
    index_t index;

    index_t offset(index_t image) const { return (image * shape.channels + index) * shape.plane; }
    bool gathers() const { return shape.plane < kSmallPlane; }

    /// Calls body(image, at, size) for consecutive blocks: `size` elements from element `at` of the
    /// image's plane on. With small planes they continue in the next images.
    template <typename Body>
    void for_blocks(Body&& body) const {
        if (gathers()) {
            const index_t images = kMomentsBlock / shape.plane;
            for (index_t i = 0; i < shape.n; i += images) {
                body(i, index_t{0}, std::min(images, shape.n - i) * shape.plane);
            }
            return;
        }
        for (index_t i = 0; i < shape.n; ++i) {
            for (index_t at = 0; at < shape.plane; at += kMomentsBlock) {
                body(i, at, std::min(kMomentsBlock, shape.plane - at));
            }
        }
    }

    /// The elements of a block, copied to `scratch` if they are not consecutive.
    template <typename T>
    const T* block(const T* x, index_t image, index_t at, index_t size, T* scratch) const {
        if (!gathers()) return x + offset(image) + at;
        for (T* to = scratch; to != scratch + size; to += shape.plane) {
            std::copy_n(x + offset(image++), shape.plane, to);
        }
        return scratch;
    }
};

/// Runs body(channel) for every channel, unless they are empty.
template <typename Body>
void for_channels(const ChannelShape& shape, Body&& body) {
    if (shape.count() == 0) return;
    parallel_for(shape.channels, kMomentsCost * static_cast<double>(shape.size()),
                 [&](index_t c) { body(Channel{shape, c}); });
}

template <typename T>
Moments channel_moments(const Kernels<T>& kernels, const Channel& channel, const T* x) {
    T scratch[kMomentsBlock];
    Moments all = {0, 0};
    double count = 0;
    channel.for_blocks([&](index_t image, index_t at, index_t size) {
        const T* block = channel.block(x, image, at, size, scratch);
        join(kernels.normalization.moments(size, block), static_cast<double>(size), all, count);
    });
    return all;
}

/// The statistics and settings of one channel, for the kernels. The mean is rounded to T, and the
/// rounding error goes into the shift: x - mean is then exact for x near the mean, however large
/// both are.
template <typename T>
ChannelNorm<T> channel_norm(const BatchNorm<T>& norm, const ChannelStatistics& statistics,
                            index_t c) {
    const double scale =
        static_cast<double>(norm.gamma[c]) / std::sqrt(statistics.variance[c] + norm.eps);
    const T mean = static_cast<T>(statistics.mean[c]);
    const double lost = statistics.mean[c] - static_cast<double>(mean);
    const double shift = static_cast<double>(norm.beta[c]) - lost * scale;
    return {mean, static_cast<T>(scale), static_cast<T>(shift), norm.rectify};
}

template <typename T>
void normalize_channel(const Kernels<T>& kernels, const Channel& channel,
                       const ChannelNorm<T>& norm, const T* x, T* y) {
    for (index_t i = 0; i < channel.shape.n; ++i) {
        const index_t at = channel.offset(i);
        kernels.normalization.normalize(norm, channel.shape.plane, x + at, y + at);
    }
}

/// Sums over a channel of dy and of dy (x - mean), with the kernels' rounded mean.
template <typename T>
TwoSums channel_sums(const Kernels<T>& kernels, const Channel& channel, const ChannelNorm<T>& norm,
                     const T* dy, const T* x) {
    T dy_scratch[kMomentsBlock], x_scratch[kMomentsBlock];
    TwoSums total = {0, 0};
    channel.for_blocks([&](index_t image, index_t at, index_t size) {
        const TwoSums sums = kernels.normalization.normalize_sums(
            norm, size, channel.block(dy, image, at, size, dy_scratch),
            channel.block(x, image, at, size, x_scratch));
        total.first += sums.first;
        total.second += sums.second;
    });
    return total;
}

}  // namespace

template <typename T>
void batch_norm_train(const T* x, const ChannelShape& shape, const BatchNorm<T>& norm, double* mean,
                      double* variance, T* y) {
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    std::fill_n(mean, shape.channels, 0.0);
    std::fill_n(variance, shape.channels, 0.0);
    for_channels(shape, [&](const Channel& channel) {
        const Moments moments = channel_moments(kernels, channel, x);
        const index_t c = channel.index;
        mean[c] = moments.mean;
        variance[c] = moments.squares / static_cast<double>(shape.count());
        normalize_channel(kernels, channel, channel_norm(norm, {mean, variance}, c), x, y);
    });
}

template <typename T>
void batch_norm_infer(const T* x, const ChannelShape& shape, const BatchNorm<T>& norm,
                      const ChannelStatistics& statistics, T* y) {
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    for_channels(shape, [&](const Channel& channel) {
        normalize_channel(kernels, channel, channel_norm(norm, statistics, channel.index), x, y);
    });
}

/// With xhat = (x - mean) r, r = 1 / sqrt(variance + eps): dbeta = sum dy, dgamma = sum dy xhat,
/// and dx = gamma r (dy - dbeta / count - xhat dgamma / count), the last two terms in training
/// only.
template <typename T>
void batch_norm_backward(const T* dy, const T* x, const ChannelShape& shape,
                         const BatchNorm<T>& norm, const ChannelStatistics& statistics,
                         bool training, T* dx, T* dgamma, T* dbeta) {
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    std::fill_n(dgamma, shape.channels, T{0});
    std::fill_n(dbeta, shape.channels, T{0});
    for_channels(shape, [&](const Channel& channel) {
        const index_t c = channel.index;
        const ChannelNorm<T> how = channel_norm(norm, statistics, c);
        const double lost = statistics.mean[c] - static_cast<double>(how.mean);
        const double inverse = 1 / std::sqrt(statistics.variance[c] + norm.eps);
        const TwoSums sums = channel_sums(kernels, channel, how, dy, x);
        const double product = (sums.second - lost * sums.first) * inverse;
        dgamma[c] = static_cast<T>(product);
        dbeta[c] = static_cast<T>(sums.first);

        const double scale = static_cast<double>(norm.gamma[c]) * inverse;
        const double share = training ? scale / static_cast<double>(shape.count()) : 0;
        const double slope = -share * product * inverse;
        const ChannelGrad<T> grad = {static_cast<T>(scale), static_cast<T>(slope),
                                     static_cast<T>(-share * sums.first - slope * lost)};
        for (index_t i = 0; i < shape.n; ++i) {
            const index_t at = channel.offset(i);
            kernels.normalization.normalize_backward(how, grad, shape.plane, dy + at, x + at,
                                                     dx + at);
        }
    });
}

#define POCKETCNN_INSTANTIATE(T)                                                                   \
    template void batch_norm_train(const T*, const ChannelShape&, const BatchNorm<T>&, double*,    \
                                   double*, T*);                                                   \
    template void batch_norm_infer(const T*, const ChannelShape&, const BatchNorm<T>&,             \
                                   const ChannelStatistics&, T*);                                  \
    template void batch_norm_backward(const T*, const T*, const ChannelShape&,                     \
                                      const BatchNorm<T>&, const ChannelStatistics&, bool, T*, T*, \
                                      T*);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn
