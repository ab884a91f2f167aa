// Activations and their gradients.
#include "kernels/activation.h"

#include "kernels/exponential.h"
#include "kernels/gates.h"
#include "kernels/sums.h"
#include "kernels/topics.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

// Written so that NaN stays NaN. All of these may be done in place: as plain loops they would have
// two forms, of which clang takes the one of single elements where the arrays are the same.
template <typename T>
inline Vec<T> relu(Vec<T> x) {
    return x <= T{0} ? Vec<T>{} : x;
}

// In vectors by hand: the compiler would load dy by masks, which is slow on some processors. Where
// the output is NaN the gradient passes, so that the NaN shows in what is trained.
template <typename T>
void relu_backward(index_t size, T, const T* dy, const T* y, T* dx) {
    index_t i = 0;
    for (; i + kLanes<T> <= size; i += kLanes<T>) {
        store(dx + i, load(y + i) <= T{0} ? Vec<T>{} : load(dy + i));
    }
    for (; i < size; ++i) dx[i] = y[i] <= 0 ? T{0} : dy[i];
}

template <typename T>
void sigmoid_backward(index_t size, T, const T* dy, const T* y, T* dx) {
    map_vectors(size, dy, y, dx, [](Vec<T> d, Vec<T> v) { return d * (v * (T{1} - v)); });
}

template <typename T>
void tanh_backward(index_t size, T, const T* dy, const T* y, T* dx) {
    map_vectors(size, dy, y, dx, [](Vec<T> d, Vec<T> v) { return d * (T{1} - v * v); });
}

/// y[i] = f(x[i])
template <typename T, Vec<T> (*f)(Vec<T>)>
void map(index_t size, T, const T* x, T* y) {
    map_vectors(size, x, y, [](Vec<T> v) { return f(v); });
}

/// y[i] = f(x[i]), of a function with a parameter.
template <typename T, Vec<T> (*f)(Vec<T>, T)>
void map_with(index_t size, T parameter, const T* x, T* y) {
    map_vectors(size, x, y, [=](Vec<T> v) { return f(v, parameter); });
}

/// dx[i] = dy[i] * slope(kept[i])
template <typename T, Vec<T> (*slope)(Vec<T>)>
void multiply(index_t size, T, const T* dy, const T* kept, T* dx) {
    map_vectors(size, dy, kept, dx, [](Vec<T> d, Vec<T> v) { return d * slope(v); });
}

template <typename T>
inline Vec<T> leaky_relu(Vec<T> x, T slope) {
    return x <= T{0} ? x * slope : x;
}

template <typename T>
void leaky_relu_backward(index_t size, T slope, const T* dy, const T* kept, T* dx) {
    map_vectors(size, dy, kept, dx, [=](Vec<T> d, Vec<T> v) { return v <= T{0} ? d * slope : d; });
}

template <typename T>
inline Vec<T> elu(Vec<T> x, T alpha) {
    const Vec<T> below = -at_most<T>(2 * Exponential<T>::tanh_is_one, magnitude<T>(x));
    return x < T{0} ? alpha * exponential_minus_one<T>(below) : x;
}

// The derivative on the left is alpha exp(x).
template <typename T>
void elu_backward(index_t size, T alpha, const T* dy, const T* y, T* dx) {
    map_vectors(size, dy, y, dx,
                [=](Vec<T> d, Vec<T> v) { return v <= T{0} ? d * (v + alpha) : d; });
}

/// x between 0 and the limit.
template <typename T>
inline Vec<T> clipped(Vec<T> x, T limit) {
    return x <= T{0} ? Vec<T>{} : at_most<T>(limit, x);
}

template <typename T>
inline Vec<T> relu6(Vec<T> x) {
    return clipped<T>(x, T{6});
}

template <typename T>
void relu6_backward(index_t size, T, const T* dy, const T* y, T* dx) {
    map_vectors(size, dy, y, dx, [](Vec<T> d, Vec<T> v) {
        return v <= T{0} ? Vec<T>{} : (v >= T{6} ? Vec<T>{} : d);
    });
}

template <typename T>
inline Vec<T> hard_sigmoid(Vec<T> x) {
    return relu6<T>(x + T{3}) / T{6};
}

template <typename T>
void hard_sigmoid_backward(index_t size, T, const T* dy, const T* y, T* dx) {
    map_vectors(size, dy, y, dx, [](Vec<T> d, Vec<T> v) {
        return v <= T{0} ? Vec<T>{} : (v >= T{1} ? Vec<T>{} : d / T{6});
    });
}

template <typename T>
inline Vec<T> hard_swish(Vec<T> x) {
    const Vec<T> middle = x * (x + T{3}) / T{6};
    return x <= T{-3} ? Vec<T>{} : (x >= T{3} ? x : middle);
}

template <typename T>
inline Vec<T> hard_swish_slope(Vec<T> x) {
    const Vec<T> middle = x / T{3} + T{0.5};
    return x <= T{-3} ? Vec<T>{} : (x >= T{3} ? splat(T{1}) : middle);
}

template <typename T>
double prelu_slope(index_t size, const T* dy, const T* x) {
    return sum_of<T>(
        size,
        [&](index_t i) {
            const Vec<T> v = load(x + i);
            return v > T{0} ? Vec<T>{} : v * load(dy + i);
        },
        [&](index_t i) { return x[i] > 0 ? 0.0 : double{x[i] * dy[i]}; });
}

template <typename T>
constexpr ActivationKernels<T> kKernels = {
    .functions = {{map<T, relu<T>>, relu_backward<T>},
                  {map<T, sigmoid<T>>, sigmoid_backward<T>},
                  {map<T, hyperbolic_tangent<T>>, tanh_backward<T>},
                  {map_with<T, leaky_relu<T>>, leaky_relu_backward<T>},
                  {map_with<T, elu<T>>, elu_backward<T>},
                  {map<T, relu6<T>>, relu6_backward<T>},
                  {map<T, silu<T>>, multiply<T, silu_slope<T>>},
                  {map<T, gelu<T>>, multiply<T, gelu_slope<T>>},
                  {map<T, gelu_tanh<T>>, multiply<T, gelu_tanh_slope<T>>},
                  {map<T, hard_sigmoid<T>>, hard_sigmoid_backward<T>},
                  {map<T, hard_swish<T>>, multiply<T, hard_swish_slope<T>>}},
    .prelu_slope = prelu_slope<T>,
};

}  // namespace

const Topic<ActivationKernels> activation_kernels = {kKernels<float>, kKernels<double>};

}  // namespace pocketcnn::POCKETCNN_ISA
