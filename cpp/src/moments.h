// Statistics of many elements from those of blocks.
#pragma once

#include <pocketcnn/types.h>

#include <algorithm>

#include "kernels/normalization.h"

namespace pocketcnn {

/// Elements of a block. Two arrays of this size fit the L1 cache and the stack, and a sum of so few
/// in single precision loses little.
inline constexpr index_t kMomentsBlock = 1 << 12;

/// Cost of an element, relative to copying one: it is read twice.
inline constexpr double kMomentsCost = 3;

/// Mean and squared deviations of the union of two sets: Chan, Golub, LeVeque, "Algorithms for
/// Computing the Sample Variance", 1983, equation 2.1.
inline void join(const Moments& other, double other_count, Moments& all, double& count) {
    const double both = count + other_count, apart = other.mean - all.mean;
    all.mean += apart * other_count / both;
    all.squares += other.squares + apart * apart * count * other_count / both;
    count = both;
}

}  // namespace pocketcnn
