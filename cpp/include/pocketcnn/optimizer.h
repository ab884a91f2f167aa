// One step of each optimiser, in place, over a flat array of parameters. g stands for
// grad + weight_decay * param.
#pragma once

#include <pocketcnn/types.h>

#include <functional>

namespace pocketcnn {

/// What a step does to one parameter, element by element.
template <typename T>
struct UpdateStep {
    T* param;
    /// Updates the elements [first, first + count) from their gradients.
    std::function<void(const T* grad, index_t first, index_t count)> change;
    /// Cost per element, relative to copying one.
    double cost;
};

/// Applies the step to all elements.
template <typename T>
void update(const UpdateStep<T>& step, const T* grad, index_t size);

/// velocity may be null (no momentum). v = momentum v + g; p -= lr v, or with Nesterov's form
/// p -= lr (g + momentum v).
struct Sgd {
    double lr = 0.01, momentum = 0, weight_decay = 0;
    bool nesterov = false;
};
template <typename T>
UpdateStep<T> sgd_step(const Sgd& sgd, T* velocity, T* param);

/// s += g^2; p -= lr g / (sqrt(s) + eps)  (Duchi, Hazan and Singer, 2011).
struct AdaGrad {
    double lr = 0.01, eps = 1e-10, weight_decay = 0;
};
template <typename T>
UpdateStep<T> adagrad_step(const AdaGrad& adagrad, T* square_sum, T* param);

/// s = alpha s + (1 - alpha) g^2; p -= lr g / (sqrt(s) + eps)  (Hinton's lecture 6e, 2012).
struct RmsProp {
    double lr = 0.01, alpha = 0.99, eps = 1e-8, weight_decay = 0;
};
template <typename T>
UpdateStep<T> rmsprop_step(const RmsProp& rmsprop, T* square_average, T* param);

/// Kingma and Ba, 2015; decoupled weight decay is AdamW (Loshchilov and Hutter, 2019):
/// p -= lr weight_decay p before the step, and g = grad. step counts from 1.
struct Adam {
    double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
    bool decoupled = false;
    index_t step = 1;
};
template <typename T>
UpdateStep<T> adam_step(const Adam& adam, T* m, T* v, T* param);

}  // namespace pocketcnn
