#include <pocketcnn/activation.h>

#include "activation_kernels.h"
#include "runtime/isa.h"
#include "runtime/parallel.h"

namespace pocketcnn {
namespace {

constexpr index_t kGrain = 1 << 13;
/// To read and write an element takes as long as so many multiply-adds
/// (docs/measurements.md#activations).
constexpr double kMoved = 4;

/// Cost of an element, in multiply-adds.
double cost_of(Activation f) {
    switch (f) {
        case Activation::sigmoid:
        case Activation::tanh:
        case Activation::elu:
        case Activation::silu:
            return 4 * kMoved;
        case Activation::gelu:
        case Activation::gelu_tanh:
            return 8 * kMoved;
        default:
            return kMoved;
    }
}

}  // namespace

template <typename T>
void activate(Activation f, const T* x, T* y, index_t size, double parameter) {
    const auto value = kernels_of<T>(f).value;
    const T number = static_cast<T>(parameter);
    parallel_ranges(size, kGrain, cost_of(f), [&](index_t begin, index_t end) {
        value(end - begin, number, x + begin, y + begin);
    });
}

template <typename T>
void activate_backward(Activation f, const T* dy, const T* kept, T* dx, index_t size,
                       double parameter) {
    const auto gradient = kernels_of<T>(f).gradient;
    const T number = static_cast<T>(parameter);
    const double cost = gradient_takes_input(f) ? cost_of(f) : kMoved;
    parallel_ranges(size, kGrain, cost, [&](index_t begin, index_t end) {
        gradient(end - begin, number, dy + begin, kept + begin, dx + begin);
    });
}

template <typename T>
void add(const T* a, const T* b, bool rectify, T* y, index_t size) {
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    parallel_ranges(size, kGrain, kMoved, [&](index_t begin, index_t end) {
        kernels.elementwise.add_two(end - begin, a + begin, b + begin, rectify, y + begin);
    });
}

template <typename T>
void add_to(const T* x, T* y, index_t size) {
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    parallel_ranges(size, kGrain, kMoved, [&](index_t begin, index_t end) {
        kernels.elementwise.add(end - begin, x + begin, y + begin);
    });
}

template void add(const float*, const float*, bool, float*, index_t);
template void add(const double*, const double*, bool, double*, index_t);
template void add_to(const float*, float*, index_t);
template void add_to(const double*, double*, index_t);
template void activate(Activation, const float*, float*, index_t, double);
template void activate(Activation, const double*, double*, index_t, double);
template void activate_backward(Activation, const float*, const float*, float*, index_t, double);
template void activate_backward(Activation, const double*, const double*, double*, index_t, double);

}  // namespace pocketcnn
