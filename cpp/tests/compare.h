// Comparing results with the reference.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "guarded.h"
#include "reference.h"

namespace pocketcnn::tests {

/// How far a sum of `terms` products, added in any order, may be from the exact one: every product
/// and every addition errs by at most half an epsilon of a number that is no larger than the terms'
/// magnitudes together (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1), and
/// so does the rounding of the result. A whole epsilon is allowed because for double the reference
/// errs as much.
template <typename T>
double tolerance(const Sum& sum) {
    const double epsilons = static_cast<double>(sum.terms + 2);
    return epsilons * std::numeric_limits<T>::epsilon() * sum.magnitude;
}

/// growth: how many times larger than the tolerance errors may be.
template <typename T>
void expect_sums(const T* actual, const Sums& wanted, double growth = 1) {
    index_t wrong = 0;
    for (index_t i = 0; i < static_cast<index_t>(wanted.size()); ++i) {
        const double error = std::abs(static_cast<double>(actual[i]) - wanted[i].value);
        const double allowed = growth * tolerance<T>(wanted[i]);
        if (error <= allowed) continue;
        if (++wrong == 1) {
            ADD_FAILURE() << "element " << i << " is " << actual[i] << ", not " << wanted[i].value
                          << ": off by " << error << ", allowed are " << allowed;
        }
    }
    EXPECT_EQ(wrong, 0) << "elements are wrong, of " << wanted.size();
}

/// Checks the result of an operation, and the memory around it.
template <typename T>
void expect_sums(const Guarded<T>& actual, const Sums& wanted, double growth = 1) {
    ASSERT_EQ(actual.size(), static_cast<index_t>(wanted.size()));
    expect_sums(actual.data(), wanted, growth);
    EXPECT_TRUE(actual.margins_intact()) << "something beside the result was written";
}

/// |actual - wanted| <= allowed, where both may also be NaN, or the infinity that wanted is in T.
template <typename T>
void expect_near(T actual, double wanted, double allowed) {
    const double value = static_cast<double>(actual);
    const bool near = std::isnan(wanted)
                          ? std::isnan(value)
                          : actual == static_cast<T>(wanted) || std::abs(value - wanted) <= allowed;
    if (!near) ADD_FAILURE() << value << " should be " << wanted << " within " << allowed;
}

template <typename T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() &&
           (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

}  // namespace pocketcnn::tests
