#include <pocketcnn/optimizer.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <vector>

#include "arrays.h"
#include "register.h"

namespace pocketcnn::bindings {
namespace {

template <typename T>
using Arrays = std::vector<Array<T>>;

template <typename T>
void require_alike(const Arrays<T>& arrays, const Arrays<T>& params, bool written) {
    if (arrays.size() != params.size()) throw py::value_error("the lists differ in length");
    for (std::size_t i = 0; i < arrays.size(); ++i) {
        const Array<T>&a = arrays[i], &param = params[i];
        const bool aligned = (a.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_) != 0;
        if (!aligned || (written && !a.writeable()) || a.ndim() != param.ndim() ||
            !std::equal(a.shape(), a.shape() + a.ndim(), param.shape())) {
            throw py::value_error("an array cannot be updated");
        }
    }
}

template <typename T>
std::vector<T*> pointers(Arrays<T>& arrays) {
    std::vector<T*> result;
    for (Array<T>& a : arrays) result.push_back(a.mutable_data());
    return result;
}

/// Calls update(gradient, pointers to the states, parameter, size) for every parameter, after
/// all arrays were checked.
template <typename T, typename Update>
void update_all(Arrays<T>& params, const Arrays<T>& grads, std::vector<Arrays<T>>& states,
                Update&& update) {
    require_alike(params, params, true);
    require_alike(grads, params, false);
    for (const Arrays<T>& state : states) require_alike(state, params, true);
    const std::vector<T*> param = pointers(params);
    std::vector<std::vector<T*>> of_state;
    for (Arrays<T>& state : states) of_state.push_back(pointers(state));
    std::vector<const T*> grad;
    std::vector<index_t> size;
    for (const Array<T>& g : grads) {
        grad.push_back(g.data());
        size.push_back(g.size());
    }
    const py::gil_scoped_release release;
    for (std::size_t i = 0; i < param.size(); ++i) {
        const auto state = [&](std::size_t k) { return of_state.at(k)[i]; };
        update(grad[i], state, param[i], size[i]);
    }
}

template <typename T>
void define(py::module_& module) {
    module.def(
        "sgd_update",
        [](Arrays<T> params, const Arrays<T>& grads, std::vector<Arrays<T>> states, double lr,
           double momentum, double weight_decay, bool nesterov) {
            const Sgd sgd = {lr, momentum, weight_decay, nesterov};
            const bool moves = !states.empty();
            update_all(params, grads, states, [&](const T* g, auto state, T* p, index_t size) {
                sgd_update<T>(sgd, g, moves ? state(0) : nullptr, p, size);
            });
        },
        py::arg("params").noconvert(), py::arg("grads").noconvert(), py::arg("states").noconvert(),
        py::arg("lr"), py::arg("momentum"), py::arg("weight_decay"), py::arg("nesterov"));
    module.def(
        "adagrad_update",
        [](Arrays<T> params, const Arrays<T>& grads, std::vector<Arrays<T>> states, double lr,
           double eps, double weight_decay) {
            const AdaGrad adagrad = {lr, eps, weight_decay};
            update_all(params, grads, states, [&](const T* g, auto state, T* p, index_t size) {
                adagrad_update<T>(adagrad, g, state(0), p, size);
            });
        },
        py::arg("params").noconvert(), py::arg("grads").noconvert(), py::arg("states").noconvert(),
        py::arg("lr"), py::arg("eps"), py::arg("weight_decay"));
    module.def(
        "rmsprop_update",
        [](Arrays<T> params, const Arrays<T>& grads, std::vector<Arrays<T>> states, double lr,
           double alpha, double eps, double weight_decay) {
            const RmsProp rmsprop = {lr, alpha, eps, weight_decay};
            update_all(params, grads, states, [&](const T* g, auto state, T* p, index_t size) {
                rmsprop_update<T>(rmsprop, g, state(0), p, size);
            });
        },
        py::arg("params").noconvert(), py::arg("grads").noconvert(), py::arg("states").noconvert(),
        py::arg("lr"), py::arg("alpha"), py::arg("eps"), py::arg("weight_decay"));
    module.def(
        "adam_update",
        [](Arrays<T> params, const Arrays<T>& grads, std::vector<Arrays<T>> states, double lr,
           double beta1, double beta2, double eps, double weight_decay, bool decoupled,
           index_t step) {
            const Adam adam = {lr, beta1, beta2, eps, weight_decay, decoupled, step};
            update_all(params, grads, states, [&](const T* g, auto state, T* p, index_t size) {
                adam_update<T>(adam, g, state(0), state(1), p, size);
            });
        },
        py::arg("params").noconvert(), py::arg("grads").noconvert(), py::arg("states").noconvert(),
        py::arg("lr"), py::arg("beta1"), py::arg("beta2"), py::arg("eps"), py::arg("weight_decay"),
        py::arg("decoupled"), py::arg("step"));
}

}  // namespace

void register_optimizer(py::module_& module) {
    POCKETCNN_FOR_TYPES(define, module);
}

}  // namespace pocketcnn::bindings
