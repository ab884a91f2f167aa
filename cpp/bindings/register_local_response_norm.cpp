#include <pocketcnn/local_response_norm.h>

#include "arrays.h"
#include "register.h"

namespace pocketcnn::bindings {
namespace {

void define_local_response_norm(py::module_& module) {
    module.def(
        "local_response_norm",
        [](const Floats& x, index_t size, double alpha, double beta, double k) {
            Floats y = new_like(x);
            compute(x, [&]<typename T>() {
                local_response_norm<T>(image<T>(x), {size, alpha, beta, k}, mutable_image<T>(y));
            });
            return y;
        },
        py::arg("x"), py::arg("size"), py::arg("alpha"), py::arg("beta"), py::arg("k"));
    module.def(
        "local_response_norm_backward",
        [](const Floats& grad, const Floats& x, index_t size, double alpha, double beta, double k) {
            require_shape(grad, shape_of(x), "grad");
            Floats dx = new_like(x);
            compute(grad, [&]<typename T>() {
                local_response_norm_backward<T>(image<T>(grad), image<T>(x), {size, alpha, beta, k},
                                                mutable_image<T>(dx));
            });
            return dx;
        },
        py::arg("grad"), py::arg("x"), py::arg("size"), py::arg("alpha"), py::arg("beta"),
        py::arg("k"));
}

}  // namespace

void register_local_response_norm(py::module_& module) {
    define_local_response_norm(module);
}

}  // namespace pocketcnn::bindings
