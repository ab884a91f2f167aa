#include <pocketcnn/window2d.h>
#include <pybind11/stl.h>

#include <array>

#include "geometry.h"
#include "register.h"
#include "value.h"

namespace pocketcnn::bindings {

void register_window2d(pybind11::module_& module) {
    namespace py = pybind11;
    using Pair = std::array<index_t, 2>;   // (h, w)
    using Sides = std::array<index_t, 4>;  // (top, bottom, left, right)
    value_class<Window2d>(module, "Window2d", {"kernel_size", "stride", "padding", "dilation"})
        .def(py::init([](Pair kernel, Pair stride, Sides padding, Pair dilation) {
                 return Window2d{kernel[0],  kernel[1],  stride[0],  stride[1],   padding[0],
                                 padding[1], padding[2], padding[3], dilation[0], dilation[1]};
             }),
             py::arg("kernel_size"), py::arg("stride"), py::arg("padding"), py::arg("dilation"))
        .def_property_readonly(
            "kernel_size", [](const Window2d& w) { return py::make_tuple(w.kernel_h, w.kernel_w); })
        .def_property_readonly(
            "stride", [](const Window2d& w) { return py::make_tuple(w.stride_h, w.stride_w); })
        .def_property_readonly("padding",
                               [](const Window2d& w) {
                                   return py::make_tuple(w.pad_top, w.pad_bottom, w.pad_left,
                                                         w.pad_right);
                               })
        .def_property_readonly(
            "dilation",
            [](const Window2d& w) { return py::make_tuple(w.dilation_h, w.dilation_w); })
        .def(
            "output_size",
            [](const Window2d& window, index_t h, index_t w) {
                validate(window, h, w);
                return py::make_tuple(window.out_h(h), window.out_w(w));
            },
            py::arg("h"), py::arg("w"));
}

}  // namespace pocketcnn::bindings
