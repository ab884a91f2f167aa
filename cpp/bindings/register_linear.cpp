#include <pocketcnn/linear.h>
#include <pybind11/stl.h>

#include <optional>

#include "arrays.h"
#include "register.h"

namespace pocketcnn::bindings {
namespace {

template <typename T>
void define(py::module_& module) {
    module.def(
        "linear",
        [](const Array<T>& x, const Array<T>& weight, const std::optional<Array<T>>& bias) {
            if (bias) require_size(*bias, matrix(weight).rows, "bias");
            Array<T> y = new_array<T>({matrix(x).rows, matrix(weight).rows});
            const MatrixView<T> out = mutable_matrix(y);
            const py::gil_scoped_release release;
            linear<T>(matrix(x), matrix(weight), bias ? bias->data() : nullptr, out);
            return y;
        },
        py::arg("x").noconvert(), py::arg("weight").noconvert(), py::arg("bias").noconvert());
    module.def(
        "linear_input_grad",
        [](const Array<T>& grad, const Array<T>& weight) {
            Array<T> dx = new_array<T>({matrix(grad).rows, matrix(weight).cols});
            const MatrixView<T> out = mutable_matrix(dx);
            const py::gil_scoped_release release;
            linear_input_grad<T>(matrix(grad), matrix(weight), out);
            return dx;
        },
        py::arg("grad").noconvert(), py::arg("weight").noconvert());
    module.def(
        "linear_weight_grad",
        [](const Array<T>& grad, const Array<T>& x) {
            Array<T> dweight = new_array<T>({matrix(grad).cols, matrix(x).cols});
            const MatrixView<T> out = mutable_matrix(dweight);
            const py::gil_scoped_release release;
            linear_weight_grad<T>(matrix(grad), matrix(x), out);
            return dweight;
        },
        py::arg("grad").noconvert(), py::arg("x").noconvert());
    module.def(
        "linear_bias_grad",
        [](const Array<T>& grad) {
            Array<T> dbias = new_array<T>({matrix(grad).cols});
            T* out = dbias.mutable_data();
            const py::gil_scoped_release release;
            linear_bias_grad<T>(matrix(grad), out);
            return dbias;
        },
        py::arg("grad").noconvert());
}

}  // namespace

void register_linear(py::module_& module) {
    POCKETCNN_FOR_TYPES(define, module);
}

}  // namespace pocketcnn::bindings
