#include <pocketcnn/linear.h>
#include <pybind11/stl.h>

#include <optional>

#include "arrays.h"
#include "register.h"

namespace pocketcnn::bindings {
namespace {

/// Two matrices, of which these axes have one length.
void require_fit(const Floats& a, int axis_of_a, const Floats& b, int axis_of_b) {
    require_matrix(a);
    require_matrix(b);
    if (a.shape(axis_of_a) == b.shape(axis_of_b)) return;
    throw py::value_error("arrays of shapes " + text_of(shape_of(a)) + " and " +
                          text_of(shape_of(b)) + " do not fit each other");
}

void define_linear(py::module_& module) {
    module.def(
        "linear",
        [](const Floats& x, const Floats& weight, const std::optional<Floats>& bias) {
            require_fit(x, 1, weight, 1);
            if (bias) require_shape(*bias, Shape{weight.shape(0)}, "bias");
            Floats y = new_floats(x, {x.shape(0), weight.shape(0)});
            compute(x, [&]<typename T>() {
                linear<T>(matrix<T>(x), matrix<T>(weight), data_or_null<T>(bias),
                          mutable_matrix<T>(y));
            });
            return y;
        },
        py::arg("x"), py::arg("weight"), py::arg("bias"));
    module.def(
        "linear_backward",
        [](const Floats& grad, const Floats& x, const Floats& weight, bool input_grad) {
            require_fit(grad, 0, x, 0);
            require_shape(weight, Shape{grad.shape(1), x.shape(1)}, "weight");
            std::optional<Floats> dx;
            if (input_grad) dx = new_like(x);
            Floats dweight = new_like(weight), dbias = new_floats(x, {grad.shape(1)});
            compute(grad, [&]<typename T>() {
                const MatrixView<const T> dy = matrix<T>(grad);
                if (dx) linear_backward_input<T>(dy, matrix<T>(weight), mutable_matrix<T>(*dx));
                linear_backward_weight<T>(dy, matrix<T>(x), mutable_matrix<T>(dweight));
                linear_backward_bias<T>(dy, dbias.mutable_data<T>());
            });
            return results({or_none(dx), dweight, dbias});
        },
        py::arg("grad"), py::arg("x"), py::arg("weight"), py::arg("input_grad"));
    // The three products of a linear layer, by themselves.
    module.def(
        "matmul",
        [](const Floats& a, const Floats& b, bool transpose_a, bool transpose_b) {
            require_fit(a, transpose_a ? 0 : 1, b, transpose_b ? 1 : 0);
            Floats y = new_floats(a, {a.shape(transpose_a ? 1 : 0), b.shape(transpose_b ? 0 : 1)});
            compute(a, [&]<typename T>() {
                const MatrixView<const T> left = matrix<T>(a), right = matrix<T>(b);
                const MatrixView<T> out = mutable_matrix<T>(y);
                if (transpose_a) {
                    linear_backward_weight<T>(left, right, out);
                } else if (transpose_b) {
                    linear<T>(left, right, nullptr, out);
                } else {
                    linear_backward_input<T>(left, right, out);
                }
            });
            return y;
        },
        py::arg("a"), py::arg("b"), py::arg("transpose_a"), py::arg("transpose_b"));
}

}  // namespace

void register_linear(py::module_& module) {
    define_linear(module);
}

}  // namespace pocketcnn::bindings
