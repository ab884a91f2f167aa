// Batch normalisation of a single channel, in blocks that depend on its sizes only.
#pragma once

#include <pocketcnn/batch_norm.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/kernel_table.h"
#include "moments.h"

namespace pocketcnn {

/// Planes below this size are taken together with those of other images.
inline constexpr index_t kSmallPlane = 512;

/// One channel of a batch: `n` planes, each `step` elements behind the one before.
template <typename T>
struct Channel {
    T* data;
    index_t n, plane, step;

    T* image(index_t i) const { return data + i * step; }
    index_t count() const { return n * plane; }
};

/// Calls body(image, at, size) for consecutive blocks of `n` planes: `size` elements from element
/// `at` of the image's plane on. With small planes they continue in the next images.
template <typename Body>
void for_blocks(index_t n, index_t plane, Body&& body) {
    if (plane < kSmallPlane) {
        const index_t images = kMomentsBlock / plane;
        for (index_t i = 0; i < n; i += images) {
            body(i, index_t{0}, std::min(images, n - i) * plane);
        }
        return;
    }
    for (index_t i = 0; i < n; ++i) {
        for (index_t at = 0; at < plane; at += kMomentsBlock) {
            body(i, at, std::min(kMomentsBlock, plane - at));
        }
    }
}

/// The elements of a block, copied to `scratch` if they are not consecutive.
template <typename T>
const T* block(const Channel<const T>& x, index_t image, index_t at, index_t size, T* scratch) {
    if (x.plane >= kSmallPlane || x.step == x.plane) return x.image(image) + at;
    for (T* to = scratch; to != scratch + size; to += x.plane) {
        std::copy_n(x.image(image++), x.plane, to);
    }
    return scratch;
}

template <typename T>
Moments moments_of(const Kernels<T>& kernels, const Channel<const T>& x) {
    T scratch[kMomentsBlock];
    Moments all = {0, 0};
    double count = 0;
    for_blocks(x.n, x.plane, [&](index_t image, index_t at, index_t size) {
        const T* elements = block(x, image, at, size, scratch);
        join(kernels.normalization.moments(size, elements), static_cast<double>(size), all, count);
    });
    return all;
}

/// Normalisation of one channel by a mean and a variance.
template <typename T>
struct NormOfChannel {
    NormOfChannel(const BatchNorm<T>& norm, index_t c, double mean, double variance) {
        const double root = std::sqrt(variance + norm.eps);
        inverse = 1 / root;
        gamma = static_cast<double>(norm.gamma[c]);
        how.mean = static_cast<T>(mean);
        how.scale = static_cast<T>(gamma / root);
        lost = mean - static_cast<double>(how.mean);
        how.shift = static_cast<T>(static_cast<double>(norm.beta[c]) - lost * (gamma / root));
        how.rectify = norm.rectify;
        how.ceiling = static_cast<T>(norm.ceiling);
    }

    double inverse;  ///< of the deviation
    double gamma;
    /// Of the mean, when it is rounded to T. It goes into the shift: x - mean is then exact for x
    /// near the mean, however large both are.
    double lost;
    ChannelNorm<T> how;
};

template <typename T>
std::vector<ChannelNorm<T>> norms_of(const KnownNorm<T>& known, index_t channels) {
    const BatchNorm<T> norm = {known.gamma, known.beta, known.eps};
    std::vector<ChannelNorm<T>> norms;
    for (index_t c = 0; c < channels; ++c) {
        norms.push_back(NormOfChannel<T>(norm, c, known.mean[c], known.variance[c]).how);
    }
    return norms;
}

/// y may be x.
template <typename T>
void normalize(const Kernels<T>& kernels, const NormOfChannel<T>& norm, const Channel<const T>& x,
               const Channel<T>& y) {
    for (index_t i = 0; i < x.n; ++i) {
        kernels.normalization.normalize(norm.how, x.plane, x.image(i), y.image(i));
    }
}

/// Sums over a channel of dy and of dy (x - mean), with the kernels' rounded mean; dy counts as
/// zero where the output was rectified.
template <typename T>
TwoSums gradient_sums(const Kernels<T>& kernels, const ChannelNorm<T>& norm,
                      const Channel<const T>& dy, const Channel<const T>& x) {
    T dy_scratch[kMomentsBlock], x_scratch[kMomentsBlock];
    TwoSums total = {0, 0};
    for_blocks(x.n, x.plane, [&](index_t image, index_t at, index_t size) {
        const TwoSums sums =
            kernels.normalization.normalize_sums(norm, size, block(dy, image, at, size, dy_scratch),
                                                 block(x, image, at, size, x_scratch));
        total.first += sums.first;
        total.second += sums.second;
    });
    return total;
}

/// With xhat = (x - mean) r, r = 1 / sqrt(variance + eps): dbeta = sum dy, dgamma = sum dy xhat,
/// and dx = gamma r (dy - dbeta / count - xhat dgamma / count), the last two terms only in
/// `training`, where mean and variance are those of x. dx may be dy or x.
template <typename T>
void normalize_backward(const Kernels<T>& kernels, const NormOfChannel<T>& norm, bool training,
                        const Channel<const T>& dy, const Channel<const T>& x, const Channel<T>& dx,
                        T& dgamma, T& dbeta) {
    const TwoSums sums = gradient_sums(kernels, norm.how, dy, x);
    const double product = (sums.second - norm.lost * sums.first) * norm.inverse;
    dgamma = static_cast<T>(product);
    dbeta = static_cast<T>(sums.first);

    const double scale = norm.gamma * norm.inverse;
    const double share = training ? scale / static_cast<double>(x.count()) : 0;
    const double slope = -share * product * norm.inverse;
    const ChannelGrad<T> grad = {static_cast<T>(scale), static_cast<T>(slope),
                                 static_cast<T>(-share * sums.first - slope * norm.lost)};
    for (index_t i = 0; i < x.n; ++i) {
        kernels.normalization.normalize_backward(norm.how, grad, x.plane, dy.image(i), x.image(i),
                                                 dx.image(i));
    }
}

}  // namespace pocketcnn
