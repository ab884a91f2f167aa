#include <pocketcnn/softmax.h>

#include "arrays.h"
#include "register.h"

namespace pocketcnn::bindings {
namespace {

AxisShape axis_shape(const Floats& x, int axis) {
    if (axis < 0 || axis >= x.ndim()) throw py::value_error("axis is out of range");
    AxisShape shape;
    for (int i = 0; i < axis; ++i) shape.outer *= x.shape(i);
    shape.classes = x.shape(axis);
    for (int i = axis + 1; i < x.ndim(); ++i) shape.inner *= x.shape(i);
    return shape;
}

/// The softmax, or its logarithm.
void define_softmax(py::module_& module, const std::string& name, bool log) {
    module.def(
        name.c_str(),
        [log](const Floats& x, int axis) {
            const AxisShape shape = axis_shape(x, axis);
            Floats y = new_like(x);
            if (x.size() == 0) return y;
            compute(x, [&]<typename T>() {
                (log ? log_softmax<T> : softmax<T>)(x.data<T>(), shape, y.mutable_data<T>());
            });
            return y;
        },
        py::arg("x"), py::arg("axis"));
    module.def((name + "_backward").c_str(),
               [log](const Floats& grad, const Floats& y, int axis) {
                   require_shape(grad, shape_of(y), "grad");
                   const AxisShape shape = axis_shape(y, axis);
                   Floats dx = new_like(y);
                   if (y.size() == 0) return dx;
                   compute(grad, [&]<typename T>() {
                       (log ? log_softmax_backward<T> : softmax_backward<T>)(grad.data<T>(),
                                                                             y.data<T>(), shape,
                                                                             dx.mutable_data<T>());
                   });
                   return dx;
               },
               py::arg("grad"), py::arg("out"), py::arg("axis"));
}

}  // namespace

void register_softmax(py::module_& module) {
    define_softmax(module, "softmax", false);
    define_softmax(module, "log_softmax", true);
}

}  // namespace pocketcnn::bindings
