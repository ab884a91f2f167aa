// One update step of each optimiser, in place, over a flat array of parameters. g stands for
// grad + weight_decay * param.
#pragma once

#include <pocketcnn/types.h>

namespace pocketcnn {

/// velocity may be null (no momentum). v = momentum v + g; p -= lr v, or with Nesterov's form
/// p -= lr (g + momentum v).
struct Sgd {
    double lr = 0.01, momentum = 0, weight_decay = 0;
    bool nesterov = false;
};
template <typename T>
void sgd_update(const Sgd& sgd, const T* grad, T* velocity, T* param, index_t size);

/// s += g^2; p -= lr g / (sqrt(s) + eps)  (Duchi, Hazan and Singer, 2011).
struct AdaGrad {
    double lr = 0.01, eps = 1e-10, weight_decay = 0;
};
template <typename T>
void adagrad_update(const AdaGrad& adagrad, const T* grad, T* square_sum, T* param, index_t size);

/// s = alpha s + (1 - alpha) g^2; p -= lr g / (sqrt(s) + eps)  (Hinton's lecture 6e, 2012).
struct RmsProp {
    double lr = 0.01, alpha = 0.99, eps = 1e-8, weight_decay = 0;
};
template <typename T>
void rmsprop_update(const RmsProp& rmsprop, const T* grad, T* square_average, T* param,
                    index_t size);

/// Kingma and Ba, 2015; decoupled weight decay is AdamW (Loshchilov and Hutter, 2019):
/// p -= lr weight_decay p before the step, and g = grad. step counts from 1.
struct Adam {
    double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
    bool decoupled = false;
    index_t step = 1;
};
template <typename T>
void adam_update(const Adam& adam, const T* grad, T* m, T* v, T* param, index_t size);

}  // namespace pocketcnn
