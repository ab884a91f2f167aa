#include <pocketcnn/depthwise_block.h>

#include <algorithm>
#include <stdexcept>

#include "channel_norm.h"
#include "runtime/cut.h"
#include "runtime/isa.h"
#include "runtime/memory_pool.h"
#include "runtime/parallel.h"

namespace pocketcnn {
namespace {

/// Elements of x that make a task worth its start.
constexpr index_t kWorth = 1 << 14;

void require(bool holds, const char* message) {
    if (!holds) throw std::invalid_argument(message);
}

/// How a block is cut: tasks of a few channels of all images.
struct Cut {
    Cut(const Shape4& input, const Conv2d& convolution)
        : x(input), y(conv2d_output_shape(input, convolution)), conv(convolution) {
        require(conv.groups == x.c && conv.filters == x.c,
                "a depthwise block has as many groups and filters as channels");
    }

    /// Runs body(first channel, how many) for all channels, unless they are empty.
    template <typename Body>
    void run(Body&& body) const {
        if (y.size() == 0) return;
        const index_t worth = std::max<index_t>(1, kWorth / (x.n * x.plane()));
        const index_t grain = std::min(worth, std::max<index_t>(1, x.c / kEnoughTasks));
        const double of_y = kMomentsCost + static_cast<double>(conv.window.taps());
        const double cost = kMomentsCost * static_cast<double>(x.n * x.plane()) +
                            of_y * static_cast<double>(y.n * y.plane());
        parallel_ranges(x.c, grain, cost,
                        [&](index_t first, index_t end) { body(first, end - first); });
    }

    /// The convolution of so many channels by the algorithm that would take all of them.
    Conv2d part(index_t count, ConvAlgorithm algorithm) const {
        return {conv.window, count, count, algorithm};
    }
    ConvAlgorithm algorithm(ConvPass pass) const { return conv2d_plan(x, conv, pass).algorithm; }

    Shape4 x, y;
    Conv2d conv;
};

/// Some channels of all images, in an array that may have others.
template <typename T>
struct Channels {
    T* data;  ///< of the first of them
    Shape4 shape;

    Channels(T* array, const Shape4& of_array, index_t first = 0)
        : data(array + first * of_array.plane()), shape(of_array) {}

    template <typename To>
    Channel<To> at(index_t i) const {
        return {data + i * shape.plane(), shape.n, shape.plane(), shape.image()};
    }
};

/// A normalisation of the channels [first, first + count).
template <typename T>
struct Normalization {
    const BatchNorm<T>& norm;
    index_t first, count;
    const Kernels<T>& kernels = pocketcnn::kernels<T>();

    void by_own_statistics(const Channels<const T>& x, double* mean, double* variance,
                           const Channels<T>& y) const {
        for (index_t i = 0; i < count; ++i) {
            const Channel<const T> channel = x.template at<const T>(i);
            const Moments moments = moments_of(kernels, channel);
            mean[first + i] = moments.mean;
            variance[first + i] = moments.squares / static_cast<double>(channel.count());
        }
        by(x, mean, variance, y);
    }

    void by(const Channels<const T>& x, const double* mean, const double* variance,
            const Channels<T>& y) const {
        for (index_t i = 0; i < count; ++i) {
            normalize(kernels, how(i, mean, variance), x.template at<const T>(i),
                      y.template at<T>(i));
        }
    }

    /// dx may be dy or x.
    template <typename Dy, typename X>
    void backward(const Channels<Dy>& dy, const Channels<X>& x, const double* mean,
                  const double* variance, const Channels<T>& dx, T* dgamma, T* dbeta) const {
        for (index_t i = 0; i < count; ++i) {
            normalize_backward(kernels, how(i, mean, variance), true, dy.template at<const T>(i),
                               x.template at<const T>(i), dx.template at<T>(i), dgamma[first + i],
                               dbeta[first + i]);
        }
    }

  private:
    NormOfChannel<T> how(index_t i, const double* mean, const double* variance) const {
        return {norm, first + i, mean[first + i], variance[first + i]};
    }
};

}  // namespace

template <typename T>
void depthwise_block(ImageView<const T> x, const DepthwiseBlock<T>& block,
                     const DepthwiseStatistics<double>& statistics, ImageView<T> y) {
    const Cut cut(x.shape, block.conv);
    require(y.shape == cut.y, "y does not have the shape that the block gives");
    for (double* to : {statistics.mean_before, statistics.variance_before, statistics.mean_behind,
                       statistics.variance_behind}) {
        std::fill_n(to, x.shape.c, 0.0);
    }
    const ConvAlgorithm algorithm = cut.algorithm(ConvPass::forward);
    const index_t taps = block.conv.window.taps();
    cut.run([&](index_t first, index_t count) {
        const Shape4 in = {x.shape.n, count, x.shape.h, x.shape.w};
        const Shape4 out = {y.shape.n, count, y.shape.h, y.shape.w};
        const Buffer<T> inner(in.size()), outer(out.size());
        Normalization<T>{block.before, first, count}.by_own_statistics(
            {x.data, x.shape, first}, statistics.mean_before, statistics.variance_before,
            {inner.data(), in});
        conv2d<T>({inner.data(), in}, block.weight + first * taps,
                  block.bias == nullptr ? nullptr : block.bias + first, cut.part(count, algorithm),
                  {outer.data(), out});
        Normalization<T>{block.behind, first, count}.by_own_statistics(
            {outer.data(), out}, statistics.mean_behind, statistics.variance_behind,
            {y.data, y.shape, first});
    });
}

template <typename T>
void depthwise_block_backward(ImageView<const T> dy, ImageView<const T> x,
                              const DepthwiseBlock<T>& block,
                              const DepthwiseStatistics<const double>& statistics,
                              const DepthwiseBlockGrads<T>& grads) {
    const Cut cut(x.shape, block.conv);
    require(dy.shape == cut.y, "dy does not have the shape that the block gives");
    const index_t taps = block.conv.window.taps();
    if (dy.shape.size() == 0) {
        for (T* to : {grads.dbias, grads.dgamma_before, grads.dbeta_before, grads.dgamma_behind,
                      grads.dbeta_behind}) {
            std::fill_n(to, x.shape.c, T{0});
        }
        std::fill_n(grads.dweight, x.shape.c * taps, T{0});
        return;
    }
    const ConvAlgorithm forward = cut.algorithm(ConvPass::forward);
    const ConvAlgorithm input_grad = cut.algorithm(ConvPass::input_grad);
    const ConvAlgorithm weight_grad = cut.algorithm(ConvPass::weight_grad);
    cut.run([&](index_t first, index_t count) {
        const Shape4 in = {x.shape.n, count, x.shape.h, x.shape.w};
        const Shape4 out = {dy.shape.n, count, dy.shape.h, dy.shape.w};
        const Buffer<T> inner(in.size()), outer(out.size());
        const ImageView<const T> normalized = {inner.data(), in}, maps = {outer.data(), out};
        const Channels<T> inside(inner.data(), in), outside(outer.data(), out);
        const Channels<const T> xs(x.data, x.shape, first), dys(dy.data, dy.shape, first);
        const Normalization<T> before = {block.before, first, count};
        const Normalization<T> behind = {block.behind, first, count};
        const T* weight = block.weight + first * taps;

        before.by(xs, statistics.mean_before, statistics.variance_before, inside);
        conv2d<T>(normalized, weight, block.bias == nullptr ? nullptr : block.bias + first,
                  cut.part(count, forward), {outer.data(), out});
        // From here on gradients take the places of what they are the gradients of.
        behind.backward(dys, outside, statistics.mean_behind, statistics.variance_behind, outside,
                        grads.dgamma_behind, grads.dbeta_behind);
        conv2d_backward_weight<T>(maps, normalized, cut.part(count, weight_grad),
                                  grads.dweight + first * taps, grads.dbias + first);
        conv2d_backward_input<T>(maps, weight, cut.part(count, input_grad), {inner.data(), in});
        before.backward(inside, xs, statistics.mean_before, statistics.variance_before,
                        {grads.dx, x.shape, first}, grads.dgamma_before, grads.dbeta_before);
    });
}

#define POCKETCNN_INSTANTIATE(T)                                                     \
    template void depthwise_block(ImageView<const T>, const DepthwiseBlock<T>&,      \
                                  const DepthwiseStatistics<double>&, ImageView<T>); \
    template void depthwise_block_backward(                                          \
        ImageView<const T>, ImageView<const T>, const DepthwiseBlock<T>&,            \
        const DepthwiseStatistics<const double>&, const DepthwiseBlockGrads<T>&);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn
