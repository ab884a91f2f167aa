#include <pocketcnn/conv_block.h>
#include <pybind11/native_enum.h>
#include <pybind11/stl.h>

#include <optional>
#include <tuple>

#include "arrays.h"
#include "geometry.h"
#include "register.h"
#include "value.h"

namespace pocketcnn::bindings {
namespace {

/// gamma, beta, mean, variance, eps.
using NormArguments = std::tuple<Floats, Floats, Array<double>, Array<double>, double>;

void require_norm(const NormArguments& norm, index_t channels) {
    const auto& [gamma, beta, mean, variance, eps] = norm;
    require_shape(gamma, Shape{channels}, "gamma");
    require_shape(beta, Shape{channels}, "beta");
    require_shape(mean, Shape{channels}, "mean");
    require_shape(variance, Shape{channels}, "variance");
}

template <typename T>
std::optional<KnownNorm<T>> known_norm(const std::optional<NormArguments>& norm) {
    if (!norm) return {};
    const auto& [gamma, beta, mean, variance, eps] = *norm;
    return KnownNorm<T>{gamma.data<T>(), beta.data<T>(), mean.data(), variance.data(), eps};
}

py::tuple forward(const Floats& x, const Floats& weight, const std::optional<Floats>& bias,
                  const ConvBlock& block, const std::optional<NormArguments>& norm,
                  const std::optional<NormArguments>& units) {
    const Shape4 shape = conv_block_output_shape(shape4(x), block);
    require_shape(weight, conv2d_weight_shape(shape4(x), block.conv), "weight");
    if (bias) require_shape(*bias, Shape{block.conv.filters}, "bias");
    if (norm) require_norm(*norm, block.conv.filters);
    if (units) require_norm(*units, x.shape(1));
    Floats y = new_image(x, shape);
    std::optional<Array<std::int32_t>> argmax;
    if (block.pools(PoolKind::max)) argmax = new_array<std::int32_t>(shape_of(shape));
    std::int32_t* places = argmax ? argmax->mutable_data() : nullptr;
    std::optional<Floats> maps;
    if (block.keeps_maps() && !norm) {
        maps = new_image(x, conv2d_output_shape(shape4(x), block.conv));
    }
    compute(x, [&]<typename T>() {
        const std::optional<KnownNorm<T>> known = known_norm<T>(norm),
                                          before = known_norm<T>(units);
        conv_block<T>(image<T>(x), weight.data<T>(), data_or_null<T>(bias), block,
                      {mutable_image<T>(y), places, mutable_data_or_null<T>(maps)},
                      known ? &*known : nullptr, nullptr, before ? &*before : nullptr);
    });
    return results({y, maps ? *maps : y, or_none(argmax)});
}

py::tuple backward(const Floats& grad, const Floats& activated,
                   const std::optional<Array<std::int32_t>>& argmax, const Floats& x,
                   const Floats& weight, const ConvBlock& block, bool input_grad) {
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
    const std::int32_t* places = argmax ? argmax->data() : nullptr;
    std::optional<Floats> dx;
    if (input_grad) dx = new_like(x);
    Floats dweight = new_like(weight), dbias = new_floats(x, {block.conv.filters});
    compute(grad, [&]<typename T>() {
        conv_block_backward<T>(
            image<T>(grad), {activated.data<T>(), places}, image<T>(x), weight.data<T>(), block,
            {mutable_data_or_null<T>(dx), dweight.mutable_data<T>(), dbias.mutable_data<T>()});
    });
    return results({or_none(dx), dweight, dbias});
}

void define_conv_block(py::module_& module) {
    module.def("conv_block", &forward, py::arg("x"), py::arg("weight"), py::arg("bias"),
               py::arg("block"), py::arg("norm"), py::arg("units"));
    module.def("conv_block_backward", &backward, py::arg("grad"), py::arg("activated"),
               py::arg("argmax"), py::arg("x"), py::arg("weight"), py::arg("block"),
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
    define_conv_block(module);
}

}  // namespace pocketcnn::bindings
