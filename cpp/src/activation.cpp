#include <pocketcnn/activation.h>

#include <cmath>

#include "runtime/isa.h"
#include "runtime/parallel.h"

namespace pocketcnn {
namespace {

constexpr index_t kGrain = 1 << 14;
/// What an exponential costs beside a copied element.
constexpr double kTranscendental = 16;

/// exp is taken of a negative number only, so it cannot overflow.
template <typename T>
T sigmoid(T x) {
    const T e = std::exp(-std::abs(x));
    return (x < 0 ? e : T{1}) / (T{1} + e);
}

template <typename T, typename F>
void map(const T* x, T* y, index_t size, double cost, F&& f) {
    parallel_ranges(size, kGrain, cost, [&](index_t begin, index_t end) {
        for (index_t i = begin; i < end; ++i) y[i] = f(x[i]);
    });
}

template <typename T, typename F>
void map(const T* dy, const T* y, T* dx, index_t size, F&& f) {
    parallel_ranges(size, kGrain, 1, [&](index_t begin, index_t end) {
        for (index_t i = begin; i < end; ++i) dx[i] = dy[i] * f(y[i]);
    });
}

}  // namespace

template <typename T>
void activate(Activation f, const T* x, T* y, index_t size) {
    switch (f) {
        case Activation::relu: {
            const Kernels<T>& kernel = kernels<T>();
            parallel_ranges(size, kGrain, 1, [&](index_t begin, index_t end) {
                kernel.relu(end - begin, x + begin, y + begin);
            });
            break;
        }
        case Activation::sigmoid:
            map(x, y, size, kTranscendental, [](T v) { return sigmoid(v); });
            break;
        case Activation::tanh:
            map(x, y, size, kTranscendental, [](T v) { return std::tanh(v); });
            break;
    }
}

template <typename T>
void activate_grad(Activation f, const T* dy, const T* y, T* dx, index_t size) {
    switch (f) {
        case Activation::relu: {
            const Kernels<T>& kernel = kernels<T>();
            parallel_ranges(size, kGrain, 1, [&](index_t begin, index_t end) {
                kernel.relu_grad(end - begin, dy + begin, y + begin, dx + begin);
            });
            break;
        }
        case Activation::sigmoid:
            map(dy, y, dx, size, [](T v) { return v * (T{1} - v); });
            break;
        case Activation::tanh:
            map(dy, y, dx, size, [](T v) { return T{1} - v * v; });
            break;
    }
}

template void activate(Activation, const float*, float*, index_t);
template void activate(Activation, const double*, double*, index_t);
template void activate_grad(Activation, const float*, const float*, float*, index_t);
template void activate_grad(Activation, const double*, const double*, double*, index_t);

}  // namespace pocketcnn
