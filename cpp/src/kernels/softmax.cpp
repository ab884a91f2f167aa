// Loops over the rows that softmax and the cross-entropies turn into probabilities.
#include "kernels/exponential.h"
#include "kernels/sums.h"
#include "kernels/topics.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

template <typename T>
void exp(index_t size, const T* x, T* y) {
    map_vectors(size, x, y, [](Vec<T> v) { return exponential<T>(v); });
}

// The sums of up to so many vectors stay vectors; longer ones are joined in double.
inline constexpr index_t kSumVectors = 64;

template <typename T>
double exp_minus(index_t size, const T* x, T shift, T* y) {
    double total = 0;
    for (index_t i = 0; i < size; i += kSumVectors * kLanes<T>) {
        const index_t most = kSumVectors * kLanes<T>, left = size - i < most ? size - i : most;
        const index_t whole = left / kLanes<T> * kLanes<T>;
        Vec<T> sum{};
        const auto f = [&](Vec<T> v) { return exponential<T>(v - shift); };
        for (index_t k = i; k < i + whole; k += kLanes<T>) {
            const Vec<T> e = f(load(x + k));
            store(y + k, e);
            sum += e;
        }
        if (whole < left) {
            T rest[kLanes<T>] = {};
            copy_few(left - whole, x + i + whole, rest);
            const Vec<T> e = first_lanes<T>(left - whole, f(load(rest)));
            store(rest, e);
            copy_few(left - whole, rest, y + i + whole);
            sum += e;
        }
        total += static_cast<double>(sum_of_lanes<T, kVectorBytes>(sum));
    }
    return total;
}

// The larger of each pair of lanes, or the NaN.
template <typename V>
inline V larger(V a, V b) {
    return ((b <= a) | (a != a)) ? a : b;
}

template <typename T, int Bytes>
inline T largest_of_lanes(typename Pack<T, Bytes>::Vec value) {
    if constexpr (Bytes > kLeastBytes) {
        using Half = typename Pack<T, Bytes / 2>::Vec;
        const auto* halves = reinterpret_cast<const Half*>(&value);
        return largest_of_lanes<T, Bytes / 2>(larger(halves[0], halves[1]));
    } else {
        T best = value[0];
        for (int i = 1; i < Pack<T, Bytes>::lanes; ++i) {
            best = ((value[i] <= best) | (best != best)) ? best : value[i];
        }
        return best;
    }
}

template <typename T>
T largest(index_t size, const T* x) {
    if (size < kLanes<T>) {
        T best = x[0];
        for (index_t i = 1; i < size; ++i) best = ((x[i] <= best) | (best != best)) ? best : x[i];
        return best;
    }
    Vec<T> most = load(x);
    for (index_t i = kLanes<T>; i + kLanes<T> <= size; i += kLanes<T>) {
        most = larger(most, load(x + i));
    }
    return largest_of_lanes<T, kVectorBytes>(larger(most, load(x + size - kLanes<T>)));
}

template <typename T>
double dot(index_t size, const T* x, const T* y) {
    return sum_of<T>(
        size, [&](index_t i) { return load(x + i) * load(y + i); },
        [&](index_t i) { return static_cast<double>(x[i]) * static_cast<double>(y[i]); });
}

// The next three may be done in place. As plain loops they would have two forms, of which clang
// takes the one of single elements where the arrays are the same.

// y[i] = x[i] * factor
template <typename T>
void scale(index_t size, const T* x, T factor, T* y) {
    map_vectors(size, x, y, [factor](Vec<T> v) { return v * factor; });
}

// y[i] = x[i] - first - second
template <typename T>
void subtract(index_t size, const T* x, T first, T second, T* y) {
    map_vectors(size, x, y, [first, second](Vec<T> v) { return v - first - second; });
}

// dx[i] = y[i] * (dy[i] - mean)
template <typename T>
void scale_centred(index_t size, const T* dy, const T* y, T mean, T* dx) {
    map_vectors(size, dy, y, dx, [mean](Vec<T> g, Vec<T> v) { return v * (g - mean); });
}

template <typename T>
constexpr SoftmaxKernels<T> kKernels = {
    .exp = exp<T>,
    .exp_minus = exp_minus<T>,
    .largest = largest<T>,
    .dot = dot<T>,
    .scale = scale<T>,
    .subtract = subtract<T>,
    .scale_centred = scale_centred<T>,
};

}  // namespace

const Topic<SoftmaxKernels> softmax_kernels = {kKernels<float>, kKernels<double>};

}  // namespace pocketcnn::POCKETCNN_ISA
