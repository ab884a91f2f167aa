#include <pocketcnn/activation.h>
#include <pocketcnn/dropout.h>
#include <pocketcnn/prelu.h>
#include <pybind11/native_enum.h>

#include "arrays.h"
#include "channels.h"
#include "register.h"

namespace pocketcnn::bindings {
namespace {

struct Named {
    const char* name;
    Activation function;
    const char* parameter = nullptr;
};
constexpr Named kNamed[kActivations] = {
    {"relu", Activation::relu},
    {"sigmoid", Activation::sigmoid},
    {"tanh", Activation::tanh},
    {"leaky_relu", Activation::leaky_relu, "negative_slope"},
    {"elu", Activation::elu, "alpha"},
    {"relu6", Activation::relu6},
    {"silu", Activation::silu},
    {"gelu", Activation::gelu},
    {"gelu_tanh", Activation::gelu_tanh},
    {"hard_sigmoid", Activation::hard_sigmoid},
    {"hard_swish", Activation::hard_swish},
};

Floats activated(Activation f, const Floats& x, double parameter) {
    Floats y = new_like(x);
    compute(x, [&]<typename T>() {
        activate(f, x.data<T>(), y.mutable_data<T>(), x.size(), parameter);
    });
    return y;
}

Floats activation_grad(Activation f, const Floats& grad, const Floats& kept, double parameter) {
    require_shape(grad, shape_of(kept), "grad");
    Floats dx = new_like(kept);
    compute(grad, [&]<typename T>() {
        activate_backward(f, grad.data<T>(), kept.data<T>(), dx.mutable_data<T>(), kept.size(),
                          parameter);
    });
    return dx;
}

void define_activation(py::module_& module, const Named& named) {
    const Activation f = named.function;
    const std::string back = std::string(named.name) + "_backward";
    const py::arg kept(gradient_takes_input(f) ? "x" : "out");
    if (named.parameter == nullptr) {
        module.def(named.name, [f](const Floats& x) { return activated(f, x, 0); }, py::arg("x"));
        module.def(
            back.c_str(),
            [f](const Floats& grad, const Floats& from) {
                return activation_grad(f, grad, from, 0);
            },
            py::arg("grad"), kept);
        return;
    }
    const py::arg parameter(named.parameter);
    module.def(
        named.name, [f](const Floats& x, double number) { return activated(f, x, number); },
        py::arg("x"), parameter);
    module.def(
        back.c_str(),
        [f](const Floats& grad, const Floats& from, double number) {
            return activation_grad(f, grad, from, number);
        },
        py::arg("grad"), kept, parameter);
}

/// The planes of x, (N, channels, ...), each channel of which has a slope.
ChannelShape sloped_planes(const Floats& x, const Floats& weight) {
    const ChannelShape shape = channel_shape(x);
    require_shape(weight, Shape{shape.channels}, "weight");
    return shape;
}

void define_prelu(py::module_& module) {
    module.def(
        "prelu",
        [](const Floats& x, const Floats& weight) {
            const ChannelShape shape = sloped_planes(x, weight);
            Floats y = new_like(x);
            compute(x, [&]<typename T>() {
                prelu(x.data<T>(), shape, weight.data<T>(), y.mutable_data<T>());
            });
            return y;
        },
        py::arg("x"), py::arg("weight"));
    module.def(
        "prelu_backward",
        [](const Floats& grad, const Floats& x, const Floats& weight) {
            const ChannelShape shape = sloped_planes(x, weight);
            require_shape(grad, shape_of(x), "grad");
            Floats dx = new_like(x), dweight = new_like(weight);
            compute(grad, [&]<typename T>() {
                prelu_backward(grad.data<T>(), x.data<T>(), shape, weight.data<T>(),
                               dx.mutable_data<T>(), dweight.mutable_data<T>());
            });
            return results({dx, dweight});
        },
        py::arg("grad"), py::arg("x"), py::arg("weight"));
}

void define_dropout(py::module_& module) {
    module.def(
        "dropout",
        [](const Floats& x, const Floats& draws, float p, double scale) {
            require_shape(draws, shape_of(x), "draws");
            Floats y = new_like(x), mask = new_like(x);
            const auto* drawn = draws.data<float>();
            compute(x, [&]<typename T>() {
                dropout(x.data<T>(), drawn, p, static_cast<T>(scale), y.mutable_data<T>(),
                        mask.mutable_data<T>(), x.size());
            });
            return results({y, mask});
        },
        py::arg("x"), py::arg("draws"), py::arg("p"), py::arg("scale"));
}

void define_add(py::module_& module) {
    module.def(
        "add",
        [](const Floats& a, const Floats& b, bool rectify) {
            require_shape(b, shape_of(a), "b");
            Floats y = new_like(a);
            compute(a, [&]<typename T>() {
                add(a.data<T>(), b.data<T>(), rectify, y.mutable_data<T>(), a.size());
            });
            return y;
        },
        py::arg("a"), py::arg("b"), py::arg("rectify"));
    module.def(
        "add_to",
        [](const Floats& x, Floats y) {
            require_shape(y, shape_of(x), "y");
            compute(x, [&]<typename T>() { add_to(x.data<T>(), y.mutable_data<T>(), x.size()); });
            return y;
        },
        py::arg("x"), py::arg("y"));
}

}  // namespace

void register_activation(py::module_& module) {
    py::native_enum<Activation> names(module, "Activation", "enum.Enum");
    for (const Named& named : kNamed) {
        names.value(named.name, named.function);
        define_activation(module, named);
    }
    names.finalize();
    define_prelu(module);
    define_dropout(module);
    define_add(module);
}

}  // namespace pocketcnn::bindings
