#include <pocketcnn/conv_transpose2d.h>

#include <optional>

#include "arrays.h"
#include "geometry.h"
#include "gil.h"
#include "register.h"

namespace pocketcnn::bindings {
namespace {

template <typename T>
void define_conv_transpose2d(py::module_& module) {
    module.def(
        "conv_transpose2d",
        [](const Array<T>& x, const Array<T>& weight, const std::optional<Array<T>>& bias,
           const std::array<index_t, 4>& y_shape, const Conv2d& conv) {
            const Shape4 shape = shape4(y_shape);
            require_shape(x, conv2d_output_shape(shape, conv), "x");
            require_shape(weight, conv2d_weight_shape(shape, conv), "weight");
            if (bias) require_shape(*bias, Shape{shape.c}, "bias");
            Array<T> y = new_image<T>(shape);
            const ImageView<T> out = mutable_image(y);
            const WithoutGil released;
            conv_transpose2d<T>(image(x), weight.data(), bias ? bias->data() : nullptr, conv, out);
            return y;
        },
        py::arg("x").noconvert(), py::arg("weight").noconvert(), py::arg("bias").noconvert(),
        py::arg("y_shape"), py::arg("conv"));
    module.def(
        "conv_transpose2d_backward_weight",
        [](const Array<T>& grad, const Array<T>& x, const Conv2d& conv) {
            const Shape4 shape = shape4(grad);
            require_shape(x, conv2d_output_shape(shape, conv), "x");
            Array<T> dweight = new_image<T>(conv2d_weight_shape(shape, conv));
            Array<T> dbias = new_array<T>({shape.c});
            T *to_weight = dweight.mutable_data(), *to_bias = dbias.mutable_data();
            {
                const WithoutGil released;
                conv_transpose2d_backward_weight<T>(image(grad), image(x), conv, to_weight,
                                                    to_bias);
            }
            return py::make_tuple(dweight, dbias);
        },
        py::arg("grad").noconvert(), py::arg("x").noconvert(), py::arg("conv"));
}

}  // namespace

void register_conv_transpose2d(py::module_& module) {
    POCKETCNN_FOR_TYPES(define_conv_transpose2d, module);
}

}  // namespace pocketcnn::bindings
