#include <pocketcnn/linear.h>
#include <pocketcnn/optimizer.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <utility>
#include <variant>
#include <vector>

#include "arrays.h"
#include "gil.h"
#include "register.h"

namespace pocketcnn::bindings {
namespace {

template <typename T>
using Arrays = std::vector<Array<T>>;
/// dy and x, where the gradient is transpose(dy) * x.
template <typename T>
using Factors = std::pair<Array<T>, Array<T>>;
template <typename T>
using Gradients = std::vector<std::variant<Array<T>, Factors<T>>>;

void require(bool fits) {
    if (!fits) throw py::value_error("an array cannot be updated");
}

template <typename T>
void require_alike(const Array<T>& array, const Array<T>& param, bool written) {
    require(!written || array.writeable());
    require(array.ndim() == param.ndim() &&
            std::equal(array.shape(), array.shape() + array.ndim(), param.shape()));
}

template <typename T>
void require_alike(const Factors<T>& factors, const Array<T>& param) {
    const MatrixView<const T> dy = matrix(factors.first), x = matrix(factors.second);
    require(param.ndim() == 2 && dy.rows == x.rows && dy.cols == param.shape(0) &&
            x.cols == param.shape(1));
}

/// All arrays are checked before one is changed. step(param, states) makes the UpdateStep of a
/// parameter from pointers; states are those of its slots.
template <typename T, typename Step>
void update_all(Arrays<T>& params, const Gradients<T>& grads, std::vector<Arrays<T>>& slots,
                std::size_t wanted_slots, Step&& step) {
    require(grads.size() == params.size() && slots.size() == wanted_slots);
    for (const Arrays<T>& slot : slots) require(slot.size() == params.size());
    std::vector<UpdateStep<T>> steps;
    for (std::size_t i = 0; i < params.size(); ++i) {
        require_alike(params[i], params[i], true);
        if (const auto* grad = std::get_if<Array<T>>(&grads[i])) {
            require_alike(*grad, params[i], false);
        } else {
            require_alike(std::get<Factors<T>>(grads[i]), params[i]);
        }
        std::vector<T*> states;
        for (Arrays<T>& slot : slots) {
            require_alike(slot[i], params[i], true);
            states.push_back(slot[i].mutable_data());
        }
        steps.push_back(step(params[i].mutable_data(), states));
    }
    const WithoutGil released(WithoutGil::Signals::kept_waiting);
    for (std::size_t i = 0; i < steps.size(); ++i) {
        if (const auto* grad = std::get_if<Array<T>>(&grads[i])) {
            update<T>(steps[i], grad->data(), grad->size());
        } else {
            const auto& [dy, x] = std::get<Factors<T>>(grads[i]);
            linear_weight_update<T>(matrix(dy), matrix(x), steps[i]);
        }
    }
}

template <typename T>
void define_optimizer(py::module_& module) {
    module.def(
        "sgd_update",
        [](Arrays<T> params, const Gradients<T>& grads, std::vector<Arrays<T>> slots, double lr,
           double momentum, double weight_decay, bool nesterov) {
            const Sgd sgd = {lr, momentum, weight_decay, nesterov};
            const bool moves = !slots.empty();
            update_all(params, grads, slots, moves ? 1 : 0,
                       [&](T* param, const std::vector<T*>& states) {
                           return sgd_step<T>(sgd, moves ? states[0] : nullptr, param);
                       });
        },
        py::arg("params").noconvert(), py::arg("grads").noconvert(), py::arg("slots").noconvert(),
        py::arg("lr"), py::arg("momentum"), py::arg("weight_decay"), py::arg("nesterov"));
    module.def(
        "adagrad_update",
        [](Arrays<T> params, const Gradients<T>& grads, std::vector<Arrays<T>> slots, double lr,
           double eps, double weight_decay) {
            const AdaGrad adagrad = {lr, eps, weight_decay};
            update_all(params, grads, slots, 1, [&](T* param, const std::vector<T*>& states) {
                return adagrad_step<T>(adagrad, states[0], param);
            });
        },
        py::arg("params").noconvert(), py::arg("grads").noconvert(), py::arg("slots").noconvert(),
        py::arg("lr"), py::arg("eps"), py::arg("weight_decay"));
    module.def(
        "rmsprop_update",
        [](Arrays<T> params, const Gradients<T>& grads, std::vector<Arrays<T>> slots, double lr,
           double alpha, double eps, double weight_decay) {
            const RmsProp rmsprop = {lr, alpha, eps, weight_decay};
            update_all(params, grads, slots, 1, [&](T* param, const std::vector<T*>& states) {
                return rmsprop_step<T>(rmsprop, states[0], param);
            });
        },
        py::arg("params").noconvert(), py::arg("grads").noconvert(), py::arg("slots").noconvert(),
        py::arg("lr"), py::arg("alpha"), py::arg("eps"), py::arg("weight_decay"));
    module.def(
        "adam_update",
        [](Arrays<T> params, const Gradients<T>& grads, std::vector<Arrays<T>> slots, double lr,
           double beta1, double beta2, double eps, double weight_decay, bool decoupled,
           index_t step) {
            const Adam adam = {lr, beta1, beta2, eps, weight_decay, decoupled, step};
            update_all(params, grads, slots, 2, [&](T* param, const std::vector<T*>& states) {
                return adam_step<T>(adam, states[0], states[1], param);
            });
        },
        py::arg("params").noconvert(), py::arg("grads").noconvert(), py::arg("slots").noconvert(),
        py::arg("lr"), py::arg("beta1"), py::arg("beta2"), py::arg("eps"), py::arg("weight_decay"),
        py::arg("decoupled"), py::arg("step"));
}

}  // namespace

void register_optimizer(py::module_& module) {
    POCKETCNN_FOR_TYPES(define_optimizer, module);
}

}  // namespace pocketcnn::bindings
