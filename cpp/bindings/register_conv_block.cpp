#include <pocketcnn/averaged_conv.h>
#include <pocketcnn/conv_block.h>
#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <tuple>

#include "arrays.h"
#include "gil.h"
#include "register.h"
#include "window.h"

namespace pocketcnn::bindings {
namespace {

using ConvArguments = std::tuple<Pair, Padding, Pair, index_t>;  ///< stride to groups
using PoolArguments = std::tuple<Pair, Pair, Padding, bool>;     ///< kernel to ceil mode
/// gamma, beta, mean, variance, eps, and whether a ReLU follows
template <typename T>
using NormArguments = std::tuple<Array<T>, Array<T>, Array<double>, Array<double>, double, bool>;

/// Which activation, the pooling, and whether the divisor counts the padding.
using AverageArguments = std::tuple<std::string, PoolArguments, bool>;

template <typename T>
Conv2d conv_of(const Array<T>& x, const Array<T>& weight, const ConvArguments& conv) {
    const auto& [stride, padding, dilation, groups] = conv;
    return convolution(shape4(x), shape4(weight), stride, padding, dilation, groups);
}

Pool2d pool_of(const PoolArguments& pool) {
    const auto& [kernel, step, sides, ceil_mode] = pool;
    return {window2d(kernel, step, sides, {1, 1}), ceil_mode};
}

Activation activation_of(const std::string& name) {
    if (name == "relu") return Activation::relu;
    if (name == "sigmoid") return Activation::sigmoid;
    if (name == "tanh") return Activation::tanh;
    throw py::value_error("no activation is called " + name);
}

template <typename T>
AveragedConv averaged_conv_of(const Array<T>& x, const Array<T>& weight, const ConvArguments& conv,
                              const AverageArguments& average) {
    const auto& [activation, pool, count_include_pad] = average;
    return {conv_of(x, weight, conv), activation_of(activation), pool_of(pool), count_include_pad};
}

template <typename T>
ConvBlock conv_block_of(const Array<T>& x, const Array<T>& weight, const ConvArguments& conv,
                        const std::optional<PoolArguments>& pool) {
    ConvBlock block = {conv_of(x, weight, conv), {}};
    if (pool) block.pool = pool_of(*pool);
    return block;
}

template <typename T>
std::optional<KnownNorm<T>> known_norm(const std::optional<NormArguments<T>>& arguments,
                                       index_t channels) {
    if (!arguments) return {};
    const auto& [gamma, beta, mean, variance, eps, rectify] = *arguments;
    require_shape(gamma, Shape{channels}, "gamma");
    require_shape(beta, Shape{channels}, "beta");
    require_shape(mean, Shape{channels}, "mean");
    require_shape(variance, Shape{channels}, "variance");
    return KnownNorm<T>{{gamma.data(), beta.data(), eps, rectify}, {mean.data(), variance.data()}};
}

template <typename T>
void define_averaged(py::module_& module) {
    module.def(
        "averaged_conv",
        [](const Array<T>& x, const Array<T>& weight, const std::optional<Array<T>>& bias,
           const ConvArguments& conv, const AverageArguments& average) {
            const AveragedConv block = averaged_conv_of(x, weight, conv, average);
            if (bias) require_shape(*bias, Shape{block.conv.filters}, "bias");
            const Shape4 shape = conv2d_output_shape(shape4(x), block.conv);
            Array<T> maps = new_image<T>(shape);
            Array<T> y = new_image<T>(pool2d_output_shape(shape, block.pool));
            const ImageView<T> between = mutable_image(maps), out = mutable_image(y);
            {
                const WithoutGil released;
                averaged_conv<T>(image(x), weight.data(), bias ? bias->data() : nullptr, block,
                                 between, out);
            }
            return py::make_tuple(y, maps);
        },
        py::arg("x").noconvert(), py::arg("weight").noconvert(), py::arg("bias").noconvert(),
        py::arg("conv"), py::arg("average"));
    module.def(
        "averaged_conv_backward",
        [](const Array<T>& grad, const Array<T>& maps, const Array<T>& x, const Array<T>& weight,
           const ConvArguments& conv, const AverageArguments& average, bool input_grad) {
            const AveragedConv block = averaged_conv_of(x, weight, conv, average);
            const Shape4 between = conv2d_output_shape(shape4(x), block.conv);
            require_shape(maps, between, "maps");
            require_shape(grad, pool2d_output_shape(between, block.pool), "grad");
            std::optional<Array<T>> dx;
            if (input_grad) dx = new_image<T>(shape4(x));
            Array<T> dweight = new_image<T>(shape4(weight));
            Array<T> dbias = new_array<T>({block.conv.filters});
            const ConvBlockGrads<T> grads = {dx ? dx->mutable_data() : nullptr,
                                             dweight.mutable_data(), dbias.mutable_data()};
            {
                const WithoutGil released;
                averaged_conv_backward<T>(image(grad), maps.data(), image(x), weight.data(), block,
                                          grads);
            }
            return py::make_tuple(dx, dweight, dbias);
        },
        py::arg("grad").noconvert(), py::arg("maps").noconvert(), py::arg("x").noconvert(),
        py::arg("weight").noconvert(), py::arg("conv"), py::arg("average"), py::arg("input_grad"));
}

template <typename T>
void define(py::module_& module) {
    module.def(
        "conv_block",
        [](const Array<T>& x, const Array<T>& weight, const std::optional<Array<T>>& bias,
           const ConvArguments& conv, const std::optional<PoolArguments>& pool,
           const std::optional<NormArguments<T>>& norm) {
            const ConvBlock block = conv_block_of(x, weight, conv, pool);
            const std::optional<KnownNorm<T>> known = known_norm<T>(norm, block.conv.filters);
            if (bias) require_shape(*bias, Shape{block.conv.filters}, "bias");
            const Shape4 shape = conv_block_output_shape(shape4(x), block);
            Array<T> y = new_image<T>(shape);
            std::optional<Array<std::int32_t>> argmax;
            if (pool) argmax = new_image<std::int32_t>(shape);
            const ImageView<T> out = mutable_image(y);
            std::int32_t* places = argmax ? argmax->mutable_data() : nullptr;
            {
                const WithoutGil released;
                conv_block<T>(image(x), weight.data(), bias ? bias->data() : nullptr, block, out,
                              places, known ? &*known : nullptr);
            }
            return py::make_tuple(y, argmax);
        },
        py::arg("x").noconvert(), py::arg("weight").noconvert(), py::arg("bias").noconvert(),
        py::arg("conv"), py::arg("pool"), py::arg("norm"));
    module.def(
        "conv_block_backward",
        [](const Array<T>& grad, const Array<T>& y,
           const std::optional<Array<std::int32_t>>& argmax, const Array<T>& x,
           const Array<T>& weight, const ConvArguments& conv,
           const std::optional<PoolArguments>& pool, bool input_grad, bool dx_before_relu,
           bool dy_before_relu) {
            ConvBlock block = conv_block_of(x, weight, conv, pool);
            block.dx_before_relu = dx_before_relu;
            block.dy_before_relu = dy_before_relu;
            const Shape4 shape = conv_block_output_shape(shape4(x), block);
            require_shape(grad, shape, "grad");
            require_shape(y, shape, "y");
            if (pool.has_value() != argmax.has_value()) {
                throw py::value_error("argmax is there with a pooling, and only then");
            }
            if (argmax) require_shape(*argmax, shape, "argmax");
            std::optional<Array<T>> dx;
            if (input_grad) dx = new_image<T>(shape4(x));
            Array<T> dweight = new_image<T>(shape4(weight));
            Array<T> dbias = new_array<T>({block.conv.filters});
            const ConvBlockGrads<T> grads = {dx ? dx->mutable_data() : nullptr,
                                             dweight.mutable_data(), dbias.mutable_data()};
            {
                const WithoutGil released;
                conv_block_backward<T>(image(grad), y.data(), argmax ? argmax->data() : nullptr,
                                       image(x), weight.data(), block, grads);
            }
            return py::make_tuple(dx, dweight, dbias);
        },
        py::arg("grad").noconvert(), py::arg("y").noconvert(), py::arg("argmax").noconvert(),
        py::arg("x").noconvert(), py::arg("weight").noconvert(), py::arg("conv"), py::arg("pool"),
        py::arg("input_grad"), py::arg("dx_before_relu"), py::arg("dy_before_relu"));
}

}  // namespace

void register_conv_block(py::module_& module) {
    POCKETCNN_FOR_TYPES(define, module);
    POCKETCNN_FOR_TYPES(define_averaged, module);
}

}  // namespace pocketcnn::bindings
