#include <pocketcnn/activation.h>

#include "runtime/isa.h"
#include "runtime/parallel.h"

namespace pocketcnn {
namespace {

constexpr index_t kGrain = 1 << 14;
/// Cost of an exponential, relative to copying an element.
constexpr double kTranscendental = 4;

/// A kernel over ranges of flat arrays.
template <typename T>
void map(void (*kernel)(index_t, const T*, T*), const T* x, T* y, index_t size, double cost) {
    parallel_ranges(size, kGrain, cost,
                    [&](index_t begin, index_t end) { kernel(end - begin, x + begin, y + begin); });
}

template <typename T>
void map(void (*kernel)(index_t, const T*, const T*, T*), const T* dy, const T* y, T* dx,
         index_t size) {
    parallel_ranges(size, kGrain, 1, [&](index_t begin, index_t end) {
        kernel(end - begin, dy + begin, y + begin, dx + begin);
    });
}

}  // namespace

template <typename T>
void activate(Activation f, const T* x, T* y, index_t size) {
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    switch (f) {
        case Activation::relu:
            return map(kernels.activation.relu, x, y, size, 1);
        case Activation::sigmoid:
            return map(kernels.activation.sigmoid, x, y, size, kTranscendental);
        case Activation::tanh:
            return map(kernels.activation.tanh, x, y, size, kTranscendental);
    }
}

template <typename T>
void activate_backward(Activation f, const T* dy, const T* y, T* dx, index_t size) {
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    switch (f) {
        case Activation::relu:
            return map(kernels.activation.relu_backward, dy, y, dx, size);
        case Activation::sigmoid:
            return map(kernels.activation.sigmoid_backward, dy, y, dx, size);
        case Activation::tanh:
            return map(kernels.activation.tanh_backward, dy, y, dx, size);
    }
}

template <typename T>
void add(const T* a, const T* b, bool rectify, T* y, index_t size) {
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    parallel_ranges(size, kGrain, 1, [&](index_t begin, index_t end) {
        kernels.elementwise.add_two(end - begin, a + begin, b + begin, rectify, y + begin);
    });
}

template void add(const float*, const float*, bool, float*, index_t);
template void add(const double*, const double*, bool, double*, index_t);
template void activate(Activation, const float*, float*, index_t);
template void activate(Activation, const double*, double*, index_t);
template void activate_backward(Activation, const float*, const float*, float*, index_t);
template void activate_backward(Activation, const double*, const double*, double*, index_t);

}  // namespace pocketcnn
