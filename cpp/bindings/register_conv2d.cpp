#include <pocketcnn/conv2d.h>
#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "arrays.h"
#include "conv/ways.h"
#include "gil.h"
#include "register.h"
#include "window.h"

namespace pocketcnn::bindings {
namespace {

template <typename T>
void define(py::module_& module) {
    module.def(
        "conv2d",
        [](const Array<T>& x, const Array<T>& weight, const std::optional<Array<T>>& bias,
           Pair stride, Padding padding, Pair dilation, index_t groups,
           const std::string& algorithm) {
            const Conv2d conv = convolution(shape4(x), shape4(weight), stride, padding, dilation,
                                            groups, conv_algorithm(algorithm));
            if (bias) require_shape(*bias, Shape{conv.filters}, "bias");
            Array<T> y = new_image<T>(conv2d_output_shape(shape4(x), conv));
            const ImageView<T> out = mutable_image(y);
            const WithoutGil released;
            conv2d<T>(image(x), weight.data(), bias ? bias->data() : nullptr, conv, out);
            return y;
        },
        py::arg("x").noconvert(), py::arg("weight").noconvert(), py::arg("bias").noconvert(),
        py::arg("stride"), py::arg("padding"), py::arg("dilation"), py::arg("groups"),
        py::arg("algorithm"));
    module.def(
        "conv2d_backward_input",
        [](const Array<T>& grad, const Array<T>& weight, const std::array<index_t, 4>& x_shape,
           Pair stride, Padding padding, Pair dilation, index_t groups,
           const std::string& algorithm) {
            const Shape4 in = shape4(x_shape);
            const Conv2d conv = convolution(in, shape4(weight), stride, padding, dilation, groups,
                                            conv_algorithm(algorithm));
            require_shape(grad, conv2d_output_shape(in, conv), "grad");
            Array<T> dx = new_image<T>(in);
            const ImageView<T> out = mutable_image(dx);
            const WithoutGil released;
            conv2d_backward_input<T>(image(grad), weight.data(), conv, out);
            return dx;
        },
        py::arg("grad").noconvert(), py::arg("weight").noconvert(), py::arg("x_shape"),
        py::arg("stride"), py::arg("padding"), py::arg("dilation"), py::arg("groups"),
        py::arg("algorithm"));
    module.def(
        "conv2d_backward_weight",
        [](const Array<T>& grad, const Array<T>& x, Pair kernel, Pair stride, Padding padding,
           Pair dilation, index_t groups, const std::string& algorithm) {
            const Shape4 dy = shape4(grad), in = shape4(x);
            const Conv2d conv = {window2d(kernel, stride, padding, dilation), dy.c, groups,
                                 conv_algorithm(algorithm)};
            require_shape(grad, conv2d_output_shape(in, conv), "grad");
            Array<T> dweight = new_image<T>(Shape4{dy.c, in.c / groups, kernel[0], kernel[1]});
            Array<T> dbias = new_array<T>({dy.c});
            T *to_weight = dweight.mutable_data(), *to_bias = dbias.mutable_data();
            {
                const WithoutGil released;
                conv2d_backward_weight<T>(image(grad), image(x), conv, to_weight, to_bias);
            }
            return py::make_tuple(dweight, dbias);
        },
        py::arg("grad").noconvert(), py::arg("x").noconvert(), py::arg("kernel_size"),
        py::arg("stride"), py::arg("padding"), py::arg("dilation"), py::arg("groups"),
        py::arg("algorithm"));
}

constexpr std::pair<const char*, ConvPass> kPasses[] = {
    {"forward", ConvPass::forward},
    {"input_grad", ConvPass::input_grad},
    {"weight_grad", ConvPass::weight_grad},
};

/// Per pass the rows of its table: name, family, reason, what it takes, where it pays, and how
/// often it has run.
py::dict ways() {
    py::dict passes;
    for (const auto& [name, pass] : kPasses) {
        py::list rows;
        for (const ConvWay& way : conv2d_ways(pass)) {
            rows.append(py::make_tuple(name_of(way.algorithm), name_of(way.family), way.reason,
                                       way.takes, way.pays, conv::runs(pass, way.algorithm)));
        }
        passes[name] = rows;
    }
    return passes;
}

}  // namespace

void register_conv2d(py::module_& module) {
    module.def(
        "conv2d_plan",
        [](const std::array<index_t, 4>& x_shape, const std::array<index_t, 4>& weight_shape,
           Pair stride, Padding padding, Pair dilation, index_t groups,
           const std::string& algorithm) {
            const Conv2d conv = convolution(shape4(x_shape), shape4(weight_shape), stride, padding,
                                            dilation, groups, conv_algorithm(algorithm));
            std::vector<std::pair<std::string, std::string>> plans;
            for (const auto& [name, pass] : kPasses) {
                const ConvPlan plan = conv2d_plan(shape4(x_shape), conv, pass);
                plans.emplace_back(name_of(plan.algorithm), plan.reason);
            }
            return plans;
        },
        py::arg("x_shape"), py::arg("weight_shape"), py::arg("stride"), py::arg("padding"),
        py::arg("dilation"), py::arg("groups"), py::arg("algorithm"));
    module.def("conv2d_ways", ways);
    POCKETCNN_FOR_TYPES(define, module);
}

}  // namespace pocketcnn::bindings
