#include <pocketcnn/upsample2d.h>
#include <pybind11/native_enum.h>
#include <pybind11/stl.h>

#include "arrays.h"
#include "geometry.h"
#include "register.h"
#include "value.h"

namespace pocketcnn::bindings {
namespace {

void define_upsample2d(py::module_& module) {
    module.def(
        "upsample2d",
        [](const Floats& x, const Upsample2d& upsample) {
            Floats y = new_image(x, upsample2d_output_shape(shape4(x), upsample));
            compute(x, [&]<typename T>() {
                upsample2d<T>(image<T>(x), upsample, mutable_image<T>(y));
            });
            return y;
        },
        py::arg("x"), py::arg("upsample"));
    module.def(
        "upsample2d_backward",
        [](const Floats& grad, const std::array<index_t, 4>& input_shape,
           const Upsample2d& upsample) {
            const Shape4 in = shape4(input_shape);
            require_shape(grad, upsample2d_output_shape(in, upsample), "grad");
            Floats dx = new_image(grad, in);
            compute(grad, [&]<typename T>() {
                upsample2d_backward<T>(image<T>(grad), upsample, mutable_image<T>(dx));
            });
            return dx;
        },
        py::arg("grad"), py::arg("input_shape"), py::arg("upsample"));
}

}  // namespace

void register_upsample2d(py::module_& module) {
    py::native_enum<UpsampleMode>(module, "UpsampleMode", "enum.Enum")
        .value("nearest", UpsampleMode::nearest)
        .value("bilinear", UpsampleMode::bilinear)
        .finalize();
    value_class<Upsample2d>(module, "Upsample2d", {"scale", "mode", "align_corners"})
        .def(py::init([](const std::array<double, 2>& scale, UpsampleMode mode, bool aligned) {
                 return Upsample2d{scale[0], scale[1], mode, aligned};
             }),
             py::arg("scale"), py::arg("mode"), py::arg("align_corners"))
        .def_property_readonly(
            "scale", [](const Upsample2d& it) { return py::make_tuple(it.scale_h, it.scale_w); })
        .def_readonly("mode", &Upsample2d::mode)
        .def_readonly("align_corners", &Upsample2d::align_corners)
        .def(
            "output_shape",
            [](const Upsample2d& upsample, const std::array<index_t, 4>& x_shape) {
                return tuple_of(upsample2d_output_shape(shape4(x_shape), upsample));
            },
            py::arg("x_shape"));
    define_upsample2d(module);
}

}  // namespace pocketcnn::bindings
