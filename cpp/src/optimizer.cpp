#include <pocketcnn/optimizer.h>

#include <cmath>

#include "runtime/isa.h"
#include "runtime/parallel.h"

namespace pocketcnn {
namespace {

/// Cost of a square root and a division, relative to copying an element.
constexpr double kAdaptiveCost = 4;

}  // namespace

template <typename T>
void update(const UpdateStep<T>& step, const T* grad, index_t size) {
    constexpr index_t grain = 1 << 14;
    parallel_ranges(size, grain, step.cost,
                    [&](index_t i, index_t end) { step.change(grad + i, i, end - i); });
}

// Kernels see no public header but types.h, so that their steps are structs of their own.
template <typename T>
UpdateStep<T> sgd_step(const Sgd& sgd, T* velocity, T* param) {
    const SgdStep step = {sgd.lr, sgd.momentum, sgd.weight_decay, sgd.nesterov};
    const auto change = [=](const T* grad, index_t first, index_t count) {
        T* const from = velocity != nullptr ? velocity + first : nullptr;
        kernels<T>().optimizer.sgd(step, count, grad, from, param + first);
    };
    return {param, change, 1};
}

template <typename T>
UpdateStep<T> adagrad_step(const AdaGrad& adagrad, T* square_sum, T* param) {
    const AdaGradStep step = {adagrad.lr, adagrad.eps, adagrad.weight_decay};
    const auto change = [=](const T* grad, index_t first, index_t count) {
        kernels<T>().optimizer.adagrad(step, count, grad, square_sum + first, param + first);
    };
    return {param, change, kAdaptiveCost};
}

template <typename T>
UpdateStep<T> rmsprop_step(const RmsProp& rmsprop, T* square_average, T* param) {
    const RmsPropStep step = {rmsprop.lr, rmsprop.alpha, rmsprop.eps, rmsprop.weight_decay};
    const auto change = [=](const T* grad, index_t first, index_t count) {
        kernels<T>().optimizer.rmsprop(step, count, grad, square_average + first, param + first);
    };
    return {param, change, kAdaptiveCost};
}

template <typename T>
UpdateStep<T> adam_step(const Adam& adam, T* m, T* v, T* param) {
    const double count = static_cast<double>(adam.step);
    const AdamStep step = {
        .beta1 = adam.beta1,
        .beta2 = adam.beta2,
        .eps = adam.eps,
        .weight_decay = adam.decoupled ? 0 : adam.weight_decay,
        .keep = adam.decoupled ? 1 - adam.lr * adam.weight_decay : 1,
        .step_size = adam.lr / (1 - std::pow(adam.beta1, count)),
        .inverse_correction = 1 / std::sqrt(1 - std::pow(adam.beta2, count)),
    };
    const auto change = [=](const T* grad, index_t first, index_t size) {
        kernels<T>().optimizer.adam(step, size, grad, m + first, v + first, param + first);
    };
    return {param, change, kAdaptiveCost};
}

#define POCKETCNN_INSTANTIATE(T)                                   \
    template void update(const UpdateStep<T>&, const T*, index_t); \
    template UpdateStep<T> sgd_step(const Sgd&, T*, T*);           \
    template UpdateStep<T> adagrad_step(const AdaGrad&, T*, T*);   \
    template UpdateStep<T> rmsprop_step(const RmsProp&, T*, T*);   \
    template UpdateStep<T> adam_step(const Adam&, T*, T*, T*);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn
