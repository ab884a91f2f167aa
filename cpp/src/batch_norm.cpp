// The work is cut by channels, so a thread finds in its cache, when it normalises, what it has just
// summed over.
#include <pocketcnn/batch_norm.h>

#include <algorithm>

#include "activation_kernels.h"
#include "channel_norm.h"
#include "runtime/isa.h"
#include "runtime/parallel.h"

namespace pocketcnn {
namespace {

/// Runs body(channel) for every channel, unless they are empty.
template <typename Body>
void for_channels(const ChannelShape& shape, Body&& body) {
    if (shape.count() == 0) return;
    parallel_for(shape.channels, kMomentsCost * static_cast<double>(shape.size()), body);
}

template <typename T>
Channel<T> channel(T* data, const ChannelShape& shape, index_t c) {
    return {data + c * shape.plane, shape.n, shape.plane, shape.channels * shape.plane};
}

/// Calls body(size, offset) for the parts of a channel's planes that fit the first cache.
template <typename Body>
void for_parts(const ChannelShape& shape, index_t c, Body&& body) {
    for (index_t i = 0; i < shape.n; ++i) {
        const index_t plane = (i * shape.channels + c) * shape.plane;
        for (index_t at = 0; at < shape.plane; at += kMomentsBlock) {
            body(std::min(kMomentsBlock, shape.plane - at), plane + at);
        }
    }
}

template <typename T>
BatchNorm<T> linear(const BatchNorm<T>& norm) {
    return {norm.gamma, norm.beta, norm.eps};
}

}  // namespace

template <typename T>
void batch_norm_train(const T* x, const ChannelShape& shape, const BatchNorm<T>& norm, double* mean,
                      double* variance, T* y) {
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    std::fill_n(mean, shape.channels, 0.0);
    std::fill_n(variance, shape.channels, 0.0);
    for_channels(shape, [&](index_t c) {
        const Channel<const T> in = channel(x, shape, c);
        const Moments moments = moments_of(kernels, in);
        mean[c] = moments.mean;
        variance[c] = moments.squares / static_cast<double>(shape.count());
        normalize(kernels, NormOfChannel<T>(norm, c, mean[c], variance[c]), in,
                  channel(y, shape, c));
    });
}

template <typename T>
void batch_norm_infer(const T* x, const ChannelShape& shape, const BatchNorm<T>& norm,
                      const ChannelStatistics& statistics, T* y) {
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    for_channels(shape, [&](index_t c) {
        const NormOfChannel<T> how(norm, c, statistics.mean[c], statistics.variance[c]);
        normalize(kernels, how, channel(x, shape, c), channel(y, shape, c));
    });
}

template <typename T>
void batch_norm_backward(const T* dy, const T* x, const ChannelShape& shape,
                         const BatchNorm<T>& norm, const ChannelStatistics& statistics,
                         bool training, T* dx, T* dgamma, T* dbeta) {
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    std::fill_n(dgamma, shape.channels, T{0});
    std::fill_n(dbeta, shape.channels, T{0});
    for_channels(shape, [&](index_t c) {
        const NormOfChannel<T> how(norm, c, statistics.mean[c], statistics.variance[c]);
        normalize_backward(kernels, how, training, channel(dy, shape, c), channel(x, shape, c),
                           channel(dx, shape, c), dgamma[c], dbeta[c]);
    });
}

template <typename T>
void batch_norm_add_train(const T* x, const T* added, const ChannelShape& shape,
                          const BatchNorm<T>& norm, double* mean, double* variance, T* y) {
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    std::fill_n(mean, shape.channels, 0.0);
    std::fill_n(variance, shape.channels, 0.0);
    for_channels(shape, [&](index_t c) {
        const Moments moments = moments_of(kernels, channel(x, shape, c));
        mean[c] = moments.mean;
        variance[c] = moments.squares / static_cast<double>(shape.count());
        const NormOfChannel<T> norm_of_c(linear(norm), c, mean[c], variance[c]);
        T part[kMomentsBlock];
        for_parts(shape, c, [&](index_t size, index_t at) {
            kernels.normalization.normalize(norm_of_c.how, size, x + at, part);
            kernels.elementwise.add_two(size, part, added + at, norm.rectify, y + at);
        });
    });
}

template <typename T>
void batch_norm_add_backward(const T* dy, const T* y, const T* x, const ChannelShape& shape,
                             const BatchNorm<T>& norm, const ChannelStatistics& statistics, T* dsum,
                             T* dx, T* dgamma, T* dbeta, const T* more) {
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const auto through_relu = kernels_of<T>(Activation::relu).gradient;
    std::fill_n(dgamma, shape.channels, T{0});
    std::fill_n(dbeta, shape.channels, T{0});
    for_channels(shape, [&](index_t c) {
        T part[kMomentsBlock];
        for_parts(shape, c, [&](index_t size, index_t at) {
            if (more != nullptr) kernels.elementwise.add_two(size, dy + at, more + at, false, part);
            through_relu(size, T{0}, more != nullptr ? part : dy + at, y + at, dsum + at);
        });
        const NormOfChannel<T> how(linear(norm), c, statistics.mean[c], statistics.variance[c]);
        normalize_backward(kernels, how, true, channel<const T>(dsum, shape, c),
                           channel(x, shape, c), channel(dx, shape, c), dgamma[c], dbeta[c]);
    });
}

#define POCKETCNN_INSTANTIATE(T)                                                                   \
    template void batch_norm_train(const T*, const ChannelShape&, const BatchNorm<T>&, double*,    \
                                   double*, T*);                                                   \
    template void batch_norm_infer(const T*, const ChannelShape&, const BatchNorm<T>&,             \
                                   const ChannelStatistics&, T*);                                  \
    template void batch_norm_backward(const T*, const T*, const ChannelShape&,                     \
                                      const BatchNorm<T>&, const ChannelStatistics&, bool, T*, T*, \
                                      T*);                                                         \
    template void batch_norm_add_train(const T*, const T*, const ChannelShape&,                    \
                                       const BatchNorm<T>&, double*, double*, T*);                 \
    template void batch_norm_add_backward(const T*, const T*, const T*, const ChannelShape&,       \
                                          const BatchNorm<T>&, const ChannelStatistics&, T*, T*,   \
                                          T*, T*, const T*);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn
