#include <pocketcnn/conv_block.h>
#include <pybind11/stl.h>

#include <optional>
#include <tuple>

#include "arrays.h"
#include "register.h"
#include "window.h"

namespace pocketcnn::bindings {
namespace {

using ConvArguments = std::tuple<Pair, Padding, Pair, index_t>;  ///< stride to groups
using PoolArguments = std::tuple<Pair, Pair, Padding, bool>;     ///< kernel to ceil mode
/// gamma, beta, mean, variance, eps, and whether a ReLU follows
template <typename T>
using NormArguments = std::tuple<Array<T>, Array<T>, Array<double>, Array<double>, double, bool>;

template <typename T>
ConvBlock conv_block_of(const Array<T>& weight, const ConvArguments& conv,
                        const std::optional<PoolArguments>& pool) {
    const Shape4 w = shape4(weight);
    const auto& [stride, padding, dilation, groups] = conv;
    ConvBlock block = {{window2d({w.h, w.w}, stride, padding, dilation), w.n, groups}, {}};
    if (pool) {
        const auto& [kernel, step, sides, ceil_mode] = *pool;
        block.pool = Pool2d{window2d(kernel, step, sides, {1, 1}), ceil_mode};
    }
    return block;
}

template <typename T>
std::optional<KnownNorm<T>> known_norm(const std::optional<NormArguments<T>>& arguments,
                                       index_t channels) {
    if (!arguments) return {};
    const auto& [gamma, beta, mean, variance, eps, rectify] = *arguments;
    require_size(gamma, channels, "gamma");
    require_size(beta, channels, "beta");
    require_size(mean, channels, "mean");
    require_size(variance, channels, "variance");
    return KnownNorm<T>{{gamma.data(), beta.data(), eps, rectify}, {mean.data(), variance.data()}};
}

template <typename T>
void define(py::module_& module) {
    module.def(
        "conv_block",
        [](const Array<T>& x, const Array<T>& weight, const std::optional<Array<T>>& bias,
           const ConvArguments& conv, const std::optional<PoolArguments>& pool,
           const std::optional<NormArguments<T>>& norm) {
            const ConvBlock block = conv_block_of(weight, conv, pool);
            const std::optional<KnownNorm<T>> known = known_norm<T>(norm, block.conv.filters);
            if (bias) require_size(*bias, block.conv.filters, "bias");
            const Shape4 shape = conv_block_output_shape(shape4(x), block);
            Array<T> y = new_image<T>(shape);
            std::optional<Array<index_t>> argmax;
            if (pool) argmax = new_image<index_t>(shape);
            const ImageView<T> out = mutable_image(y);
            index_t* places = argmax ? argmax->mutable_data() : nullptr;
            {
                const py::gil_scoped_release release;
                conv_block<T>(image(x), weight.data(), bias ? bias->data() : nullptr, block, out,
                              places, known ? &*known : nullptr);
            }
            return py::make_tuple(y, argmax);
        },
        py::arg("x").noconvert(), py::arg("weight").noconvert(), py::arg("bias").noconvert(),
        py::arg("conv"), py::arg("pool"), py::arg("norm"));
    module.def(
        "conv_block_backward",
        [](const Array<T>& grad, const Array<T>& y, const std::optional<Array<index_t>>& argmax,
           const Array<T>& x, const Array<T>& weight, const ConvArguments& conv,
           const std::optional<PoolArguments>& pool, bool input_grad, bool dx_before_relu,
           bool dy_before_relu) {
            ConvBlock block = conv_block_of(weight, conv, pool);
            block.dx_before_relu = dx_before_relu;
            block.dy_before_relu = dy_before_relu;
            require_size(y, grad.size(), "y");
            if (pool.has_value() != argmax.has_value()) throw py::value_error("argmax is missing");
            if (argmax) require_size(*argmax, grad.size(), "argmax");
            std::optional<Array<T>> dx;
            if (input_grad) dx = new_image<T>(shape4(x));
            Array<T> dweight = new_image<T>(shape4(weight));
            Array<T> dbias = new_array<T>({block.conv.filters});
            const ConvBlockGrads<T> grads = {dx ? dx->mutable_data() : nullptr,
                                             dweight.mutable_data(), dbias.mutable_data()};
            {
                const py::gil_scoped_release release;
                conv_block_grad<T>(image(grad), y.data(), argmax ? argmax->data() : nullptr,
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
}

}  // namespace pocketcnn::bindings
