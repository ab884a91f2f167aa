#include <pocketcnn/activation.h>
#include <pybind11/native_enum.h>

#include "arrays.h"
#include "gil.h"
#include "register.h"

namespace pocketcnn::bindings {
namespace {

template <typename T>
void define_activation(py::module_& module, const std::string& name, Activation f) {
    module.def(
        name.c_str(),
        [f](const Array<T>& x) {
            Array<T> y = new_array_like(x);
            T* out = y.mutable_data();
            const WithoutGil released;
            activate(f, x.data(), out, x.size());
            return y;
        },
        py::arg("x").noconvert());
    module.def((name + "_backward").c_str(),
               [f](const Array<T>& grad, const Array<T>& y) {
                   require_shape(grad, shape_of(y), "grad");
                   Array<T> dx = new_array_like(y);
                   T* to = dx.mutable_data();
                   const WithoutGil released;
                   activate_backward(f, grad.data(), y.data(), to, y.size());
                   return dx;
               },
               py::arg("grad").noconvert(), py::arg("out").noconvert());
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
    py::native_enum<Activation>(module, "Activation", "enum.Enum")
        .value("relu", Activation::relu)
        .value("sigmoid", Activation::sigmoid)
        .value("tanh", Activation::tanh)
        .finalize();
    POCKETCNN_FOR_TYPES(define_activation, module, "relu", Activation::relu);
    POCKETCNN_FOR_TYPES(define_activation, module, "sigmoid", Activation::sigmoid);
    POCKETCNN_FOR_TYPES(define_activation, module, "tanh", Activation::tanh);
    POCKETCNN_FOR_TYPES(define_add, module);
}

}  // namespace pocketcnn::bindings
