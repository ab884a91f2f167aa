#include <pocketcnn/linear.h>
#include <pybind11/stl.h>

#include <optional>

#include "arrays.h"
#include "gil.h"
#include "register.h"

namespace pocketcnn::bindings {
namespace {

void require(bool fit, const Shape& left, const Shape& right) {
    if (fit) return;
    throw py::value_error("arrays of shapes " + text_of(left) + " and " + text_of(right) +
                          " do not fit each other");
}

template <typename T>
void define_linear(py::module_& module) {
    module.def(
        "linear",
        [](const Array<T>& x, const Array<T>& weight, const std::optional<Array<T>>& bias) {
            require(matrix(x).cols == matrix(weight).cols, shape_of(x), shape_of(weight));
            if (bias) require_shape(*bias, Shape{matrix(weight).rows}, "bias");
            Array<T> y = new_array<T>({matrix(x).rows, matrix(weight).rows});
            const MatrixView<T> out = mutable_matrix(y);
            const WithoutGil released;
            linear<T>(matrix(x), matrix(weight), bias ? bias->data() : nullptr, out);
            return y;
        },
        py::arg("x").noconvert(), py::arg("weight").noconvert(), py::arg("bias").noconvert());
    module.def(
        "linear_backward",
        [](const Array<T>& grad, const Array<T>& x, const Array<T>& weight, bool input_grad) {
            require(matrix(grad).rows == matrix(x).rows, shape_of(grad), shape_of(x));
            require_shape(weight, Shape{matrix(grad).cols, matrix(x).cols}, "weight");
            std::optional<Array<T>> dx;
            if (input_grad) dx = new_array<T>({matrix(grad).rows, matrix(weight).cols});
            Array<T> dweight = new_array<T>({matrix(grad).cols, matrix(x).cols});
            Array<T> dbias = new_array<T>({matrix(grad).cols});
            MatrixView<T> to_x;
            if (dx) to_x = mutable_matrix(*dx);
            const MatrixView<T> to_weight = mutable_matrix(dweight);
            T* to_bias = dbias.mutable_data();
            {
                const WithoutGil released;
                if (input_grad) linear_backward_input<T>(matrix(grad), matrix(weight), to_x);
                linear_backward_weight<T>(matrix(grad), matrix(x), to_weight);
                linear_backward_bias<T>(matrix(grad), to_bias);
            }
            return py::make_tuple(dx, dweight, dbias);
        },
        py::arg("grad").noconvert(), py::arg("x").noconvert(), py::arg("weight").noconvert(),
        py::arg("input_grad"));
    // The three products of a linear layer, by themselves.
    module.def(
        "matmul",
        [](const Array<T>& a, const Array<T>& b, bool transpose_a, bool transpose_b) {
            const MatrixView<const T> left = matrix(a), right = matrix(b);
            require(
                (transpose_a ? left.rows : left.cols) == (transpose_b ? right.cols : right.rows),
                shape_of(a), shape_of(b));
            Array<T> y = new_array<T>(
                {transpose_a ? left.cols : left.rows, transpose_b ? right.rows : right.cols});
            const MatrixView<T> out = mutable_matrix(y);
            const WithoutGil released;
            if (transpose_a) {
                linear_backward_weight<T>(left, right, out);
            } else if (transpose_b) {
                linear<T>(left, right, nullptr, out);
            } else {
                linear_backward_input<T>(left, right, out);
            }
            return y;
        },
        py::arg("a").noconvert(), py::arg("b").noconvert(), py::arg("transpose_a"),
        py::arg("transpose_b"));
}

}  // namespace

void register_linear(py::module_& module) {
    POCKETCNN_FOR_TYPES(define_linear, module);
}

}  // namespace pocketcnn::bindings
