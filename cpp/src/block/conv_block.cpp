#include <pocketcnn/activation.h>
#include <pocketcnn/batch_norm.h>
#include <pocketcnn/conv_block.h>

#include <stdexcept>

#include "block/slices.h"
#include "conv/problem.h"
#include "conv/sparse_grad.h"
#include "conv/ways.h"

namespace pocketcnn {
namespace {

/// An element of an array that may be null.
template <typename T>
T* from(T* array, index_t offset) {
    return array != nullptr ? array + offset : nullptr;
}

/// Everything that the forward pass of one slice reads and writes.
template <typename T>
struct Forward {
    ImageView<const T> x;
    const T *weight, *bias;
    const ConvBlock& block;
    const ConvBlockOutput<T>& output;
    const KnownNorm<T>* norm;
    const KeptWeights<T>* weights;
    const KnownNorm<T>* units;
    Shape4 maps;

    void slice(index_t begin, index_t end) const {
        const ImageView<const T> in = images(x, begin, end);
        const ImageView<T> out = images(output.y, begin, end);
        if (!block.pool) return activated(in, out);
        Shape4 shape = maps;
        shape.n = end - begin;
        const Buffer<T> between(output.maps == nullptr ? shape.size() : 0);
        T* kept = from(output.maps, begin * shape.image());
        const ImageView<T> to = {kept != nullptr ? kept : between.data(), shape};
        activated(in, to);
        const auto& [pool, kind, count_include_pad] = *block.pool;
        if (kind == PoolKind::average) {
            return avg_pool2d<T>(constant(to), pool, count_include_pad, out);
        }
        max_pool2d<T>(constant(to), pool, out, output.argmax + begin * out.shape.image());
        if (rectifies_maxima()) activate(Activation::relu, out.data, out.data, out.shape.size());
    }

  private:
    bool rectifies() const { return block.activation == Activation::relu; }
    /// The largest is the same before and after a ReLU; its place is not where none is above zero,
    /// but then it has no gradient.
    bool rectifies_maxima() const {
        return rectifies() && norm == nullptr && block.pools(PoolKind::max);
    }

    /// The steps before the pooling.
    void activated(ImageView<const T> in, ImageView<T> to) const {
        Epilogue epilogue;
        if (norm == nullptr && !rectifies_maxima()) {
            epilogue = {block.activation, block.parameter};
        }
        conv2d<T>(in, weight, bias, block.conv, to, epilogue, weights, units);
        if (norm == nullptr) return;
        const BatchNorm<T> how = {norm->gamma, norm->beta, norm->eps, rectifies()};
        batch_norm_infer<T>(to.data, {to.shape.n, to.shape.c, to.shape.plane()}, how,
                            {norm->mean, norm->variance}, to.data);
        if (block.activation && !rectifies()) {
            activate(*block.activation, to.data, to.data, to.shape.size(), block.parameter);
        }
    }
};

/// Everything that the backward pass of one slice reads.
template <typename T>
struct Backward {
    ImageView<const T> dy, x;
    const ConvBlockKept<T>& kept;
    const T* weight;
    const ConvBlock& block;
    Shape4 maps;
    /// The way of the gradient of the weights where it takes the gradients of the pooled values,
    /// each of which belongs to one result of the convolution; null where it takes those of all.
    const conv::WeightGradWay* sparse;

    void slice(index_t begin, index_t end, const ConvGrads<T>& grads) const {
        const ImageView<const T> in = images(x, begin, end), out = images(dy, begin, end);
        const std::int32_t* places = from(kept.argmax, begin * out.shape.image());
        const index_t image = block.keeps_maps() ? maps.image() : out.shape.image();
        const bool passed = !block.activation || block.dy_before_relu;
        const T* activated = passed ? nullptr : kept.activated + begin * image;
        if (block.keeps_maps() || block.pools(PoolKind::average)) {
            return pooling_first(out, places, activated, in, grads);
        }
        if (sparse != nullptr) {
            // NOLINTNEXTLINE(bugprone-unchecked-optional-access): there is none without pooling
            const Window2d& window = block.pool->pool.window;
            const conv::PooledGrad<T> gradient = {out.shape, window, out.data, activated, places};
            const conv::Problem problem(in.shape, block.conv);
            conv::compute<T>(*sparse,
                             {problem, nullptr, in.data, grads.dweight, grads.dbias, &gradient});
            if (grads.dx == nullptr) return;
        }
        activation_first(out, places, activated, in, grads);
    }

  private:
    /// As the layers one by one do.
    void pooling_first(ImageView<const T> out, const std::int32_t* places, const T* activated,
                       ImageView<const T> in, const ConvGrads<T>& grads) const {
        const Buffer<T> values(maps_of(in).size());
        const ImageView<T> dmaps = {values.data(), maps_of(in)};
        unpool(out, places, dmaps);
        if (activated != nullptr) {
            // NOLINTNEXTLINE(bugprone-unchecked-optional-access): else nothing is activated
            activate_backward(*block.activation, dmaps.data, activated, dmaps.data,
                              dmaps.shape.size(), block.parameter);
        }
        convolution(constant(dmaps), in, grads, grads.dbias);
    }

    /// Without pooling, or where pooled values pass the ReLU, which are fewer.
    void activation_first(ImageView<const T> out, const std::int32_t* places, const T* activated,
                          ImageView<const T> in, const ConvGrads<T>& grads) const {
        const Buffer<T> values(activated != nullptr ? out.shape.size() : 0);
        if (activated != nullptr) {
            // NOLINTNEXTLINE(bugprone-unchecked-optional-access): else nothing is activated
            activate_backward(*block.activation, out.data, activated, values.data(),
                              out.shape.size(), block.parameter);
            out.data = values.data();
        }
        if (!block.pool) return convolution(out, in, grads, grads.dbias);
        if (sparse == nullptr) conv2d_backward_bias<T>(out, grads.dbias);
        const Buffer<T> spread(maps_of(in).size());
        const ImageView<T> dmaps = {spread.data(), maps_of(in)};
        unpool(out, places, dmaps);
        convolution(constant(dmaps), in, grads, nullptr);
    }

    void unpool(ImageView<const T> out, const std::int32_t* places, ImageView<T> dmaps) const {
        // NOLINTNEXTLINE(bugprone-unchecked-optional-access): called where there is a pooling
        const auto& [pool, kind, count_include_pad] = *block.pool;
        if (kind == PoolKind::average) {
            avg_pool2d_backward<T>(out, pool, count_include_pad, dmaps);
        } else {
            max_pool2d_backward(out, places, dmaps);
        }
    }

    /// dbias is null where it is known.
    void convolution(ImageView<const T> dmaps, ImageView<const T> in, const ConvGrads<T>& grads,
                     T* dbias) const {
        const T* gate = block.dx_before_relu ? in.data : nullptr;
        if (sparse == nullptr) {
            conv2d_backward<T>(dmaps, in, weight, block.conv, {grads.dx, grads.dweight, dbias},
                               gate);
        } else if (grads.dx != nullptr) {
            conv2d_backward_input<T>(dmaps, weight, block.conv, {grads.dx, in.shape}, gate);
        }
    }

    Shape4 maps_of(ImageView<const T> in) const {
        Shape4 shape = maps;
        shape.n = in.shape.n;
        return shape;
    }
};

}  // namespace

Shape4 conv_block_output_shape(const Shape4& x, const ConvBlock& block) {
    const Shape4 maps = conv2d_output_shape(x, block.conv);
    return block.pool ? pool2d_output_shape(maps, block.pool->pool) : maps;
}

template <typename T>
void conv_block(ImageView<const T> x, const T* weight, const T* bias, const ConvBlock& block,
                const ConvBlockOutput<T>& output, const KnownNorm<T>* norm,
                const KeptWeights<T>* kept, const KnownNorm<T>* units) {
    if (output.y.shape != conv_block_output_shape(x.shape, block)) {
        throw std::invalid_argument("y does not have the shape that the block gives");
    }
    const Shape4 maps = conv2d_output_shape(x.shape, block.conv);
    const Forward<T> forward = {x, weight, bias, block, output, norm, kept, units, maps};
    const bool undivided = transforms_weights(x.shape, block.conv);
    const Slices slices(x.shape, maps, sizeof(T), undivided);
    Slices::run(slices.count(), multiply_adds(x.shape, maps, block.conv),
                [&](index_t i) { forward.slice(slices.begin(i), slices.end(i)); });
}

template <typename T>
void conv_block_backward(ImageView<const T> dy, const ConvBlockKept<T>& kept, ImageView<const T> x,
                         const T* weight, const ConvBlock& block, const ConvGrads<T>& grads) {
    if (dy.shape != conv_block_output_shape(x.shape, block)) {
        throw std::invalid_argument("dy does not have the shape that the block gives");
    }
    if (block.activation && gradient_takes_input(*block.activation)) {
        throw std::invalid_argument("the block does not keep what its activation's gradient takes");
    }
    if (block.dy_before_relu && !block.ends_in_relu()) {
        throw std::invalid_argument("dy_before_relu needs a block that ends in a ReLU");
    }
    const Shape4 maps = conv2d_output_shape(x.shape, block.conv);
    const conv::Problem problem(x.shape, block.conv);
    const conv::Pooling pooling = {dy.shape, block.pool ? block.pool->pool.window : Window2d{}};
    const bool one_each = block.pools(PoolKind::max) && !block.keeps_maps();
    const conv::Question question = {.problem = problem,
                                     .asked = block.conv.algorithm,
                                     .pooling = one_each ? &pooling : nullptr};
    const conv::WeightGradWay& way = conv::weight_grad_way(question);
    const bool sparse = way.about.algorithm == ConvAlgorithm::sparse;
    const Slices slices(x.shape, maps, sizeof(T),
                        grads_transform_weights(question, grads.dx != nullptr));
    const Backward<T> backward = {dy, x, kept, weight, block, maps, sparse ? &way : nullptr};
    slice_gradients<T>(x.shape, maps, block.conv, slices, grads,
                       [&](index_t begin, index_t end, const ConvGrads<T>& to) {
                           backward.slice(begin, end, to);
                       });
}

#define POCKETCNN_INSTANTIATE(T)                                                       \
    template void conv_block(ImageView<const T>, const T*, const T*, const ConvBlock&, \
                             const ConvBlockOutput<T>&, const KnownNorm<T>*,           \
                             const KeptWeights<T>*, const KnownNorm<T>*);              \
    template void conv_block_backward(ImageView<const T>, const ConvBlockKept<T>&,     \
                                      ImageView<const T>, const T*, const ConvBlock&,  \
                                      const ConvGrads<T>&);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn
