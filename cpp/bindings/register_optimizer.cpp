#include <pocketcnn/linear.h>
#include <pocketcnn/optimizer.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <utility>
#include <variant>
#include <vector>

#include "arrays.h"
#include "register.h"

namespace pocketcnn::bindings {
namespace {

using Arrays = std::vector<Floats>;
/// dy and x, where the gradient is transpose(dy) * x.
using Factors = std::pair<Floats, Floats>;
using Gradients = std::vector<std::variant<Floats, Factors>>;

void require(bool fits) {
    if (!fits) throw py::value_error("an array cannot be updated");
}

void require_alike(const Floats& array, const Floats& param) {
    array.require_type(param.type_number());
    require(array.ndim() == param.ndim() &&
            std::equal(array.shape(), array.shape() + array.ndim(), param.shape()));
}

void require_gradient(const std::variant<Floats, Factors>& gradient, const Floats& param) {
    if (const auto* grad = std::get_if<Floats>(&gradient)) return require_alike(*grad, param);
    const auto& [dy, x] = std::get<Factors>(gradient);
    for (const Floats& factor : {dy, x}) {
        factor.require_type(param.type_number());
        require_matrix(factor);
    }
    require(param.ndim() == 2 && dy.shape(0) == x.shape(0) && dy.shape(1) == param.shape(0) &&
            x.shape(1) == param.shape(1));
}

void require_updatable(const Arrays& params, const Gradients& grads,
                       const std::vector<Arrays>& slots, std::size_t wanted_slots) {
    require(grads.size() == params.size() && slots.size() == wanted_slots);
    for (std::size_t i = 0; i < params.size(); ++i) {
        params[i].require_type(params[0].type_number());
        require(params[i].writeable());
        require_gradient(grads[i], params[i]);
    }
    for (const Arrays& slot : slots) {
        require(slot.size() == params.size());
        for (std::size_t i = 0; i < params.size(); ++i) {
            require(slot[i].writeable());
            require_alike(slot[i], params[i]);
        }
    }
}

template <typename T>
void update(const std::vector<UpdateStep<T>>& steps, const Gradients& grads) {
    for (std::size_t i = 0; i < steps.size(); ++i) {
        if (const auto* grad = std::get_if<Floats>(&grads[i])) {
            update<T>(steps[i], grad->data<T>(), grad->size());
        } else {
            const auto& [dy, x] = std::get<Factors>(grads[i]);
            linear_weight_update<T>(matrix<T>(dy), matrix<T>(x), steps[i]);
        }
    }
}

/// All arrays are checked before one is changed. step(param, states) makes the UpdateStep of a
/// parameter from pointers; states are those of its slots.
template <typename Step>
void update_all(Arrays& params, const Gradients& grads, std::vector<Arrays>& slots,
                std::size_t wanted_slots, const Step& step) {
    require_updatable(params, grads, slots, wanted_slots);
    if (params.empty()) return;
    const auto update_them = [&]<typename T>() {
        std::vector<UpdateStep<T>> steps;
        for (std::size_t i = 0; i < params.size(); ++i) {
            std::vector<T*> states;
            states.reserve(slots.size());
            for (Arrays& slot : slots) states.push_back(slot[i].mutable_data<T>());
            steps.push_back(step(params[i].mutable_data<T>(), states));
        }
        update<T>(steps, grads);
    };
    compute(params[0], update_them, WithoutGil::Signals::kept_waiting);
}

void define_optimizer(py::module_& module) {
    module.def(
        "sgd_update",
        [](Arrays params, const Gradients& grads, std::vector<Arrays> slots, double lr,
           double momentum, double weight_decay, bool nesterov) {
            const Sgd sgd = {lr, momentum, weight_decay, nesterov};
            const bool moves = !slots.empty();
            update_all(params, grads, slots, moves ? 1 : 0,
                       [&]<typename T>(T* param, const std::vector<T*>& states) {
                           return sgd_step<T>(sgd, moves ? states[0] : nullptr, param);
                       });
        },
        py::arg("params"), py::arg("grads"), py::arg("slots"), py::arg("lr"), py::arg("momentum"),
        py::arg("weight_decay"), py::arg("nesterov"));
    module.def(
        "adagrad_update",
        [](Arrays params, const Gradients& grads, std::vector<Arrays> slots, double lr, double eps,
           double weight_decay) {
            const AdaGrad adagrad = {lr, eps, weight_decay};
            update_all(params, grads, slots, 1,
                       [&]<typename T>(T* param, const std::vector<T*>& states) {
                           return adagrad_step<T>(adagrad, states[0], param);
                       });
        },
        py::arg("params"), py::arg("grads"), py::arg("slots"), py::arg("lr"), py::arg("eps"),
        py::arg("weight_decay"));
    module.def(
        "rmsprop_update",
        [](Arrays params, const Gradients& grads, std::vector<Arrays> slots, double lr,
           double alpha, double eps, double weight_decay) {
            const RmsProp rmsprop = {lr, alpha, eps, weight_decay};
            update_all(params, grads, slots, 1,
                       [&]<typename T>(T* param, const std::vector<T*>& states) {
                           return rmsprop_step<T>(rmsprop, states[0], param);
                       });
        },
        py::arg("params"), py::arg("grads"), py::arg("slots"), py::arg("lr"), py::arg("alpha"),
        py::arg("eps"), py::arg("weight_decay"));
    module.def(
        "adam_update",
        [](Arrays params, const Gradients& grads, std::vector<Arrays> slots, double lr,
           double beta1, double beta2, double eps, double weight_decay, bool decoupled,
           index_t step) {
            const Adam adam = {lr, beta1, beta2, eps, weight_decay, decoupled, step};
            update_all(params, grads, slots, 2,
                       [&]<typename T>(T* param, const std::vector<T*>& states) {
                           return adam_step<T>(adam, states[0], states[1], param);
                       });
        },
        py::arg("params"), py::arg("grads"), py::arg("slots"), py::arg("lr"), py::arg("beta1"),
        py::arg("beta2"), py::arg("eps"), py::arg("weight_decay"), py::arg("decoupled"),
        py::arg("step"));
}

}  // namespace

void register_optimizer(py::module_& module) {
    define_optimizer(module);
}

}  // namespace pocketcnn::bindings
