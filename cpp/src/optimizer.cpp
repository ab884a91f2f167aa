#include <pocketcnn/optimizer.h>

#include <cmath>

#include "runtime/isa.h"
#include "runtime/parallel.h"

namespace pocketcnn {
namespace {

constexpr index_t kGrain = 1 << 14;
/// A square root and a division beside a copied element.
constexpr double kCost = 4;

}  // namespace

template <typename T>
void sgd_update(const Sgd& sgd, const T* grad, T* velocity, T* param, index_t size) {
    const SgdStep step = {sgd.lr, sgd.momentum, sgd.weight_decay, sgd.nesterov};
    const Kernels<T>& kernel = kernels<T>();
    parallel_ranges(size, kGrain, 1, [&](index_t i, index_t end) {
        kernel.sgd(step, end - i, grad + i, velocity != nullptr ? velocity + i : nullptr,
                   param + i);
    });
}

template <typename T>
void adagrad_update(const AdaGrad& adagrad, const T* grad, T* square_sum, T* param, index_t size) {
    const AdaGradStep step = {adagrad.lr, adagrad.eps, adagrad.weight_decay};
    const Kernels<T>& kernel = kernels<T>();
    parallel_ranges(size, kGrain, kCost, [&](index_t i, index_t end) {
        kernel.adagrad(step, end - i, grad + i, square_sum + i, param + i);
    });
}

template <typename T>
void rmsprop_update(const RmsProp& rmsprop, const T* grad, T* square_average, T* param,
                    index_t size) {
    const RmsPropStep step = {rmsprop.lr, rmsprop.alpha, rmsprop.eps, rmsprop.weight_decay};
    const Kernels<T>& kernel = kernels<T>();
    parallel_ranges(size, kGrain, kCost, [&](index_t i, index_t end) {
        kernel.rmsprop(step, end - i, grad + i, square_average + i, param + i);
    });
}

template <typename T>
void adam_update(const Adam& adam, const T* grad, T* m, T* v, T* param, index_t size) {
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
    const Kernels<T>& kernel = kernels<T>();
    parallel_ranges(size, kGrain, kCost, [&](index_t i, index_t end) {
        kernel.adam(step, end - i, grad + i, m + i, v + i, param + i);
    });
}

#define POCKETCNN_INSTANTIATE(T)                                             \
    template void sgd_update(const Sgd&, const T*, T*, T*, index_t);         \
    template void adagrad_update(const AdaGrad&, const T*, T*, T*, index_t); \
    template void rmsprop_update(const RmsProp&, const T*, T*, T*, index_t); \
    template void adam_update(const Adam&, const T*, T*, T*, T*, index_t);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn
