// Elementwise activations and their gradients.
#pragma once

#include <pocketcnn/types.h>

namespace pocketcnn {

enum class Activation {
    relu,          ///< max(x, 0)
    sigmoid,       ///< 1 / (1 + exp(-x))
    tanh,          ///< tanh(x)
    leaky_relu,    ///< x, or parameter * x for x <= 0
    elu,           ///< x, or parameter * (exp(x) - 1) for x <= 0
    relu6,         ///< min(max(x, 0), 6)
    silu,          ///< x / (1 + exp(-x))
    gelu,          ///< x P(a standard normal number is below x) = x (1 + erf(x / sqrt(2))) / 2
    gelu_tanh,     ///< x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2
    hard_sigmoid,  ///< relu6(x + 3) / 6
    hard_swish,    ///< x relu6(x + 3) / 6
};
inline constexpr int kActivations = 11;

/// Whether the gradient is computed from x: two x may have the same y but not the same slope.
constexpr bool gradient_takes_input(Activation f) {
    return f == Activation::silu || f == Activation::gelu || f == Activation::gelu_tanh ||
           f == Activation::hard_swish;
}

/// y[i] = f(x[i]). x and y may be the same array. NaN stays NaN, and what has a limit at infinity
/// is equal to it there. Only leaky_relu and elu have a parameter, not below zero.
template <typename T>
void activate(Activation f, const T* x, T* y, index_t size, double parameter = 0);

/// dx[i] = dy[i] * f'(x[i]). `kept` is x where gradient_takes_input(f), otherwise y, by which f' is
/// expressed: (y > 0), y (1 - y), 1 - y^2, 1 or the slope, 1 or y + alpha, (0 < y < 6) and
/// (0 < y < 1) / 6. At a kink it is PyTorch's: the derivative on the left, but for relu6 and
/// hard_sigmoid, where it is zero at both, and hard_swish, where it is that outside.
template <typename T>
void activate_backward(Activation f, const T* dy, const T* kept, T* dx, index_t size,
                       double parameter = 0);

/// y[i] = a[i] + b[i], and zero where that is negative, if `rectify` is set. y may be a or b.
template <typename T>
void add(const T* a, const T* b, bool rectify, T* y, index_t size);

/// y[i] += x[i].
template <typename T>
void add_to(const T* x, T* y, index_t size);

}  // namespace pocketcnn
