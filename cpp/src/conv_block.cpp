#include <pocketcnn/activation.h>
#include <pocketcnn/conv_block.h>

#include <algorithm>
#include <stdexcept>

#include "conv/problem.h"
#include "conv/sparse_grad.h"
#include "runtime/isa.h"
#include "runtime/memory_pool.h"
#include "runtime/parallel.h"

namespace pocketcnn {
namespace {

/// Feature maps that are to stay in cache between the steps: half of a common L2 cache.
constexpr index_t kCacheBytes = 512 * 1024;
/// The batch is cut into as many slices, or a multiple, which threads share evenly; where there
/// are not as many images, or one image's maps overflow the cache, the steps run one by one.
constexpr index_t kSlices = 8;

/// Whether a pass of the convolution begins with work on the weights that every slice would repeat.
/// With the slices of AlexNet's last three convolutions, two images of 13x13 each, Winograd's took
/// 1.8 to 2.7 times as long as with the batch as a whole.
bool transforms_weights(const Shape4& x, const Conv2d& conv, ConvPass pass) {
    return conv2d_plan(x, conv, pass).algorithm == ConvAlgorithm::winograd;
}

/// The batch as slices of images that pass through the block together.
class Slices {
  public:
    Slices(const Shape4& x, const Shape4& maps, index_t element_size, bool undivided)
        : images_(x.n) {
        const index_t fit = kCacheBytes / std::max<index_t>(1, maps.image() * element_size);
        const bool whole = undivided || fit < 1 || images_ < kSlices;
        count_ = whole ? std::min<index_t>(1, images_)
                       : std::min(images_, round_up(ceil_div(images_, fit), kSlices));
    }

    index_t count() const { return count_; }
    index_t begin(index_t slice) const { return slice * images_ / count_; }
    index_t end(index_t slice) const { return (slice + 1) * images_ / count_; }

    /// Runs body(slice) for [0, count). A single slice runs here, so that its steps can use all
    /// threads themselves.
    template <typename Body>
    static void run(index_t count, double work, Body&& body) {
        if (count == 1) {
            body(index_t{0});
        } else {
            parallel_for(count, work, body);
        }
    }

  private:
    index_t images_, count_;
};

template <typename T>
ImageView<T> images(ImageView<T> batch, index_t begin, index_t end) {
    Shape4 shape = batch.shape;
    shape.n = end - begin;
    return {batch.data + begin * shape.image(), shape};
}

template <typename T>
ImageView<const T> constant(ImageView<T> view) {
    return {view.data, view.shape};
}

double multiply_adds(const Shape4& x, const Shape4& maps, const Conv2d& conv) {
    return static_cast<double>(maps.size()) * static_cast<double>(x.c / conv.groups) *
           static_cast<double>(conv.window.taps());
}

/// Whether the gradient of the weights is faster from the gradients of the pooled values, each of
/// which belongs to one result of the convolution, than from those of all results.
bool is_sparse(const Shape4& x, const ConvBlock& block) {
    return block.pool && block.conv.algorithm == ConvAlgorithm::automatic &&
           conv2d_plan(x, block.conv, ConvPass::weight_grad).algorithm != ConvAlgorithm::winograd &&
           conv::sparse_grad_suits(conv::Problem(x, block.conv), conv_block_output_shape(x, block),
                                   block.pool->window);
}

/// Everything that the backward pass of one slice reads.
template <typename T>
struct Backward {
    ImageView<const T> dy, y, x;
    const index_t* argmax;
    const T* weight;
    const ConvBlock& block;
    Shape4 maps;
    bool sparse;

    void slice(index_t begin, index_t end, const ConvBlockGrads<T>& grads) const {
        const ImageView<const T> in = images(x, begin, end), pooled = images(dy, begin, end);
        const T* rectified = block.dy_before_relu ? nullptr : images(y, begin, end).data;
        const index_t* places = argmax + begin * pooled.shape.image();
        if (sparse) {
            conv::sparse_weight_grad<T>(
                conv::Problem(in.shape, block.conv),
                {pooled.shape, block.pool->window, pooled.data, rectified, places}, in.data,
                grads.dweight, grads.dbias);
            if (grads.dx == nullptr) return;
        }
        dense(pooled, rectified, places, in, grads);
    }

  private:
    /// What needs the gradients of all results.
    void dense(ImageView<const T> pooled, const T* rectified, const index_t* places,
               ImageView<const T> in, const ConvBlockGrads<T>& grads) const {
        const Buffer<T> passed(rectified != nullptr ? pooled.shape.size() : 0);
        if (rectified != nullptr) {
            activate_grad(Activation::relu, pooled.data, rectified, passed.data(),
                          pooled.shape.size());
            pooled.data = passed.data();
        }
        if (!sparse) conv2d_bias_grad<T>(pooled, grads.dbias);
        if (!block.pool) return convolution(pooled, in, grads);
        Shape4 shape = maps;
        shape.n = pooled.shape.n;
        const Buffer<T> spread(shape.size());
        max_pool2d_grad<T>(pooled, places, {spread.data(), shape});
        convolution({spread.data(), shape}, in, grads);
    }

    void convolution(ImageView<const T> dmaps, ImageView<const T> in,
                     const ConvBlockGrads<T>& grads) const {
        if (!sparse) conv2d_weight_grad<T>(dmaps, in, block.conv, grads.dweight);
        if (grads.dx != nullptr) {
            conv2d_input_grad<T>(dmaps, weight, block.conv, {grads.dx, in.shape});
            if (block.dx_before_relu) {
                activate_grad(Activation::relu, grads.dx, in.data, grads.dx, in.shape.size());
            }
        }
    }
};

/// Sums of slices are kept apart in groups whose number depends on nothing but the batch.
constexpr index_t kSums = 16;

/// Adds the other sums to the first, each of `size` elements.
template <typename T>
void add_up(index_t count, index_t size, T* sums) {
    constexpr index_t grain = 4096;
    const Kernels<T>& kernel = kernels<T>();
    parallel_ranges(size, grain, static_cast<double>(count), [&](index_t begin, index_t end) {
        for (index_t i = 1; i < count; ++i) {
            kernel.add(end - begin, sums + i * size + begin, sums + begin);
        }
    });
}

}  // namespace

Shape4 conv_block_output_shape(const Shape4& x, const ConvBlock& block) {
    const Shape4 maps = conv2d_output_shape(x, block.conv);
    return block.pool ? pool2d_output_shape(maps, *block.pool) : maps;
}

template <typename T>
void conv_block(ImageView<const T> x, const T* weight, const T* bias, const ConvBlock& block,
                ImageView<T> y, index_t* argmax, const KnownNorm<T>* norm) {
    if (y.shape != conv_block_output_shape(x.shape, block)) {
        throw std::invalid_argument("y does not have the shape that the block gives");
    }
    const Shape4 maps = conv2d_output_shape(x.shape, block.conv);
    const Slices slices(x.shape, maps, sizeof(T),
                        transforms_weights(x.shape, block.conv, ConvPass::forward));
    Slices::run(slices.count(), multiply_adds(x.shape, maps, block.conv), [&](index_t i) {
        const index_t begin = slices.begin(i), end = slices.end(i);
        const ImageView<T> out = images(y, begin, end);
        Shape4 shape = maps;
        shape.n = end - begin;
        const Buffer<T> between(block.pool ? shape.size() : 0);
        const ImageView<T> to = block.pool ? ImageView<T>{between.data(), shape} : out;
        conv2d<T>(images(x, begin, end), weight, bias, block.conv, to);
        if (norm != nullptr) {
            batch_norm_infer<T>(to.data, {shape.n, shape.c, shape.plane()}, norm->norm,
                                norm->statistics, to.data);
        }
        if (block.pool) {
            max_pool2d<T>(constant(to), *block.pool, out, argmax + begin * out.shape.image());
        }
        if (norm == nullptr) {
            // The largest is the same before and after; its place is not where none is above zero,
            // but then it has no gradient.
            activate(Activation::relu, out.data, out.data, out.shape.size());
        }
    });
}

template <typename T>
void conv_block_grad(ImageView<const T> dy, const T* y, const index_t* argmax, ImageView<const T> x,
                     const T* weight, const ConvBlock& block, const ConvBlockGrads<T>& grads) {
    if (dy.shape != conv_block_output_shape(x.shape, block)) {
        throw std::invalid_argument("dy does not have the shape that the block gives");
    }
    const Shape4 maps = conv2d_output_shape(x.shape, block.conv);
    const Slices slices(
        x.shape, maps, sizeof(T),
        transforms_weights(x.shape, block.conv, ConvPass::weight_grad) ||
            (grads.dx != nullptr && transforms_weights(x.shape, block.conv, ConvPass::input_grad)));
    const Backward<T> backward = {dy,     {y, dy.shape}, x,    argmax,
                                  weight, block,         maps, is_sparse(x.shape, block)};
    if (slices.count() <= 1) {
        backward.slice(0, x.shape.n, grads);
        return;
    }
    const Kernels<T>& kernel = kernels<T>();
    const index_t weights =
        block.conv.filters * (x.shape.c / block.conv.groups) * block.conv.window.taps();
    const index_t size = weights + block.conv.filters;  // a sum: dweight, then dbias
    const index_t count = std::min(kSums, slices.count());
    const Buffer<T> sums(count * size);
    Slices::run(count, multiply_adds(x.shape, maps, block.conv), [&](index_t i) {
        T* sum = sums.data() + i * size;
        std::fill_n(sum, size, T{0});
        const Buffer<T> one(size);
        const index_t last = (i + 1) * slices.count() / count;
        for (index_t s = i * slices.count() / count; s < last; ++s) {
            const index_t begin = slices.begin(s);
            T* dx = grads.dx != nullptr ? grads.dx + begin * x.shape.image() : nullptr;
            backward.slice(begin, slices.end(s), {dx, one.data(), one.data() + weights});
            kernel.add(size, one.data(), sum);
        }
    });
    add_up(count, size, sums.data());
    std::copy_n(sums.data(), weights, grads.dweight);
    std::copy_n(sums.data() + weights, block.conv.filters, grads.dbias);
}

#define POCKETCNN_INSTANTIATE(T)                                                       \
    template void conv_block(ImageView<const T>, const T*, const T*, const ConvBlock&, \
                             ImageView<T>, index_t*, const KnownNorm<T>*);             \
    template void conv_block_grad(ImageView<const T>, const T*, const index_t*,        \
                                  ImageView<const T>, const T*, const ConvBlock&,      \
                                  const ConvBlockGrads<T>&);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn
