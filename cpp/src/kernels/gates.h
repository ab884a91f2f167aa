// Activations x s(x) whose factor s climbs from 0 to 1: the sigmoid (SiLU), the normal distribution
// (GELU) and its approximation by tanh. Far on the left the product x s(x) is a number of its own
// size, good to a few units in the last place: the exponent of s is computed in two parts, for its
// error would be multiplied by its size, and 2^n comes last, for s alone may be too small for a
// number.
#pragma once

#include "kernels/exponential.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

template <typename T>
struct Gate;

// From -left_... down, x s(x) rounds to zero; as far on the right, s is one.
//
// `ratio` is (a + 4) exp(a^2 / 2) P(normal > a) as a polynomial in t = (a - 4) / (a + 4), which
// interpolates it at the Chebyshev points of 0 <= a <= 15 (39 for double): solved in 60 digits,
// relative error at most 2.9e-9 (3.7e-17). The substitution is that of Shepherd and Laframboise,
// "Chebyshev Approximation of (1 + 2x) exp(x^2) erfc x in 0 <= x < infinity", Mathematics of
// Computation 36, 1981.
//
// gelu_tanh is x sigmoid(x (k + l x^2)) with k = 2 sqrt(2 / pi) and l = 0.044715 k; both are sums
// of a number of half the bits and a rest.

template <>
struct Gate<float> {
    static constexpr float left_silu = 112, left_gelu = 15, left_gelu_tanh = 12;
    static constexpr float ratio[] = {0.755285130623F,     -0.607896659091F,  0.387137367999F,
                                      -0.186521281403F,    0.0603975330878F,  -0.00754526826572F,
                                      -0.00348931727612F,  0.00164521929736F, 0.000171054611587F,
                                      -0.000231798678342F, -5.15565932986e-5F};
    static constexpr float k = 0x1.988p+0F, k_rest = 0.000065996605730711759784F;
    static constexpr float l = 0x1.244p-4F, l_rest = 4.7186163502487763388e-6F;
    /// The bits of a float that are not among the first 12.
    static constexpr std::int32_t low_bits = (1 << 12) - 1;
};

template <>
struct Gate<double> {
    static constexpr double left_silu = 754, left_gelu = 39, left_gelu_tanh = 24;
    static constexpr double ratio[] = {
        0.75528513041575147989,     -0.60789664197189175887,   0.3871374007422188786,
        -0.18652185795969416326,    0.060396574890699464128,   -0.0075401889655930590206,
        -0.0034796923622425333441,  0.0016308184418903595964,  0.00013334425401904911618,
        -0.00023109481831937621135, -1.9078665316613574344e-6, 0.00003514418115776097273,
        7.1500559592160986612e-7,   -5.9188927317632364472e-6, -6.2513210404786801933e-7,
        1.0198048518135172659e-6,   2.6368248576407625062e-7,  -1.5426320536771073947e-7,
        -7.6380820534904503495e-8,  1.4578593347036459717e-8,  1.3924023993501710103e-8,
        7.2695454790266894559e-11,  -9.6534254202285046694e-10};
    static constexpr double k = 0x1.988453p+0, k_rest = 1.426396435433790924e-8;
    static constexpr double l = 0x1.2444f28p-4, l_rest = 5.3618724676217859603e-10;
    static constexpr std::int64_t low_bits = (1 << 27) - 1;
};

/// A sum whose first part has at most half of T's bits, so that the product of two such is exact:
/// Dekker, "A floating-point technique for extending the available precision", Numerische
/// Mathematik 18, 1971.
template <typename T>
struct Sum {
    Vec<T> high, low;

    /// first + rest, where the rest is far smaller.
    static Sum of(Vec<T> first, Vec<T> rest) {
        const IntVec<T> bits = reinterpret_cast<IntVec<T>>(first + rest);
        const Vec<T> high = reinterpret_cast<Vec<T>>(bits & ~Gate<T>::low_bits);
        return {high, (first - high) + rest};
    }
    friend Sum operator*(Sum a, Sum b) {
        return of(a.high * b.high, a.high * b.low + a.low * (b.high + b.low));
    }
    /// Of numbers that are not below zero.
    friend Sum operator+(Sum a, Sum b) {
        const auto swaps = a.high < b.high;
        const Vec<T> most = swaps ? b.high : a.high, least = swaps ? a.high : b.high;
        const Sum sum = of(most, least + (a.low + b.low));
        return {sum.high, ((most - sum.high) + least) + (a.low + b.low)};
    }
};

/// exp of a sum: factor * 2^n.
template <typename T>
struct Power {
    Vec<T> factor;
    Rounded<T> n;

    explicit Power(Sum<T> x) : n((x.high + x.low) * static_cast<T>(kLog2E)) {
        factor = reduced_expm1<T>(reduced<T>(x.high, n.value) + x.low) + T{1};
    }
    Vec<T> times(Vec<T> a) const { return times_power_of_two<T>(a * factor, n); }
};

/// 1 / x for x and results in the normal range, to a rounding.
template <typename T>
inline Vec<T> reciprocal(Vec<T> x) {
    const Vec<T> rough = rough_reciprocal<T>(x);
    return rough + (T{1} - rough * x) * rough;
}

template <typename T>
inline Vec<T> at_most(T limit, Vec<T> x) {
    return x > limit ? splat(limit) : x;
}

/// |x| up to the limit, with the sign of x.
template <typename T>
inline Vec<T> bounded(Vec<T> x, T limit) {
    const Vec<T> size = at_most<T>(limit, magnitude<T>(x));
    return x < T{0} ? -size : size;
}

/// x sigmoid(u) for a u with the sign of x and the magnitude `size`.
template <typename T>
inline Vec<T> times_sigmoid(Vec<T> x, Sum<T> size) {
    const Power<T> power({-size.high, -size.low});
    const Vec<T> e = power.times(splat(T{1})), sum = e + T{1};
    return divide<T>(x < T{0} ? power.times(x) : x, sum, e - (sum - T{1}));
}

/// sigmoid(u) + slope * sigmoid'(u) for a u with the sign of x and the magnitude `size`.
template <typename T>
inline Vec<T> sigmoid_and_slope(Vec<T> x, Vec<T> size, Vec<T> slope) {
    const Vec<T> e = exponential<T>(-size), share = reciprocal<T>(e + T{1});
    return (x < T{0} ? e * share : share) + slope * (e * share * share);
}

template <typename T>
inline Vec<T> silu(Vec<T> x) {
    const T left = Gate<T>::left_silu;
    const Vec<T> near = bounded<T>(x, left);
    return x > left ? x : times_sigmoid<T>(near, {magnitude<T>(near), Vec<T>{}});
}

template <typename T>
inline Vec<T> silu_slope(Vec<T> x) {
    const Vec<T> near = bounded<T>(x, Gate<T>::left_silu);
    return sigmoid_and_slope<T>(near, magnitude<T>(near), near);
}

template <typename T>
inline Vec<T> gelu_tanh(Vec<T> x) {
    using G = Gate<T>;
    const Vec<T> near = bounded<T>(x, G::left_gelu_tanh), zero = {};
    const Sum<T> a = Sum<T>::of(magnitude<T>(near), zero);
    const Sum<T> k = {splat(G::k), splat(G::k_rest)}, l = {splat(G::l), splat(G::l_rest)};
    return x > G::left_gelu_tanh ? x : times_sigmoid<T>(near, a * (k + l * (a * a)));
}

template <typename T>
inline Vec<T> gelu_tanh_slope(Vec<T> x) {
    using G = Gate<T>;
    const Vec<T> near = bounded<T>(x, G::left_gelu_tanh), square = near * near;
    const T k = G::k + G::k_rest, l = G::l + G::l_rest;
    return sigmoid_and_slope<T>(near, magnitude<T>(near * (k + l * square)),
                                near * (k + 3 * l * square));
}

/// For a = |x|: exp(-a^2 / 2), and P(normal > a) divided by it.
template <typename T>
struct NormalTail {
    Vec<T> a, ratio;
    Power<T> bell;

    explicit NormalTail(Vec<T> x)
        : a(at_most<T>(Gate<T>::left_gelu, magnitude<T>(x))), bell(exponent(a)) {
        const Vec<T> share = reciprocal<T>(a + T{4});
        ratio = polynomial<T>(Gate<T>::ratio, (a - T{4}) * share) * share;
    }
    static Sum<T> exponent(Vec<T> a) {
        const Sum<T> whole = Sum<T>::of(a, Vec<T>{}), square = whole * whole;
        return {square.high * T{-0.5}, square.low * T{-0.5}};
    }
};

template <typename T>
inline Vec<T> gelu(Vec<T> x) {
    const NormalTail<T> tail(x);
    const Vec<T> part = tail.bell.times(tail.a * tail.ratio);
    return x < T{0} ? -part : x - part;
}

/// P(normal < x) + x exp(-x^2 / 2) / sqrt(2 pi).
template <typename T>
inline Vec<T> gelu_slope(Vec<T> x) {
    constexpr double inverse_root = 0.398942280401432677939946;
    const NormalTail<T> tail(x);
    const Vec<T> part = tail.bell.times(tail.ratio - tail.a * static_cast<T>(inverse_root));
    return x < T{0} ? part : T{1} - part;
}

}  // namespace
}  // namespace pocketcnn::POCKETCNN_ISA
