// The public convolution: checks the shapes and calls the algorithm that the table selects.
#include <pocketcnn/conv2d.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "channel_norm.h"
#include "conv/kept_weights.h"
#include "conv/plane_sums.h"
#include "conv/problem.h"
#include "conv/ways.h"
#include "runtime/isa.h"
#include "runtime/memory_pool.h"
#include "runtime/parallel.h"

namespace pocketcnn {
namespace {

using conv::Problem;

/// Whether two threads compute both gradients of so much work at once, one each: they wait for each
/// other once instead of at every step. With more work what counts is that both have as much to do.
/// Tiles are many steps, and single pixels few (docs/measurements.md#both-gradients-at-once).
bool pays_at_once(const conv::Question& question, double work) {
    constexpr double of_tiles = 1e8, of_pixels = 2e6, of_others = 1e7;
    if (question.problem.window.taps() == 1) return work <= of_pixels;
    if (work <= of_others || work > of_tiles) return work <= of_others;
    return conv::weight_grad_way(question).transforms_weights &&
           conv::input_grad_way(question).transforms_weights;
}

void require_shape(const Shape4& given, const Shape4& wanted, const char* name) {
    if (given != wanted) {
        throw std::invalid_argument(std::string(name) +
                                    " does not have the shape that the convolution gives");
    }
}

/// The gradients of an empty batch.
template <typename T>
void no_gradient(const Problem& problem, T* dweight, T* dbias) {
    std::fill_n(dweight, problem.y.c * problem.taps, T{0});
    if (dbias != nullptr) std::fill_n(dbias, problem.y.c, T{0});
}

const ConvWay& way_of(ConvPass pass, const conv::Question& question) {
    switch (pass) {
        case ConvPass::forward:
            return conv::forward_way(question).about;
        case ConvPass::input_grad:
            return conv::input_grad_way(question).about;
        case ConvPass::weight_grad:
            break;
    }
    return conv::weight_grad_way(question).about;
}

constexpr std::pair<ConvAlgorithm, const char*> kNames[] = {
    {ConvAlgorithm::automatic, "auto"},
    {ConvAlgorithm::im2col, "im2col"},
    {ConvAlgorithm::winograd, "winograd"},
    {ConvAlgorithm::winograd_parts, "winograd_parts"},
    {ConvAlgorithm::winograd_dilated, "winograd_dilated"},
    {ConvAlgorithm::depthwise, "depthwise"},
    {ConvAlgorithm::direct, "direct"},
    {ConvAlgorithm::pointwise, "pointwise"},
    {ConvAlgorithm::pointwise_in_place, "pointwise_in_place"},
    {ConvAlgorithm::pointwise_strided, "pointwise_strided"},
    {ConvAlgorithm::few_pixels, "few_pixels"},
    {ConvAlgorithm::patches, "patches"},
    {ConvAlgorithm::phases, "phases"},
    {ConvAlgorithm::sparse, "sparse"},
};

}  // namespace

const char* name_of(ConvAlgorithm algorithm) {
    for (const auto& [named, name] : kNames) {
        if (named == algorithm) return name;
    }
    return "";
}

Shape4 conv2d_output_shape(const Shape4& x, const Conv2d& conv) {
    validate(x, "x");
    validate(conv.window, x.h, x.w);
    if (conv.groups < 1 || x.c < 1 || conv.filters < 1 || x.c % conv.groups != 0 ||
        conv.filters % conv.groups != 0) {
        throw std::invalid_argument("groups " + std::to_string(conv.groups) + " must divide the " +
                                    std::to_string(x.c) + " channels and the " +
                                    std::to_string(conv.filters) + " filters");
    }
    validate(conv2d_weight_shape(x, conv), "weight");
    const Shape4 y = {x.n, conv.filters, conv.window.out_h(x.h), conv.window.out_w(x.w)};
    validate(y, "the output");
    return y;
}

Shape4 conv2d_weight_shape(const Shape4& x, const Conv2d& conv) {
    return {conv.filters, x.c / conv.groups, conv.window.kernel_h, conv.window.kernel_w};
}

ConvPlan conv2d_plan(const Shape4& x, const Conv2d& conv, ConvPass pass) {
    const Problem problem(x, conv);
    const ConvWay& way = way_of(pass, {problem, conv.algorithm});
    const bool asked = conv.algorithm == way.algorithm || conv.algorithm == way.family;
    return {way.algorithm, asked ? "asked for" : way.reason};
}

template <typename T>
KeptWeights<T>::KeptWeights(KeptChoice choice)
    : choice_(choice), forms_(std::make_unique<Forms>()) {}
template <typename T>
KeptWeights<T>::~KeptWeights() = default;

template <typename T>
void conv2d(ImageView<const T> x, const T* weight, const T* bias, const Conv2d& conv,
            ImageView<T> y, const Epilogue& epilogue, const KeptWeights<T>* kept,
            const KnownNorm<T>* units) {
    const Problem problem(x.shape, conv);
    require_shape(y.shape, problem.y, "y");
    const conv::ForwardWay& way =
        conv::forward_way({.problem = problem,
                           .asked = conv.algorithm,
                           .kept = kept != nullptr && kept->choice() == KeptChoice::fastest});
    if (problem.x.n == 0) return;
    std::vector<ChannelNorm<T>> norms;
    if (units != nullptr) norms = norms_of(*units, problem.x.c);
    conv::compute<T>(
        way, {problem, x.data, weight, bias, y.data, conv::OutputGrid(problem.y),
              conv::LastStep<T>(epilogue), kept, units != nullptr ? norms.data() : nullptr});
}

template <typename T>
void conv2d_backward_input(ImageView<const T> dy, const T* weight, const Conv2d& conv,
                           ImageView<T> dx, const T* gate) {
    const Problem problem(dx.shape, conv);
    require_shape(dy.shape, problem.y, "dy");
    const conv::InputGradWay& way = conv::input_grad_way({problem, conv.algorithm});
    if (problem.x.n == 0) return;
    conv::compute<T>(way, {problem, dy.data, weight, dx.data, gate, conv.algorithm});
}

template <typename T>
void conv2d_backward_weight(ImageView<const T> dy, ImageView<const T> x, const Conv2d& conv,
                            T* dweight, T* dbias) {
    const Problem problem(x.shape, conv);
    require_shape(dy.shape, problem.y, "dy");
    const conv::WeightGradWay& way = conv::weight_grad_way({problem, conv.algorithm});
    if (problem.x.n == 0) return no_gradient(problem, dweight, dbias);
    conv::compute<T>(way, {problem, dy.data, x.data, dweight, dbias});
}

template <typename T>
void conv2d_backward(ImageView<const T> dy, ImageView<const T> x, const T* weight,
                     const Conv2d& conv, const ConvGrads<T>& grads, const T* gate) {
    const auto weights = [&] {
        conv2d_backward_weight<T>(dy, x, conv, grads.dweight, grads.dbias);
    };
    if (grads.dx == nullptr) return weights();
    const auto input = [&] {
        conv2d_backward_input<T>(dy, weight, conv, {grads.dx, x.shape}, gate);
    };
    const Problem problem(x.shape, conv);
    const double work = 2 * problem.multiply_adds();
    if (threads_for_loop() != 2 || !pays_at_once({problem, conv.algorithm}, work)) {
        weights();
        return input();
    }
    parallel_for(2, work, [&](index_t i) { i == 0 ? weights() : input(); });
}

template <typename T>
void conv2d_backward_bias(ImageView<const T> dy, T* dbias) {
    validate(dy.shape, "dy");
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const Shape4& shape = dy.shape;
    const Buffer<double> sums(shape.n * shape.c);
    parallel_ranges(shape.n, 1, static_cast<double>(shape.image()), [&](index_t n, index_t end) {
        for (index_t i = n * shape.c; i < end * shape.c; ++i) {
            sums[i] = kernels.elementwise.sum(shape.plane(), dy.data + i * shape.plane());
        }
    });
    conv::add_planes(shape, sums.data(), dbias);
}

#define POCKETCNN_INSTANTIATE(T)                                                                   \
    template void conv2d(ImageView<const T>, const T*, const T*, const Conv2d&, ImageView<T>,      \
                         const Epilogue&, const KeptWeights<T>*, const KnownNorm<T>*);             \
    template class KeptWeights<T>;                                                                 \
    template void conv2d_backward_input(ImageView<const T>, const T*, const Conv2d&, ImageView<T>, \
                                        const T*);                                                 \
    template void conv2d_backward_weight(ImageView<const T>, ImageView<const T>, const Conv2d&,    \
                                         T*, T*);                                                  \
    template void conv2d_backward(ImageView<const T>, ImageView<const T>, const T*, const Conv2d&, \
                                  const ConvGrads<T>&, const T*);                                  \
    template void conv2d_backward_bias(ImageView<const T>, T*);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn
