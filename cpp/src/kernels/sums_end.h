// What is done with vectors of sums before they are stored.
#pragma once

#include "kernels/channels_last.h"
#include "kernels/simd.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

// Of a vector of columns. NaN is neither above nor below, and stays.
template <typename T>
struct Ending {
    explicit Ending(const SumsEnd<T>& end) : low(splat(end.low)), high(splat(end.high)) {}

    Vec<T> of(Vec<T> sum) const {
        sum = low > sum ? low : sum;
        return high < sum ? high : sum;
    }

    Vec<T> low, high;
};

// What is neither larger nor smaller nor equal is NaN, and stays.
template <typename T>
inline Vec<T> larger(Vec<T> a, Vec<T> b) {
    return a >= b ? a : (a != a ? a : b);
}

}  // namespace
}  // namespace pocketcnn::POCKETCNN_ISA
