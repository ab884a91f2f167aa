#include <pocketcnn/activation.h>
#include <pocketcnn/prelu.h>
#include <pybind11/native_enum.h>

#include "arrays.h"
#include "gil.h"
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

template <typename T>
Array<T> activated(Activation f, const Array<T>& x, double parameter) {
    Array<T> y = new_array_like(x);
    T* out = y.mutable_data();
    const WithoutGil released;
    activate(f, x.data(), out, x.size(), parameter);
    return y;
}

template <typename T>
Array<T> activation_grad(Activation f, const Array<T>& grad, const Array<T>& kept,
                         double parameter) {
    require_shape(grad, shape_of(kept), "grad");
    Array<T> dx = new_array_like(kept);
    T* to = dx.mutable_data();
    const WithoutGil released;
    activate_backward(f, grad.data(), kept.data(), to, kept.size(), parameter);
    return dx;
}

template <typename T>
void define_activation(py::module_& module, const Named& named) {
    const Activation f = named.function;
    const std::string back = std::string(named.name) + "_backward";
    const py::arg x("x"), grad("grad"), kept(gradient_takes_input(f) ? "x" : "out");
    if (named.parameter == nullptr) {
        module.def(
            named.name, [f](const Array<T>& in) { return activated(f, in, 0); },
            py::arg(x).noconvert());
        module.def(
            back.c_str(),
            [f](const Array<T>& dy, const Array<T>& from) {
                return activation_grad(f, dy, from, 0);
            },
            py::arg(grad).noconvert(), py::arg(kept).noconvert());
        return;
    }
    const py::arg parameter(named.parameter);
    module.def(
        named.name, [f](const Array<T>& in, double number) { return activated(f, in, number); },
        py::arg(x).noconvert(), parameter);
    module.def(
        back.c_str(),
        [f](const Array<T>& dy, const Array<T>& from, double number) {
            return activation_grad(f, dy, from, number);
        },
        py::arg(grad).noconvert(), py::arg(kept).noconvert(), parameter);
}

/// The planes of x, (N, channels, ...), each channel of which has a slope.
template <typename T>
ChannelShape sloped_planes(const Array<T>& x, const Array<T>& weight) {
    if (x.ndim() < 2) throw py::value_error("x must have at least 2 axes");
    require_shape(weight, Shape{x.shape(1)}, "weight");
    ChannelShape shape = {x.shape(0), x.shape(1), 1};
    for (int i = 2; i < x.ndim(); ++i) shape.plane *= x.shape(i);
    return shape;
}

template <typename T>
void define_prelu(py::module_& module) {
    module.def(
        "prelu",
        [](const Array<T>& x, const Array<T>& weight) {
            const ChannelShape shape = sloped_planes(x, weight);
            Array<T> y = new_array_like(x);
            T* out = y.mutable_data();
            const WithoutGil released;
            prelu(x.data(), shape, weight.data(), out);
            return y;
        },
        py::arg("x").noconvert(), py::arg("weight").noconvert());
    module.def(
        "prelu_backward",
        [](const Array<T>& grad, const Array<T>& x, const Array<T>& weight) {
            const ChannelShape shape = sloped_planes(x, weight);
            require_shape(grad, shape_of(x), "grad");
            Array<T> dx = new_array_like(x), dweight = new_array_like(weight);
            T *to = dx.mutable_data(), *slopes = dweight.mutable_data();
            {
                const WithoutGil released;
                prelu_backward(grad.data(), x.data(), shape, weight.data(), to, slopes);
            }
            return py::make_tuple(dx, dweight);
        },
        py::arg("grad").noconvert(), py::arg("x").noconvert(), py::arg("weight").noconvert());
}

template <typename T>
void define_add(py::module_& module) {
    module.def(
        "add",
        [](const Array<T>& a, const Array<T>& b, bool rectify) {
            require_shape(b, shape_of(a), "b");
            Array<T> y = new_array_like(a);
            T* out = y.mutable_data();
            const WithoutGil released;
            add(a.data(), b.data(), rectify, out, a.size());
            return y;
        },
        py::arg("a").noconvert(), py::arg("b").noconvert(), py::arg("rectify"));
}

}  // namespace

void register_activation(py::module_& module) {
    py::native_enum<Activation> names(module, "Activation", "enum.Enum");
    for (const Named& named : kNamed) {
        names.value(named.name, named.function);
        POCKETCNN_FOR_TYPES(define_activation, module, named);
    }
    names.finalize();
    POCKETCNN_FOR_TYPES(define_prelu, module);
    POCKETCNN_FOR_TYPES(define_add, module);
}

}  // namespace pocketcnn::bindings
