// Sums of many elements.
#pragma once

#include "kernels/simd.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

// The sum of vector(i) or, for the last few elements, element(i). Four vectors of partial sums hide
// the latency of the addition and shorten each chain. Their lanes are joined in double after so
// many additions, for a rounding error grows with their number: an average of 2048x2048 equal
// elements in one run was wrong in the fourth digit.
template <typename T, typename Vector, typename Element>
inline double sum_of(index_t size, const Vector& vector, const Element& element) {
    constexpr index_t chains = 4, step = chains * kLanes<T>, run = 256 * step;
    double total = 0;
    index_t i = 0;
    do {
        const index_t end = size - i < run ? size : i + run;
        Vec<T> partial[chains] = {};
        for (; i + step <= end; i += step) {
#pragma GCC unroll 4
            for (index_t c = 0; c < chains; ++c) partial[c] += vector(i + c * kLanes<T>);
        }
        for (; i + kLanes<T> <= end; i += kLanes<T>) partial[0] += vector(i);
        total += double_sum_of_lanes<T>((partial[0] + partial[1]) + (partial[2] + partial[3]));
    } while (i + kLanes<T> <= size);
    for (; i < size; ++i) total += element(i);
    return total;
}

// The sums of the lanes of as many vectors as there are lanes, one after the other in memory: each
// step interleaves halves of pairs and adds them.
template <typename T>
inline Vec<T> lane_sums(const T* vectors) {
    constexpr int lanes = kLanes<T>;
    Vec<T> part[lanes];
#pragma GCC unroll 16
    for (int k = 0; k < lanes; ++k) part[k] = load(vectors + k * lanes);
#pragma GCC unroll 4
    for (int count = lanes / 2; count > 0; count /= 2) {
#pragma GCC unroll 8
        for (int k = 0; k < count; ++k) {
            const Vec<T> a = part[k], b = part[k + count];
            part[k] = interleave_lower(a, b) + interleave_upper(a, b);
        }
    }
    return part[0];
}

template <typename T>
double sum(index_t size, const T* x) {
    return sum_of<T>(
        size, [&](index_t i) { return load(x + i); },
        [&](index_t i) { return static_cast<double>(x[i]); });
}

}  // namespace
}  // namespace pocketcnn::POCKETCNN_ISA
