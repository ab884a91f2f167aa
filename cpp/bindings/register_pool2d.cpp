#include <pocketcnn/pool2d.h>
#include <pybind11/stl.h>

#include "arrays.h"
#include "geometry.h"
#include "register.h"
#include "value.h"

namespace pocketcnn::bindings {
namespace {

void define_pool2d(py::module_& module) {
    module.def(
        "max_pool2d",
        [](const Floats& x, const Pool2d& pool) {
            const Shape4 shape = pool2d_output_shape(shape4(x), pool);
            Floats y = new_image(x, shape);
            Array<index_t> argmax = new_array<index_t>(shape_of(shape));
            index_t* places = argmax.mutable_data();
            compute(x, [&]<typename T>() {
                max_pool2d<T>(image<T>(x), pool, mutable_image<T>(y), places);
            });
            return results({y, argmax});
        },
        py::arg("x"), py::arg("pool"));
    module.def(
        "max_pool2d_backward",
        [](const Floats& grad, const Array<index_t>& argmax,
           const std::array<index_t, 4>& input_shape) {
            require_shape(argmax, shape_of(grad), "argmax");
            const Shape4 in = shape4(input_shape), dy = shape4(grad);
            if (in.n != dy.n || in.c != dy.c) {
                throw py::value_error("input_shape is " + text_of(in) + ", but grad has shape " +
                                      text_of(dy));
            }
            Floats dx = new_image(grad, in);
            compute(grad, [&]<typename T>() {
                max_pool2d_backward<T>(image<T>(grad), argmax.data(), mutable_image<T>(dx));
            });
            return dx;
        },
        py::arg("grad"), py::arg("argmax"), py::arg("input_shape"));
    module.def(
        "avg_pool2d",
        [](const Floats& x, const Pool2d& pool, bool count_include_pad) {
            Floats y = new_image(x, pool2d_output_shape(shape4(x), pool));
            compute(x, [&]<typename T>() {
                avg_pool2d<T>(image<T>(x), pool, count_include_pad, mutable_image<T>(y));
            });
            return y;
        },
        py::arg("x"), py::arg("pool"), py::arg("count_include_pad"));
    module.def(
        "avg_pool2d_backward",
        [](const Floats& grad, const std::array<index_t, 4>& input_shape, const Pool2d& pool,
           bool count_include_pad) {
            const Shape4 in = shape4(input_shape);
            require_shape(grad, pool2d_output_shape(in, pool), "grad");
            Floats dx = new_image(grad, in);
            compute(grad, [&]<typename T>() {
                avg_pool2d_backward<T>(image<T>(grad), pool, count_include_pad,
                                       mutable_image<T>(dx));
            });
            return dx;
        },
        py::arg("grad"), py::arg("input_shape"), py::arg("pool"), py::arg("count_include_pad"));
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
    define_pool2d(module);
}

}  // namespace pocketcnn::bindings
