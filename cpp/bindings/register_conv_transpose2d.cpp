#include <pocketcnn/conv_transpose2d.h>

#include <optional>

#include "arrays.h"
#include "geometry.h"
#include "register.h"

namespace pocketcnn::bindings {
namespace {

void define_conv_transpose2d(py::module_& module) {
    module.def(
        "conv_transpose2d",
        [](const Floats& x, const Floats& weight, const std::optional<Floats>& bias,
           const std::array<index_t, 4>& y_shape, const Conv2d& conv) {
            const Shape4 shape = shape4(y_shape);
            require_shape(x, conv2d_output_shape(shape, conv), "x");
            require_shape(weight, conv2d_weight_shape(shape, conv), "weight");
            if (bias) require_shape(*bias, Shape{shape.c}, "bias");
            Floats y = new_image(x, shape);
            compute(x, [&]<typename T>() {
                conv_transpose2d<T>(image<T>(x), weight.data<T>(), data_or_null<T>(bias), conv,
                                    mutable_image<T>(y));
            });
            return y;
        },
        py::arg("x"), py::arg("weight"), py::arg("bias"), py::arg("y_shape"), py::arg("conv"));
    module.def(
        "conv_transpose2d_backward_weight",
        [](const Floats& grad, const Floats& x, const Conv2d& conv) {
            const Shape4 shape = shape4(grad);
            require_shape(x, conv2d_output_shape(shape, conv), "x");
            Floats dweight = new_image(x, conv2d_weight_shape(shape, conv));
            Floats dbias = new_floats(x, {shape.c});
            compute(grad, [&]<typename T>() {
                conv_transpose2d_backward_weight<T>(image<T>(grad), image<T>(x), conv,
                                                    dweight.mutable_data<T>(),
                                                    dbias.mutable_data<T>());
            });
            return results({dweight, dbias});
        },
        py::arg("grad"), py::arg("x"), py::arg("conv"));
}

}  // namespace

void register_conv_transpose2d(py::module_& module) {
    define_conv_transpose2d(module);
}

}  // namespace pocketcnn::bindings
