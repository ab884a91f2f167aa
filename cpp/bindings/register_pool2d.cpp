#include <pocketcnn/pool2d.h>
#include <pybind11/stl.h>

#include "arrays.h"
#include "gil.h"
#include "register.h"
#include "window.h"

namespace pocketcnn::bindings {
namespace {

template <typename T>
void define(py::module_& module) {
    module.def(
        "max_pool2d",
        [](const Array<T>& x, Pair kernel, Pair stride, Padding padding, Pair dilation,
           bool ceil_mode) {
            const Pool2d pool = {window2d(kernel, stride, padding, dilation), ceil_mode};
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
        py::arg("x").noconvert(), py::arg("kernel_size"), py::arg("stride"), py::arg("padding"),
        py::arg("dilation"), py::arg("ceil_mode"));
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
        [](const Array<T>& x, Pair kernel, Pair stride, Padding padding, bool ceil_mode,
           bool count_include_pad) {
            const Pool2d pool = {window2d(kernel, stride, padding, {1, 1}), ceil_mode};
            Array<T> y = new_image<T>(pool2d_output_shape(shape4(x), pool));
            const ImageView<T> out = mutable_image(y);
            const WithoutGil released;
            avg_pool2d<T>(image(x), pool, count_include_pad, out);
            return y;
        },
        py::arg("x").noconvert(), py::arg("kernel_size"), py::arg("stride"), py::arg("padding"),
        py::arg("ceil_mode"), py::arg("count_include_pad"));
    module.def(
        "avg_pool2d_backward",
        [](const Array<T>& grad, const std::array<index_t, 4>& input_shape, Pair kernel,
           Pair stride, Padding padding, bool ceil_mode, bool count_include_pad) {
            const Pool2d pool = {window2d(kernel, stride, padding, {1, 1}), ceil_mode};
            const Shape4 in = shape4(input_shape);
            require_shape(grad, pool2d_output_shape(in, pool), "grad");
            Array<T> dx = new_image<T>(in);
            const ImageView<T> out = mutable_image(dx);
            const WithoutGil released;
            avg_pool2d_backward<T>(image(grad), pool, count_include_pad, out);
            return dx;
        },
        py::arg("grad").noconvert(), py::arg("input_shape"), py::arg("kernel_size"),
        py::arg("stride"), py::arg("padding"), py::arg("ceil_mode"), py::arg("count_include_pad"));
}

}  // namespace

void register_pool2d(py::module_& module) {
    POCKETCNN_FOR_TYPES(define, module);
    module.def(
        "pool2d_output_shape",
        [](const std::array<index_t, 4>& input_shape, Pair kernel, Pair stride, Padding padding,
           Pair dilation, bool ceil_mode) {
            const Pool2d pool = {window2d(kernel, stride, padding, dilation), ceil_mode};
            const Shape4 out = pool2d_output_shape(shape4(input_shape), pool);
            return py::make_tuple(out.n, out.c, out.h, out.w);
        },
        py::arg("input_shape"), py::arg("kernel_size"), py::arg("stride"), py::arg("padding"),
        py::arg("dilation"), py::arg("ceil_mode"));
}

}  // namespace pocketcnn::bindings
