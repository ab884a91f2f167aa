#include <pocketcnn/softmax.h>

#include "arrays.h"
#include "gil.h"
#include "register.h"

namespace pocketcnn::bindings {
namespace {

template <typename T>
AxisShape axis_shape(const Array<T>& x, int axis) {
    if (axis < 0 || axis >= x.ndim()) throw py::value_error("axis is out of range");
    AxisShape shape;
    for (int i = 0; i < axis; ++i) shape.outer *= x.shape(i);
    shape.classes = x.shape(axis);
    for (int i = axis + 1; i < x.ndim(); ++i) shape.inner *= x.shape(i);
    return shape;
}

template <typename T>
using Forward = void (*)(const T*, const AxisShape&, T*);
template <typename T>
using Backward = void (*)(const T*, const T*, const AxisShape&, T*);

template <typename T>
void define_softmax(py::module_& module, const std::string& name, Forward<T> forward,
                    Backward<T> backward) {
    module.def(
        name.c_str(),
        [forward](const Array<T>& x, int axis) {
            const AxisShape shape = axis_shape(x, axis);
            Array<T> y = new_array_like(x);
            T* out = y.mutable_data();
            const WithoutGil released;
            if (x.size() > 0) forward(x.data(), shape, out);
            return y;
        },
        py::arg("x").noconvert(), py::arg("axis"));
    module.def((name + "_backward").c_str(),
               [backward](const Array<T>& grad, const Array<T>& y, int axis) {
                   require_shape(grad, shape_of(y), "grad");
                   const AxisShape shape = axis_shape(y, axis);
                   Array<T> dx = new_array_like(y);
                   T* to = dx.mutable_data();
                   const WithoutGil released;
                   if (y.size() > 0) backward(grad.data(), y.data(), shape, to);
                   return dx;
               },
               py::arg("grad").noconvert(), py::arg("out").noconvert(), py::arg("axis"));
}

template <typename T>
void define_all(py::module_& module) {
    define_softmax<T>(module, "softmax", softmax<T>, softmax_backward<T>);
    define_softmax<T>(module, "log_softmax", log_softmax<T>, log_softmax_backward<T>);
}

}  // namespace

void register_softmax(py::module_& module) {
    POCKETCNN_FOR_TYPES(define_all, module);
}

}  // namespace pocketcnn::bindings
