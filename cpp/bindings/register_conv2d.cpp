#include <pocketcnn/conv2d.h>
#include <pybind11/native_enum.h>
#include <pybind11/stl.h>

#include <optional>
#include <set>

#include "arrays.h"
#include "conv/ways.h"
#include "geometry.h"
#include "register.h"
#include "value.h"

namespace pocketcnn::bindings {
namespace {

void define_conv2d(py::module_& module) {
    module.def(
        "conv2d",
        [](const Floats& x, const Floats& weight, const std::optional<Floats>& bias,
           const Conv2d& conv) {
            const Shape4 shape = conv2d_output_shape(shape4(x), conv);
            require_shape(weight, conv2d_weight_shape(shape4(x), conv), "weight");
            if (bias) require_shape(*bias, Shape{conv.filters}, "bias");
            Floats y = new_image(x, shape);
            compute(x, [&]<typename T>() {
                conv2d<T>(image<T>(x), weight.data<T>(), data_or_null<T>(bias), conv,
                          mutable_image<T>(y));
            });
            return y;
        },
        py::arg("x"), py::arg("weight"), py::arg("bias"), py::arg("conv"));
    module.def(
        "conv2d_backward_input",
        [](const Floats& grad, const Floats& weight, const std::array<index_t, 4>& x_shape,
           const Conv2d& conv) {
            const Shape4 in = shape4(x_shape);
            require_shape(grad, conv2d_output_shape(in, conv), "grad");
            require_shape(weight, conv2d_weight_shape(in, conv), "weight");
            Floats dx = new_image(grad, in);
            compute(grad, [&]<typename T>() {
                conv2d_backward_input<T>(image<T>(grad), weight.data<T>(), conv,
                                         mutable_image<T>(dx));
            });
            return dx;
        },
        py::arg("grad"), py::arg("weight"), py::arg("x_shape"), py::arg("conv"));
    module.def(
        "conv2d_backward",
        [](const Floats& grad, const Floats& x, const Floats& weight, const Conv2d& conv,
           bool input_grad, bool bias_grad) {
            const Shape4 in = shape4(x);
            require_shape(grad, conv2d_output_shape(in, conv), "grad");
            const Shape4 weight_shape = conv2d_weight_shape(in, conv);
            require_shape(weight, weight_shape, "weight");
            std::optional<Floats> dx, dbias;
            if (input_grad) dx = new_image(x, in);
            Floats dweight = new_image(x, weight_shape);
            if (bias_grad) dbias = new_floats(x, {conv.filters});
            compute(grad, [&]<typename T>() {
                conv2d_backward<T>(image<T>(grad), image<T>(x), weight.data<T>(), conv,
                                   {dx ? dx->mutable_data<T>() : nullptr, dweight.mutable_data<T>(),
                                    dbias ? dbias->mutable_data<T>() : nullptr});
            });
            return results({or_none(dx), dweight, or_none(dbias)});
        },
        py::arg("grad"), py::arg("x"), py::arg("weight"), py::arg("conv"), py::arg("input_grad"),
        py::arg("bias_grad"));
}

constexpr ConvPass kPasses[] = {ConvPass::forward, ConvPass::input_grad, ConvPass::weight_grad};

/// The algorithms are those that some pass can be asked for, by their names in C++.
void define_enums(py::module_& module) {
    py::native_enum<ConvPass>(module, "ConvPass", "enum.Enum")
        .value("forward", ConvPass::forward)
        .value("input_grad", ConvPass::input_grad)
        .value("weight_grad", ConvPass::weight_grad)
        .finalize();
    std::set<ConvAlgorithm> algorithms = {ConvAlgorithm::automatic};
    for (const ConvPass pass : kPasses) {
        for (const ConvWay& way : conv2d_ways(pass)) algorithms.insert({way.algorithm, way.family});
    }
    py::native_enum<ConvAlgorithm> algorithm(module, "ConvAlgorithm", "enum.Enum");
    for (const ConvAlgorithm a : algorithms) algorithm.value(name_of(a), a);
    algorithm.finalize();
}

void define_conv2d_classes(py::module_& module) {
    value_class<Conv2d>(module, "Conv2d", {"window", "filters", "groups", "algorithm"})
        .def(py::init<Window2d, index_t, index_t, ConvAlgorithm>(), py::arg("window"),
             py::arg("filters"), py::arg("groups"), py::arg("algorithm"))
        .def_readonly("window", &Conv2d::window, py::return_value_policy::copy)
        .def_readonly("filters", &Conv2d::filters)
        .def_readonly("groups", &Conv2d::groups)
        .def_readonly("algorithm", &Conv2d::algorithm)
        .def(
            "output_shape",
            [](const Conv2d& conv, const std::array<index_t, 4>& x_shape) {
                return tuple_of(conv2d_output_shape(shape4(x_shape), conv));
            },
            py::arg("x_shape"));
    py::class_<ConvWay>(module, "ConvWay", py::is_final())
        .def_readonly("algorithm", &ConvWay::algorithm)
        .def_readonly("family", &ConvWay::family)
        .def_readonly("reason", &ConvWay::reason)
        .def_readonly("takes", &ConvWay::takes)
        .def_readonly("pays", &ConvWay::pays);
}

}  // namespace

void register_conv2d(py::module_& module) {
    define_enums(module);
    define_conv2d_classes(module);
    module.def("conv2d_ways", conv2d_ways, py::arg("conv_pass"));
    module.def("conv2d_runs", conv::runs, py::arg("conv_pass"), py::arg("algorithm"));
    module.def(
        "conv2d_plan",
        [](const std::array<index_t, 4>& x_shape, const Conv2d& conv, ConvPass pass) {
            const ConvPlan plan = conv2d_plan(shape4(x_shape), conv, pass);
            return py::make_tuple(plan.algorithm, plan.reason);
        },
        py::arg("x_shape"), py::arg("conv"), py::arg("conv_pass"));
    define_conv2d(module);
}

}  // namespace pocketcnn::bindings
