// One step of each optimiser over a flat array; the formulas are in pocketcnn/optimizer.h.
#include "kernels/simd.h"
#include "kernels/topics.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

template <typename T>
void sgd(const SgdStep& step, index_t size, const T* grad, T* velocity, T* param) {
    const T lr = static_cast<T>(step.lr), momentum = static_cast<T>(step.momentum);
    const T decay = static_cast<T>(step.weight_decay);
    if (velocity == nullptr) {
        for (index_t i = 0; i < size; ++i) param[i] -= lr * (grad[i] + decay * param[i]);
        return;
    }
    const T lookahead = step.nesterov ? momentum : T{1};
    const T direct = step.nesterov ? T{1} : T{0};
    for (index_t i = 0; i < size; ++i) {
        const T g = grad[i] + decay * param[i];
        const T v = momentum * velocity[i] + g;
        velocity[i] = v;
        param[i] -= lr * (direct * g + lookahead * v);
    }
}

template <typename T>
void adagrad(const AdaGradStep& step, index_t size, const T* grad, T* square_sum, T* param) {
    const T lr = static_cast<T>(step.lr), eps = static_cast<T>(step.eps);
    const T decay = static_cast<T>(step.weight_decay);
    for (index_t i = 0; i < size; ++i) {
        const T g = grad[i] + decay * param[i];
        const T s = square_sum[i] + g * g;
        square_sum[i] = s;
        param[i] -= lr * g / (square_root(s) + eps);
    }
}

template <typename T>
void rmsprop(const RmsPropStep& step, index_t size, const T* grad, T* square_average, T* param) {
    const T lr = static_cast<T>(step.lr), eps = static_cast<T>(step.eps);
    const T decay = static_cast<T>(step.weight_decay);
    const T alpha = static_cast<T>(step.alpha), rest = static_cast<T>(1 - step.alpha);
    for (index_t i = 0; i < size; ++i) {
        const T g = grad[i] + decay * param[i];
        const T s = alpha * square_average[i] + rest * g * g;
        square_average[i] = s;
        param[i] -= lr * g / (square_root(s) + eps);
    }
}

template <typename T>
void adam(const AdamStep& step, index_t size, const T* grad, T* m, T* v, T* param) {
    const T beta1 = static_cast<T>(step.beta1), rest1 = static_cast<T>(1 - step.beta1);
    const T beta2 = static_cast<T>(step.beta2), rest2 = static_cast<T>(1 - step.beta2);
    const T eps = static_cast<T>(step.eps), decay = static_cast<T>(step.weight_decay);
    const T keep = static_cast<T>(step.keep), step_size = static_cast<T>(step.step_size);
    const T correction = static_cast<T>(step.inverse_correction);
    for (index_t i = 0; i < size; ++i) {
        const T g = grad[i] + decay * param[i];
        const T mean = beta1 * m[i] + rest1 * g;
        const T square = beta2 * v[i] + rest2 * g * g;
        m[i] = mean;
        v[i] = square;
        param[i] = param[i] * keep - step_size * mean / (square_root(square) * correction + eps);
    }
}

template <typename T>
constexpr OptimizerKernels<T> kKernels = {
    .sgd = sgd<T>,
    .adagrad = adagrad<T>,
    .rmsprop = rmsprop<T>,
    .adam = adam<T>,
};

}  // namespace

const Topic<OptimizerKernels> optimizer_kernels = {kKernels<float>, kKernels<double>};

}  // namespace pocketcnn::POCKETCNN_ISA
