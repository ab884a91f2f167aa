// Activations and their gradients.
#include "kernels/exponential.h"
#include "kernels/topics.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

template <typename T>
void sigmoid(index_t size, const T* x, T* y) {
    map_vectors(size, x, y, [](Vec<T> v) { return sigmoid<T>(v); });
}

template <typename T>
void tanh(index_t size, const T* x, T* y) {
    map_vectors(size, x, y, [](Vec<T> v) { return hyperbolic_tangent<T>(v); });
}

// Written so that NaN stays NaN.
template <typename T>
void relu(index_t size, const T* x, T* y) {
    for (index_t i = 0; i < size; ++i) y[i] = x[i] <= 0 ? T{0} : x[i];
}

// In vectors by hand: the compiler would load dy by masks, which is slow on some processors. Where
// the output is NaN the gradient passes, so that the NaN shows in what is trained.
template <typename T>
void relu_backward(index_t size, const T* dy, const T* y, T* dx) {
    index_t i = 0;
    for (; i + kLanes<T> <= size; i += kLanes<T>) {
        store(dx + i, load(y + i) <= T{0} ? Vec<T>{} : load(dy + i));
    }
    for (; i < size; ++i) dx[i] = y[i] <= 0 ? T{0} : dy[i];
}

template <typename T>
void sigmoid_backward(index_t size, const T* dy, const T* y, T* dx) {
    for (index_t i = 0; i < size; ++i) dx[i] = dy[i] * (y[i] * (T{1} - y[i]));
}

template <typename T>
void tanh_backward(index_t size, const T* dy, const T* y, T* dx) {
    for (index_t i = 0; i < size; ++i) dx[i] = dy[i] * (T{1} - y[i] * y[i]);
}

template <typename T>
constexpr ActivationKernels<T> kKernels = {
    .relu = relu<T>,
    .relu_backward = relu_backward<T>,
    .sigmoid = sigmoid<T>,
    .sigmoid_backward = sigmoid_backward<T>,
    .tanh = tanh<T>,
    .tanh_backward = tanh_backward<T>,
};

}  // namespace

const Topic<ActivationKernels> activation_kernels = {kKernels<float>, kKernels<double>};

}  // namespace pocketcnn::POCKETCNN_ISA
