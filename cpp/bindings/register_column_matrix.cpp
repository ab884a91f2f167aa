#include <pocketcnn/column_matrix.h>
#include <pybind11/stl.h>

#include "arrays.h"
#include "geometry.h"
#include "register.h"

namespace pocketcnn::bindings {
namespace {

void define_column_matrix(py::module_& module) {
    module.def(
        "im2col",
        [](const Floats& x, const Window2d& window) {
            const Shape4 in = shape4(x);
            validate(window, in.h, in.w);
            validate(Shape4{in.n, in.c * window.taps(), window.out_h(in.h), window.out_w(in.w)},
                     "the column matrix");
            Floats columns = new_floats(
                x, {in.n * window.out_h(in.h) * window.out_w(in.w), in.c * window.taps()});
            compute(x, [&]<typename T>() {
                im2col<T>(image<T>(x), window, mutable_matrix<T>(columns));
            });
            return columns;
        },
        py::arg("x"), py::arg("window"));
    module.def(
        "col2im",
        [](const Floats& col, const std::array<index_t, 4>& shape, const Window2d& window) {
            const Shape4 out_shape = shape4(shape);
            validate(out_shape, "input_shape");
            validate(window, out_shape.h, out_shape.w);
            const Shape4 grid = {out_shape.n, out_shape.c * window.taps(),
                                 window.out_h(out_shape.h), window.out_w(out_shape.w)};
            validate(grid, "the column matrix");
            require_shape(col, Shape{grid.n * grid.plane(), grid.c}, "col");
            Floats x = new_image(col, out_shape);
            compute(col,
                    [&]<typename T>() { col2im<T>(matrix<T>(col), window, mutable_image<T>(x)); });
            return x;
        },
        py::arg("col"), py::arg("input_shape"), py::arg("window"));
}

}  // namespace

void register_column_matrix(py::module_& module) {
    define_column_matrix(module);
}

}  // namespace pocketcnn::bindings
