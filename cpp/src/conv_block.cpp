#include <pocketcnn/activation.h>
#include <pocketcnn/conv_block.h>

#include <stdexcept>

#include "conv/problem.h"
#include "conv/slices.h"
#include "conv/sparse_grad.h"
#include "conv/ways.h"

namespace pocketcnn {
namespace {

/// Everything that the backward pass of one slice reads.
template <typename T>
struct Backward {
    ImageView<const T> dy, y, x;
    const std::int32_t* argmax;
    const T* weight;
    const ConvBlock& block;
    Shape4 maps;
    /// The way of the gradient of the weights where it takes the gradients of the pooled values,
    /// each of which belongs to one result of the convolution; null where it takes those of all.
    const conv::WeightGradWay* sparse;

    void slice(index_t begin, index_t end, const ConvBlockGrads<T>& grads) const {
        const ImageView<const T> in = images(x, begin, end), pooled = images(dy, begin, end);
        const T* rectified = block.dy_before_relu ? nullptr : images(y, begin, end).data;
        const std::int32_t* places = argmax + begin * pooled.shape.image();
        if (sparse != nullptr) {
            // NOLINTNEXTLINE(bugprone-unchecked-optional-access): there is none without pooling
            const Window2d& window = block.pool->window;
            const conv::PooledGrad<T> gradient = {pooled.shape, window, pooled.data, rectified,
                                                  places};
            const conv::Problem problem(in.shape, block.conv);
            conv::compute<T>(*sparse,
                             {problem, nullptr, in.data, grads.dweight, grads.dbias, &gradient});
            if (grads.dx == nullptr) return;
        }
        dense(pooled, rectified, places, in, grads);
    }

  private:
    /// What needs the gradients of all results.
    void dense(ImageView<const T> pooled, const T* rectified, const std::int32_t* places,
               ImageView<const T> in, const ConvBlockGrads<T>& grads) const {
        const Buffer<T> passed(rectified != nullptr ? pooled.shape.size() : 0);
        if (rectified != nullptr) {
            activate_backward(Activation::relu, pooled.data, rectified, passed.data(),
                              pooled.shape.size());
            pooled.data = passed.data();
        }
        if (!block.pool) return convolution(pooled, in, grads, grads.dbias);
        if (sparse == nullptr) conv2d_backward_bias<T>(pooled, grads.dbias);
        Shape4 shape = maps;
        shape.n = pooled.shape.n;
        const Buffer<T> spread(shape.size());
        max_pool2d_backward(pooled, places, {spread.data(), shape});
        convolution({spread.data(), shape}, in, grads, nullptr);
    }

    /// dbias is null where it is known.
    void convolution(ImageView<const T> dmaps, ImageView<const T> in,
                     const ConvBlockGrads<T>& grads, T* dbias) const {
        if (sparse == nullptr)
            conv2d_backward_weight<T>(dmaps, in, block.conv, grads.dweight, dbias);
        if (grads.dx != nullptr) {
            conv2d_backward_input<T>(dmaps, weight, block.conv, {grads.dx, in.shape},
                                     block.dx_before_relu ? in.data : nullptr);
        }
    }
};

}  // namespace

Shape4 conv_block_output_shape(const Shape4& x, const ConvBlock& block) {
    const Shape4 maps = conv2d_output_shape(x, block.conv);
    return block.pool ? pool2d_output_shape(maps, *block.pool) : maps;
}

template <typename T>
void conv_block(ImageView<const T> x, const T* weight, const T* bias, const ConvBlock& block,
                ImageView<T> y, std::int32_t* argmax, const KnownNorm<T>* norm) {
    if (y.shape != conv_block_output_shape(x.shape, block)) {
        throw std::invalid_argument("y does not have the shape that the block gives");
    }
    const Shape4 maps = conv2d_output_shape(x.shape, block.conv);
    const Slices slices(x.shape, maps, sizeof(T), transforms_weights(x.shape, block.conv));
    Slices::run(slices.count(), multiply_adds(x.shape, maps, block.conv), [&](index_t i) {
        const index_t begin = slices.begin(i), end = slices.end(i);
        const ImageView<T> out = images(y, begin, end);
        Shape4 shape = maps;
        shape.n = end - begin;
        const Buffer<T> between(block.pool ? shape.size() : 0);
        const ImageView<T> to = block.pool ? ImageView<T>{between.data(), shape} : out;
        const bool rectify = norm == nullptr && !block.pool;
        conv2d<T>(images(x, begin, end), weight, bias, block.conv, to, rectify);
        if (norm != nullptr) {
            batch_norm_infer<T>(to.data, {shape.n, shape.c, shape.plane()}, norm->norm,
                                norm->statistics, to.data);
        }
        if (block.pool) {
            max_pool2d<T>(constant(to), *block.pool, out, argmax + begin * out.shape.image());
        }
        if (norm == nullptr && block.pool) {
            // The largest is the same before and after; its place is not where none is above zero,
            // but then it has no gradient.
            activate(Activation::relu, out.data, out.data, out.shape.size());
        }
    });
}

template <typename T>
void conv_block_backward(ImageView<const T> dy, const T* y, const std::int32_t* argmax,
                         ImageView<const T> x, const T* weight, const ConvBlock& block,
                         const ConvBlockGrads<T>& grads) {
    if (dy.shape != conv_block_output_shape(x.shape, block)) {
        throw std::invalid_argument("dy does not have the shape that the block gives");
    }
    const Shape4 maps = conv2d_output_shape(x.shape, block.conv);
    const conv::Problem problem(x.shape, block.conv);
    const conv::Pooling pooling = {dy.shape, block.pool ? block.pool->window : Window2d{}};
    const conv::Question question = {.problem = problem,
                                     .asked = block.conv.algorithm,
                                     .pooling = block.pool ? &pooling : nullptr};
    const conv::WeightGradWay& way = conv::weight_grad_way(question);
    const bool sparse = way.about.algorithm == ConvAlgorithm::sparse;
    const Slices slices(x.shape, maps, sizeof(T),
                        grads_transform_weights(question, grads.dx != nullptr));
    const Backward<T> backward = {dy,     {y, dy.shape}, x,    argmax,
                                  weight, block,         maps, sparse ? &way : nullptr};
    slice_gradients<T>(x.shape, maps, block.conv, slices, grads,
                       [&](index_t begin, index_t end, const ConvBlockGrads<T>& to) {
                           backward.slice(begin, end, to);
                       });
}

#define POCKETCNN_INSTANTIATE(T)                                                         \
    template void conv_block(ImageView<const T>, const T*, const T*, const ConvBlock&,   \
                             ImageView<T>, std::int32_t*, const KnownNorm<T>*);          \
    template void conv_block_backward(ImageView<const T>, const T*, const std::int32_t*, \
                                      ImageView<const T>, const T*, const ConvBlock&,    \
                                      const ConvBlockGrads<T>&);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn
