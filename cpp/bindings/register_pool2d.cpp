#include <pocketcnn/pool2d.h>
#include <pybind11/stl.h>

#include "arrays.h"
#include "geometry.h"
#include "gil.h"
#include "register.h"
#include "value.h"

namespace pocketcnn::bindings {
namespace {

template <typename T>
void define_pool2d(py::module_& module) {
    module.def(
        "max_pool2d",
        [](const Array<T>& x, const Pool2d& pool) {
            const Shape4 out_shape = pool2d_output_shape(shape4(x), pool);
            Array<T> y = new_image<T>(out_shape);
            Array<index_t> argmax = new_image<index_t>(out_shape);
            const ImageView<T> out = mutable_image(y);
            index_t* places = argmax.mutable_data();
            {
                const WithoutGil released;
                max_pool2d<T>(image(x), pool, out, places);
            }
            return py::make_tuple(y, argmax);
        },
        py::arg("x").noconvert(), py::arg("pool"));
    module.def(
        "max_pool2d_backward",
        [](const Array<T>& grad, const Array<index_t>& argmax,
           const std::array<index_t, 4>& input_shape) {
            require_shape(argmax, shape_of(grad), "argmax");
            const Shape4 in = shape4(input_shape), dy = shape4(grad);
            if (in.n != dy.n || in.c != dy.c) {
                throw py::value_error("input_shape is " + text_of(in) + ", but grad has shape " +
                                      text_of(dy));
            }
            Array<T> dx = new_image<T>(in);
            const ImageView<T> out = mutable_image(dx);
            const WithoutGil released;
            max_pool2d_backward<T>(image(grad), argmax.data(), out);
            return dx;
        },
        py::arg("grad").noconvert(), py::arg("argmax").noconvert(), py::arg("input_shape"));
    module.def(
        "avg_pool2d",
        [](const Array<T>& x, const Pool2d& pool, bool count_include_pad) {
            Array<T> y = new_image<T>(pool2d_output_shape(shape4(x), pool));
            const ImageView<T> out = mutable_image(y);
            const WithoutGil released;
            avg_pool2d<T>(image(x), pool, count_include_pad, out);
            return y;
        },
        py::arg("x").noconvert(), py::arg("pool"), py::arg("count_include_pad"));
    module.def(
        "avg_pool2d_backward",
        [](const Array<T>& grad, const std::array<index_t, 4>& input_shape, const Pool2d& pool,
           bool count_include_pad) {
            const Shape4 in = shape4(input_shape);
            require_shape(grad, pool2d_output_shape(in, pool), "grad");
            Array<T> dx = new_image<T>(in);
            const ImageView<T> out = mutable_image(dx);
            const WithoutGil released;
            avg_pool2d_backward<T>(image(grad), pool, count_include_pad, out);
            return dx;
        },
        py::arg("grad").noconvert(), py::arg("input_shape"), py::arg("pool"),
        py::arg("count_include_pad"));
}

}  // namespace

void register_pool2d(py::module_& module) {
    value_class<Pool2d>(module, "Pool2d", {"window", "ceil_mode"})
        .def(py::init<Window2d, bool>(), py::arg("window"), py::arg("ceil_mode"))
        .def_readonly("window", &Pool2d::window, py::return_value_policy::copy)
        .def_readonly("ceil_mode", &Pool2d::ceil_mode)
        .def(
            "output_shape",
            [](const Pool2d& pool, const std::array<index_t, 4>& x_shape) {
                return tuple_of(pool2d_output_shape(shape4(x_shape), pool));
            },
            py::arg("x_shape"));
    POCKETCNN_FOR_TYPES(define_pool2d, module);
}

}  // namespace pocketcnn::bindings
