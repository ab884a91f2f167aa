// Activations and their gradients, element by element.
#pragma once

#include <pocketcnn/types.h>

namespace pocketcnn {

/// y[i] = f(x[i]), and dx[i] of dy[i] and y[i].
template <typename T>
struct ActivationKernels {
    void (*relu)(index_t size, const T* x, T* y);
    void (*relu_backward)(index_t size, const T* dy, const T* y, T* dx);
    void (*sigmoid)(index_t size, const T* x, T* y);
    void (*sigmoid_backward)(index_t size, const T* dy, const T* y, T* dx);
    void (*tanh)(index_t size, const T* x, T* y);
    void (*tanh_backward)(index_t size, const T* dy, const T* y, T* dx);
};

}  // namespace pocketcnn
