#include <pocketcnn/conv2d.h>
#include <pybind11/stl.h>

#include <optional>
#include <string>

#include "arrays.h"
#include "gil.h"
#include "register.h"
#include "window.h"

namespace pocketcnn::bindings {
namespace {

ConvAlgorithm algorithm_named(const std::string& name) {
    if (name == "auto") return ConvAlgorithm::automatic;
    if (name == "im2col") return ConvAlgorithm::im2col;
    if (name == "winograd") return ConvAlgorithm::winograd;
    throw py::value_error("there is no algorithm " + name);
}

const char* name_of(ConvAlgorithm algorithm) {
    switch (algorithm) {
        case ConvAlgorithm::direct:
            return "direct";
        case ConvAlgorithm::automatic:
            break;
        case ConvAlgorithm::im2col:
            return "im2col";
        case ConvAlgorithm::winograd:
            return "winograd";
    }
    return "auto";
}

template <typename T>
void define(py::module_& module) {
    module.def(
        "conv2d",
        [](const Array<T>& x, const Array<T>& weight, const std::optional<Array<T>>& bias,
           Pair stride, Padding padding, Pair dilation, index_t groups,
           const std::string& algorithm) {
            const Conv2d conv = convolution(shape4(x), shape4(weight), stride, padding, dilation,
                                            groups, algorithm_named(algorithm));
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
        "conv2d_input_grad",
        [](const Array<T>& grad, const Array<T>& weight, const std::array<index_t, 4>& x_shape,
           Pair stride, Padding padding, Pair dilation, index_t groups,
           const std::string& algorithm) {
            const Shape4 in = shape4(x_shape);
            const Conv2d conv = convolution(in, shape4(weight), stride, padding, dilation, groups,
                                            algorithm_named(algorithm));
            require_shape(grad, conv2d_output_shape(in, conv), "grad");
            Array<T> dx = new_image<T>(in);
            const ImageView<T> out = mutable_image(dx);
            const WithoutGil released;
            conv2d_input_grad<T>(image(grad), weight.data(), conv, out);
            return dx;
        },
        py::arg("grad").noconvert(), py::arg("weight").noconvert(), py::arg("x_shape"),
        py::arg("stride"), py::arg("padding"), py::arg("dilation"), py::arg("groups"),
        py::arg("algorithm"));
    module.def(
        "conv2d_weight_grad",
        [](const Array<T>& grad, const Array<T>& x, Pair kernel, Pair stride, Padding padding,
           Pair dilation, index_t groups, const std::string& algorithm) {
            const Shape4 dy = shape4(grad), in = shape4(x);
            const Conv2d conv = {window2d(kernel, stride, padding, dilation), dy.c, groups,
                                 algorithm_named(algorithm)};
            require_shape(grad, conv2d_output_shape(in, conv), "grad");
            Array<T> dweight = new_image<T>(Shape4{dy.c, in.c / groups, kernel[0], kernel[1]});
            Array<T> dbias = new_array<T>({dy.c});
            T *to_weight = dweight.mutable_data(), *to_bias = dbias.mutable_data();
            {
                const WithoutGil released;
                conv2d_weight_grad<T>(image(grad), image(x), conv, to_weight, to_bias);
            }
            return py::make_tuple(dweight, dbias);
        },
        py::arg("grad").noconvert(), py::arg("x").noconvert(), py::arg("kernel_size"),
        py::arg("stride"), py::arg("padding"), py::arg("dilation"), py::arg("groups"),
        py::arg("algorithm"));
}

}  // namespace

void register_conv2d(py::module_& module) {
    module.def(
        "conv2d_plan",
        [](const std::array<index_t, 4>& x_shape, const std::array<index_t, 4>& weight_shape,
           Pair stride, Padding padding, Pair dilation, index_t groups,
           const std::string& algorithm) {
            const Conv2d conv = convolution(shape4(x_shape), shape4(weight_shape), stride, padding,
                                            dilation, groups, algorithm_named(algorithm));
            std::array<std::array<std::string, 2>, 3> plans;
            const ConvPass passes[] = {ConvPass::forward, ConvPass::input_grad,
                                       ConvPass::weight_grad};
            for (std::size_t i = 0; i < plans.size(); ++i) {
                const ConvPlan plan = conv2d_plan(shape4(x_shape), conv, passes[i]);
                plans[i][0] = name_of(plan.algorithm);
                plans[i][1] = plan.reason;
            }
            return plans;
        },
        py::arg("x_shape"), py::arg("weight_shape"), py::arg("stride"), py::arg("padding"),
        py::arg("dilation"), py::arg("groups"), py::arg("algorithm"));
    POCKETCNN_FOR_TYPES(define, module);
}

}  // namespace pocketcnn::bindings
