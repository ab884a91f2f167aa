#include <pocketcnn/local_response_norm.h>

#include "arrays.h"
#include "gil.h"
#include "register.h"

namespace pocketcnn::bindings {
namespace {

template <typename T>
void define_local_response_norm(py::module_& module) {
    module.def(
        "local_response_norm",
        [](const Array<T>& x, index_t size, double alpha, double beta, double k) {
            Array<T> y = new_array_like(x);
            const ImageView<T> out = mutable_image(y);
            const WithoutGil released;
            local_response_norm<T>(image(x), {size, alpha, beta, k}, out);
            return y;
        },
        py::arg("x").noconvert(), py::arg("size"), py::arg("alpha"), py::arg("beta"), py::arg("k"));
    module.def(
        "local_response_norm_backward",
        [](const Array<T>& grad, const Array<T>& x, index_t size, double alpha, double beta,
           double k) {
            require_shape(grad, shape_of(x), "grad");
            Array<T> dx = new_array_like(x);
            const ImageView<T> out = mutable_image(dx);
            const WithoutGil released;
            local_response_norm_backward<T>(image(grad), image(x), {size, alpha, beta, k}, out);
            return dx;
        },
        py::arg("grad").noconvert(), py::arg("x").noconvert(), py::arg("size"), py::arg("alpha"),
        py::arg("beta"), py::arg("k"));
}

}  // namespace

void register_local_response_norm(py::module_& module) {
    POCKETCNN_FOR_TYPES(define_local_response_norm, module);
}

}  // namespace pocketcnn::bindings
