// One step of each optimiser over a flat array.
#pragma once

#include <pocketcnn/types.h>

namespace pocketcnn {

struct SgdStep {
    double lr, momentum, weight_decay;
    bool nesterov;
};

struct AdaGradStep {
    double lr, eps, weight_decay;
};

struct RmsPropStep {
    double lr, alpha, eps, weight_decay;
};

/// p = p * keep - step_size * m / (sqrt(v) * inverse_correction + eps), after the moments took
/// g = grad + weight_decay * p.
struct AdamStep {
    double beta1, beta2, eps, weight_decay;
    double keep, step_size, inverse_correction;
};

/// The formulas are in pocketcnn/optimizer.h.
template <typename T>
struct OptimizerKernels {
    void (*sgd)(const SgdStep& step, index_t size, const T* grad, T* velocity, T* param);
    void (*adagrad)(const AdaGradStep& step, index_t size, const T* grad, T* square_sum, T* param);
    void (*rmsprop)(const RmsPropStep& step, index_t size, const T* grad, T* square_average,
                    T* param);
    void (*adam)(const AdamStep& step, index_t size, const T* grad, T* m, T* v, T* param);
};

}  // namespace pocketcnn
