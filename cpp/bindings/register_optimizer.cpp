#include <pocketcnn/optimizer.h>
#include <pybind11/stl.h>

#include <optional>

#include "arrays.h"
#include "register.h"

namespace pocketcnn::bindings {
namespace {

template <typename T>
void define(py::module_& module) {
    module.def(
        "sgd_update",
        [](Array<T>& param, const Array<T>& grad, std::optional<Array<T>> velocity, double lr,
           double momentum, double weight_decay, bool nesterov) {
            require_size(grad, param.size(), "grad");
            if (velocity) require_size(*velocity, param.size(), "velocity");
            T* p = param.mutable_data();
            T* v = velocity ? velocity->mutable_data() : nullptr;
            const py::gil_scoped_release release;
            sgd_update<T>({lr, momentum, weight_decay, nesterov}, grad.data(), v, p, param.size());
        },
        py::arg("param").noconvert(), py::arg("grad").noconvert(), py::arg("velocity").noconvert(),
        py::arg("lr"), py::arg("momentum"), py::arg("weight_decay"), py::arg("nesterov"));
    module.def(
        "adagrad_update",
        [](Array<T>& param, const Array<T>& grad, Array<T>& square_sum, double lr, double eps,
           double weight_decay) {
            require_size(grad, param.size(), "grad");
            require_size(square_sum, param.size(), "square_sum");
            T *p = param.mutable_data(), *s = square_sum.mutable_data();
            const py::gil_scoped_release release;
            adagrad_update<T>({lr, eps, weight_decay}, grad.data(), s, p, param.size());
        },
        py::arg("param").noconvert(), py::arg("grad").noconvert(),
        py::arg("square_sum").noconvert(), py::arg("lr"), py::arg("eps"), py::arg("weight_decay"));
    module.def(
        "rmsprop_update",
        [](Array<T>& param, const Array<T>& grad, Array<T>& square_average, double lr, double alpha,
           double eps, double weight_decay) {
            require_size(grad, param.size(), "grad");
            require_size(square_average, param.size(), "square_average");
            T *p = param.mutable_data(), *s = square_average.mutable_data();
            const py::gil_scoped_release release;
            rmsprop_update<T>({lr, alpha, eps, weight_decay}, grad.data(), s, p, param.size());
        },
        py::arg("param").noconvert(), py::arg("grad").noconvert(),
        py::arg("square_average").noconvert(), py::arg("lr"), py::arg("alpha"), py::arg("eps"),
        py::arg("weight_decay"));
    module.def(
        "adam_update",
        [](Array<T>& param, const Array<T>& grad, Array<T>& m, Array<T>& v, double lr, double beta1,
           double beta2, double eps, double weight_decay, bool decoupled, index_t step) {
            require_size(grad, param.size(), "grad");
            require_size(m, param.size(), "m");
            require_size(v, param.size(), "v");
            T *p = param.mutable_data(), *mean = m.mutable_data(), *square = v.mutable_data();
            const py::gil_scoped_release release;
            adam_update<T>({lr, beta1, beta2, eps, weight_decay, decoupled, step}, grad.data(),
                           mean, square, p, param.size());
        },
        py::arg("param").noconvert(), py::arg("grad").noconvert(), py::arg("m").noconvert(),
        py::arg("v").noconvert(), py::arg("lr"), py::arg("beta1"), py::arg("beta2"), py::arg("eps"),
        py::arg("weight_decay"), py::arg("decoupled"), py::arg("step"));
}

}  // namespace

void register_optimizer(py::module_& module) {
    POCKETCNN_FOR_TYPES(define, module);
}

}  // namespace pocketcnn::bindings
