// The arithmetic of a normalisation, which gives the same bits wherever it is done.
#pragma once

#include "kernels/normalization.h"
#include "kernels/simd.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

// The numbers of a normalisation in all lanes. A copy, so that the compiler can keep them in
// registers: what is written could lie where the caller keeps them.
template <typename T>
struct NormVectors {
    explicit NormVectors(const ChannelNorm<T>& norm)
        : rectifies(norm.rectify),
          mean(splat(norm.mean)),
          scale(splat(norm.scale)),
          shift(splat(norm.shift)),
          ceiling(splat(norm.ceiling)) {}

    // One expression for the forward pass and for what the backward pass asks about its bounds.
    Vec<T> normalized(Vec<T> x) const { return (x - mean) * scale + shift; }

    // NaN stays.
    Vec<T> rectified(Vec<T> y) const {
        y = y <= T{0} ? Vec<T>{} : y;
        return y >= ceiling ? ceiling : y;
    }

    // The gradient where the output is within the bounds.
    Vec<T> passed(Vec<T> dy, Vec<T> x) const {
        const Vec<T> y = normalized(x);
        return ((y <= T{0}) | (y >= ceiling)) ? Vec<T>{} : dy;
    }

    // Read before the numbers: after them clang would read four bytes of each and this one as one
    // vector, and wait until the caller, who has just written them one by one, has them in memory.
    bool rectifies;
    Vec<T> mean, scale, shift, ceiling;
};

}  // namespace
}  // namespace pocketcnn::POCKETCNN_ISA
