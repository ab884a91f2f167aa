// Elementwise activations and their gradients, written in terms of the activation's output.
#pragma once

#include <pocketcnn/types.h>

namespace pocketcnn {

enum class Activation { relu, sigmoid, tanh };

/// y[i] = f(x[i]). x and y may be the same array. NaN stays NaN.
template <typename T>
void activate(Activation f, const T* x, T* y, index_t size);

/// dx[i] = dy[i] * f'(x[i]), where f' is expressed by y = f(x): (y > 0), y (1 - y), 1 - y^2.
template <typename T>
void activate_backward(Activation f, const T* dy, const T* y, T* dx, index_t size);

/// y[i] = a[i] + b[i], and zero where that is negative, if `rectify` is set. y may be a or b.
template <typename T>
void add(const T* a, const T* b, bool rectify, T* y, index_t size);

}  // namespace pocketcnn
