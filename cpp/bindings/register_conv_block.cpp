#include <pocketcnn/conv_block.h>
#include <pybind11/native_enum.h>
#include <pybind11/stl.h>

#include <optional>
#include <tuple>

#include "arrays.h"
#include "geometry.h"
#include "gil.h"
#include "register.h"
#include "value.h"

namespace pocketcnn::bindings {
namespace {

/// gamma, beta, mean, variance, eps.
template <typename T>
using NormArguments = std::tuple<Array<T>, Array<T>, Array<double>, Array<double>, double>;

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
    require_shape(weight, conv2d_weight_shape(shape4(x), block.conv), "weight");
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
    require_shape(weight, conv2d_weight_shape(shape4(x), block.conv), "weight");
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
void define_conv_block(py::module_& module) {
    module.def("conv_block", &forward<T>, py::arg("x").noconvert(), py::arg("weight").noconvert(),
               py::arg("bias").noconvert(), py::arg("block"), py::arg("norm"));
    module.def("conv_block_backward", &backward<T>, py::arg("grad").noconvert(),
               py::arg("activated").noconvert(), py::arg("argmax").noconvert(),
               py::arg("x").noconvert(), py::arg("weight").noconvert(), py::arg("block"),
               py::arg("input_grad"));
}

void define_conv_block_classes(py::module_& module) {
    constexpr auto copy = py::return_value_policy::copy;
    py::native_enum<PoolKind>(module, "PoolKind", "enum.Enum")
        .value("max", PoolKind::max)
        .value("average", PoolKind::average)
        .finalize();
    value_class<BlockPool>(module, "BlockPool", {"pool", "kind", "count_include_pad"})
        .def(py::init<Pool2d, PoolKind, bool>(), py::arg("pool"), py::arg("kind"),
             py::arg("count_include_pad"))
        .def_readonly("pool", &BlockPool::pool, copy)
        .def_readonly("kind", &BlockPool::kind)
        .def_readonly("count_include_pad", &BlockPool::count_include_pad);
    value_class<ConvBlock>(
        module, "ConvBlock",
        {"conv", "activation", "pool", "parameter", "dx_before_relu", "dy_before_relu"})
        .def(py::init<Conv2d, std::optional<Activation>, std::optional<BlockPool>, double, bool,
                      bool>(),
             py::arg("conv"), py::arg("activation"), py::arg("pool"), py::arg("parameter") = 0.0,
             py::arg("dx_before_relu") = false, py::arg("dy_before_relu") = false)
        .def_readonly("conv", &ConvBlock::conv, copy)
        .def_readonly("activation", &ConvBlock::activation)
        .def_readonly("pool", &ConvBlock::pool, copy)
        .def_readonly("parameter", &ConvBlock::parameter)
        .def_readonly("dx_before_relu", &ConvBlock::dx_before_relu)
        .def_readonly("dy_before_relu", &ConvBlock::dy_before_relu)
        .def_property_readonly("ends_in_relu", &ConvBlock::ends_in_relu);
}

}  // namespace

void register_conv_block(py::module_& module) {
    define_conv_block_classes(module);
    POCKETCNN_FOR_TYPES(define_conv_block, module);
}

}  // namespace pocketcnn::bindings
