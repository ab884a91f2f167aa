#include <pocketcnn/conv_block.h>
#include <pybind11/native_enum.h>
#include <pybind11/stl.h>

#include <optional>
#include <tuple>

#include "arrays.h"
#include "gil.h"
#include "register.h"
#include "window.h"

namespace pocketcnn::bindings {
namespace {

/// gamma, beta, mean, variance, eps.
template <typename T>
using NormArguments = std::tuple<Array<T>, Array<T>, Array<double>, Array<double>, double>;

template <typename T>
void require_fit(const Array<T>& x, const Array<T>& weight, const Conv2d& conv) {
    const Shape4 in = shape4(x), filters = shape4(weight);
    if (filters.c * conv.groups != in.c) {
        throw py::value_error("x has " + std::to_string(in.c) + " channels, but weight " +
                              text_of(filters) + " takes " + std::to_string(filters.c) +
                              " in each of " + std::to_string(conv.groups) + " groups");
    }
    const Window2d& window = conv.window;
    require_shape(weight, Shape4{conv.filters, filters.c, window.kernel_h, window.kernel_w},
                  "weight");
}

template <typename T>
std::optional<KnownNorm<T>> known_norm(const std::optional<NormArguments<T>>& arguments,
                                       index_t channels) {
    if (!arguments) return {};
    const auto& [gamma, beta, mean, variance, eps] = *arguments;
    require_shape(gamma, Shape{channels}, "gamma");
    require_shape(beta, Shape{channels}, "beta");
    require_shape(mean, Shape{channels}, "mean");
    require_shape(variance, Shape{channels}, "variance");
    return KnownNorm<T>{gamma.data(), beta.data(), mean.data(), variance.data(), eps};
}

template <typename T>
py::tuple forward(const Array<T>& x, const Array<T>& weight, const std::optional<Array<T>>& bias,
                  const ConvBlock& block, const std::optional<NormArguments<T>>& norm) {
    const Shape4 shape = conv_block_output_shape(shape4(x), block);
    require_fit(x, weight, block.conv);
    if (bias) require_shape(*bias, Shape{block.conv.filters}, "bias");
    const std::optional<KnownNorm<T>> known = known_norm<T>(norm, block.conv.filters);
    Array<T> y = new_image<T>(shape);
    std::optional<Array<std::int32_t>> argmax;
    if (block.pools(PoolKind::max)) argmax = new_image<std::int32_t>(shape);
    std::optional<Array<T>> maps;
    if (block.keeps_maps() && !norm) {
        maps = new_image<T>(conv2d_output_shape(shape4(x), block.conv));
    }
    const ConvBlockOutput<T> output = {mutable_image(y), argmax ? argmax->mutable_data() : nullptr,
                                       maps ? maps->mutable_data() : nullptr};
    {
        const WithoutGil released;
        conv_block<T>(image(x), weight.data(), bias ? bias->data() : nullptr, block, output,
                      known ? &*known : nullptr);
    }
    return py::make_tuple(y, maps ? *maps : y, argmax);
}

template <typename T>
py::tuple backward(const Array<T>& grad, const Array<T>& activated,
                   const std::optional<Array<std::int32_t>>& argmax, const Array<T>& x,
                   const Array<T>& weight, const ConvBlock& block, bool input_grad) {
    const Shape4 shape = conv_block_output_shape(shape4(x), block);
    require_fit(x, weight, block.conv);
    require_shape(grad, shape, "grad");
    require_shape(activated,
                  block.keeps_maps() ? conv2d_output_shape(shape4(x), block.conv) : shape,
                  "activated");
    if (block.pools(PoolKind::max) != argmax.has_value()) {
        throw py::value_error("argmax is there with max pooling, and only then");
    }
    if (argmax) require_shape(*argmax, shape, "argmax");
    std::optional<Array<T>> dx;
    if (input_grad) dx = new_image<T>(shape4(x));
    Array<T> dweight = new_image<T>(shape4(weight));
    Array<T> dbias = new_array<T>({block.conv.filters});
    const ConvBlockKept<T> kept = {activated.data(), argmax ? argmax->data() : nullptr};
    const ConvBlockGrads<T> grads = {dx ? dx->mutable_data() : nullptr, dweight.mutable_data(),
                                     dbias.mutable_data()};
    {
        const WithoutGil released;
        conv_block_backward<T>(image(grad), kept, image(x), weight.data(), block, grads);
    }
    return py::make_tuple(dx, dweight, dbias);
}

template <typename T>
void define(py::module_& module) {
    module.def("conv_block", &forward<T>, py::arg("x").noconvert(), py::arg("weight").noconvert(),
               py::arg("bias").noconvert(), py::arg("block"), py::arg("norm"));
    module.def("conv_block_backward", &backward<T>, py::arg("grad").noconvert(),
               py::arg("activated").noconvert(), py::arg("argmax").noconvert(),
               py::arg("x").noconvert(), py::arg("weight").noconvert(), py::arg("block"),
               py::arg("input_grad"));
}

using PoolArguments = std::tuple<PoolKind, Pair, Pair, Padding, bool, bool>;
using BlockArguments = std::tuple<index_t, Pair, Pair, Padding, Pair, index_t,
                                  std::optional<Activation>, std::optional<BlockPool>, bool, bool>;

BlockPool make_pool(PoolKind kind, Pair kernel, Pair stride, Padding padding, bool ceil_mode,
                    bool count_include_pad) {
    return {{window2d(kernel, stride, padding, {1, 1}), ceil_mode}, kind, count_include_pad};
}

ConvBlock make_block(index_t filters, Pair kernel, Pair stride, Padding padding, Pair dilation,
                     index_t groups, std::optional<Activation> activation,
                     const std::optional<BlockPool>& pool, bool dx_before_relu,
                     bool dy_before_relu) {
    const Conv2d conv = {window2d(kernel, stride, padding, dilation), filters, groups};
    return {conv, activation, pool, dx_before_relu, dy_before_relu};
}

PoolArguments pool_arguments(const BlockPool& pool) {
    const Window2d& w = pool.pool.window;
    return {pool.kind,
            {w.kernel_h, w.kernel_w},
            {w.stride_h, w.stride_w},
            {w.pad_top, w.pad_bottom, w.pad_left, w.pad_right},
            pool.pool.ceil_mode,
            pool.count_include_pad};
}

BlockArguments block_arguments(const ConvBlock& block) {
    const Window2d& w = block.conv.window;
    return {block.conv.filters,
            {w.kernel_h, w.kernel_w},
            {w.stride_h, w.stride_w},
            {w.pad_top, w.pad_bottom, w.pad_left, w.pad_right},
            {w.dilation_h, w.dilation_w},
            block.conv.groups,
            block.activation,
            block.pool,
            block.dx_before_relu,
            block.dy_before_relu};
}

/// Classes whose objects can be copied and pickled, as the networks that hold them can.
void define_classes(py::module_& module) {
    py::native_enum<Activation>(module, "Activation", "enum.Enum")
        .value("relu", Activation::relu)
        .value("sigmoid", Activation::sigmoid)
        .value("tanh", Activation::tanh)
        .finalize();
    py::native_enum<PoolKind>(module, "PoolKind", "enum.Enum")
        .value("max", PoolKind::max)
        .value("average", PoolKind::average)
        .finalize();
    py::class_<BlockPool>(module, "BlockPool")
        .def(py::init(&make_pool), py::arg("kind"), py::arg("kernel_size"), py::arg("stride"),
             py::arg("padding"), py::arg("ceil_mode"), py::arg("count_include_pad"))
        .def(py::pickle(&pool_arguments, [](const PoolArguments& arguments) {
            return std::apply(make_pool, arguments);
        }));
    py::class_<ConvBlock>(module, "ConvBlock")
        .def(py::init(&make_block), py::arg("filters"), py::arg("kernel_size"), py::arg("stride"),
             py::arg("padding"), py::arg("dilation"), py::arg("groups"), py::arg("activation"),
             py::arg("pool"), py::arg("dx_before_relu") = false, py::arg("dy_before_relu") = false)
        .def_readwrite("dx_before_relu", &ConvBlock::dx_before_relu)
        .def_readwrite("dy_before_relu", &ConvBlock::dy_before_relu)
        .def_property_readonly("ends_in_relu", &ConvBlock::ends_in_relu)
        .def(py::pickle(&block_arguments, [](const BlockArguments& arguments) {
            return std::apply(make_block, arguments);
        }));
}

}  // namespace

void register_conv_block(py::module_& module) {
    define_classes(module);
    POCKETCNN_FOR_TYPES(define, module);
}

}  // namespace pocketcnn::bindings
