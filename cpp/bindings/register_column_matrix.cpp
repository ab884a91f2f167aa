#include <pocketcnn/column_matrix.h>
#include <pybind11/stl.h>

#include "arrays.h"
#include "geometry.h"
#include "gil.h"
#include "register.h"

namespace pocketcnn::bindings {
namespace {

template <typename T>
void define_column_matrix(py::module_& module) {
    module.def(
        "im2col",
        [](const Array<T>& x, const Window2d& window) {
            const Shape4 in = shape4(x);
            validate(window, in.h, in.w);
            validate(Shape4{in.n, in.c * window.taps(), window.out_h(in.h), window.out_w(in.w)},
                     "the column matrix");
            Array<T> columns = new_array<T>(
                {in.n * window.out_h(in.h) * window.out_w(in.w), in.c * window.taps()});
            const MatrixView<T> out = mutable_matrix(columns);
            const WithoutGil released;
            im2col<T>(image(x), window, out);
            return columns;
        },
        py::arg("x").noconvert(), py::arg("window"));
    module.def(
        "col2im",
        [](const Array<T>& col, const std::array<index_t, 4>& shape, const Window2d& window) {
            const Shape4 out_shape = shape4(shape);
            validate(out_shape, "input_shape");
            validate(window, out_shape.h, out_shape.w);
            const Shape4 grid = {out_shape.n, out_shape.c * window.taps(),
                                 window.out_h(out_shape.h), window.out_w(out_shape.w)};
            validate(grid, "the column matrix");
            require_shape(col, Shape{grid.n * grid.plane(), grid.c}, "col");
            Array<T> x = new_image<T>(out_shape);
            const ImageView<T> out = mutable_image(x);
            const WithoutGil released;
            col2im<T>(matrix(col), window, out);
            return x;
        },
        py::arg("col").noconvert(), py::arg("input_shape"), py::arg("window"));
}

}  // namespace

void register_column_matrix(py::module_& module) {
    POCKETCNN_FOR_TYPES(define_column_matrix, module);
}

}  // namespace pocketcnn::bindings
