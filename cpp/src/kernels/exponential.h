// The exponential of vectors, and what is made of it: sigmoid, hyperbolic tangent, softmax's
// numerators.
//
// exp(x) = 2^n exp(r) with n = round(x / ln 2) and r = x - n ln 2, where ln 2 is the sum of a short
// number, whose product with n is exact, and a rest (Cody and Waite, Software Manual for the
// Elementary Functions, 1980, chapter 6). exp(r) = 1 + r + r^2 P(r), where P interpolates
// (exp(r) - 1 - r) / r^2 at the Chebyshev points of |r| <= ln(2) / 2: solved in 60 digits, error
// of exp(r) at most 7.8e-9 with 5 coefficients, 1.7e-19 with 11.
#pragma once

#include <limits>

#include "kernels/rows.h"
#include "kernels/simd.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

template <typename T>
struct Exponential;

template <>
struct Exponential<float> {
    static constexpr float polynomial[] = {0.5F, 0.16666576989698775683F, 0.041666554617204574203F,
                                           0.0083631790527225773704F, 0.0013926183587713494542F};
    static constexpr float ln2_short = 0x1.62ep-1F, ln2_rest = 0.000031946184945309417232F;
    /// Below the first, exp rounds to zero; above the second, to infinity.
    static constexpr float least = -104, most = 89;
    /// Added to a small number, it leaves the nearest whole number in the last bits.
    static constexpr float round = 0x1.8p23F;
    static constexpr int mantissa_bits = 23, bias = 127;
    /// The bits of sqrt(1/2).
    static constexpr std::int32_t root_half = 0x3f3504f3;
    /// From here on the hyperbolic tangent rounds to one.
    static constexpr float tanh_is_one = 10;
};

template <>
struct Exponential<double> {
    static constexpr double polynomial[] = {0.5,
                                            0.16666666666666670991,
                                            0.041666666666666669755,
                                            0.0083333333333261351258,
                                            0.0013888888888883748305,
                                            0.00019841269874820625271,
                                            0.000024801587325547741216,
                                            2.755725540020642443e-6,
                                            2.7557273643110295328e-7,
                                            2.5105217004720745164e-8,
                                            2.0914686968086877233e-9};
    static constexpr double ln2_short = 0x1.62e42p-1, ln2_rest = 4.749325039031672321214582e-7;
    static constexpr double least = -746, most = 710;
    static constexpr double round = 0x1.8p52;
    static constexpr int mantissa_bits = 52, bias = 1023;
    static constexpr std::int64_t root_half = 0x3fe6a09e667f3bcd;
    static constexpr double tanh_is_one = 20;
};

template <typename T>
using IntVec = typename Simd<T>::Mask;

/// The nearest whole number, as a number and as an integer.
template <typename T>
struct Rounded {
    Vec<T> value;
    IntVec<T> integer;

    explicit Rounded(Vec<T> x) {
        using E = Exponential<T>;
        const Vec<T> shifted = x + E::round, zero = splat(E::round);
        value = shifted - E::round;
        integer = reinterpret_cast<IntVec<T>>(shifted) - reinterpret_cast<IntVec<T>>(zero);
    }
};

/// 2^n for n among the exponents of normal numbers.
template <typename T>
inline Vec<T> power_of_two(IntVec<T> n) {
    using E = Exponential<T>;
    const IntVec<T> bits = (n + Whole<T>{E::bias}) << Whole<T>{E::mantissa_bits};
    return reinterpret_cast<Vec<T>>(bits);
}

/// The polynomial of the coefficients, the constant one first.
template <typename T, int terms>
inline Vec<T> polynomial(const T (&coefficients)[terms], Vec<T> x) {
    Vec<T> p = splat(coefficients[terms - 1]);
#pragma GCC unroll 24
    for (int i = terms - 2; i >= 0; --i) p = p * x + coefficients[i];
    return p;
}

/// The r of x = n ln 2 + r.
template <typename T>
inline Vec<T> reduced(Vec<T> x, Vec<T> n) {
    using E = Exponential<T>;
    return (x - n * E::ln2_short) - n * E::ln2_rest;
}

/// exp(r) - 1 for a reduced r.
template <typename T>
inline Vec<T> reduced_expm1(Vec<T> r) {
    return r + r * r * polynomial<T>(Exponential<T>::polynomial, r);
}

inline constexpr double kLog2E = 1.442695040888963407359925;

/// x * 2^n, rounded once where the result is below the normal range.
template <typename T>
inline Vec<T> times_power_of_two(Vec<T> x, const Rounded<T>& n) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == sizeof(float)) {
        asm("vscalefps %1, %0, %0" : "+v"(x) : "v"(n.value));
    } else {
        asm("vscalefpd %1, %0, %0" : "+v"(x) : "v"(n.value));
    }
    return x;
#else
    // In halves: 2^n itself may leave the range.
    const IntVec<T> half = n.integer >> 1;
    return x * power_of_two<T>(half) * power_of_two<T>(n.integer - half);
#endif
}

/// exp(x): NaN stays, and what leaves the range becomes zero or infinity.
template <typename T>
inline Vec<T> exponential(Vec<T> x) {
    using E = Exponential<T>;
    x = x < E::least ? splat(E::least) : x;
    x = x > E::most ? splat(E::most) : x;
    const Rounded<T> n(x * static_cast<T>(kLog2E));
    return times_power_of_two<T>(reduced_expm1<T>(reduced<T>(x, n.value)) + T{1}, n);
}

template <typename T>
inline Vec<T> magnitude(Vec<T> x) {
    constexpr Whole<T> sign = std::numeric_limits<Whole<T>>::min();
    return reinterpret_cast<Vec<T>>(reinterpret_cast<IntVec<T>>(x) & ~sign);
}

/// a / (b + rest) for b and 1 / b in the normal range, where `rest` is what b lost in rounding: the
/// quotient is corrected by its remainder, which a fused multiply-add gives exactly, so that few
/// bits of the reciprocal are enough.
template <typename T>
inline Vec<T> divide(Vec<T> a, Vec<T> b, Vec<T> rest) {
    const Vec<T> inverse = rough_reciprocal<T>(b);
    const Vec<T> quotient = a * inverse;
    return quotient + ((a - quotient * b) - quotient * rest) * inverse;
}

/// The exponential is taken of negative numbers only, so it cannot overflow.
template <typename T>
inline Vec<T> sigmoid(Vec<T> x) {
    const Vec<T> e = exponential<T>(-magnitude<T>(x));
    const Vec<T> sum = e + T{1};
    return divide<T>(x < T{0} ? e : splat(T{1}), sum, e - (sum - T{1}));
}

/// exp(x) - 1 for an x whose n is the exponent of a normal number, to a rounding or two even near
/// zero: 2^n (exp(r) - 1) + (2^n - 1).
template <typename T>
inline Vec<T> exponential_minus_one(Vec<T> x) {
    const Rounded<T> n(x * static_cast<T>(kLog2E));
    const Vec<T> scale = power_of_two<T>(n.integer);
    return scale * reduced_expm1<T>(reduced<T>(x, n.value)) + (scale - T{1});
}

/// With m = exp(2|x|) - 1, tanh |x| = m / (m + 2).
template <typename T>
inline Vec<T> hyperbolic_tangent(Vec<T> x) {
    using E = Exponential<T>;
    const Vec<T> size = magnitude<T>(x);
    const Vec<T> bounded = size > E::tanh_is_one ? splat(E::tanh_is_one) : size;
    const Vec<T> m = exponential_minus_one<T>(bounded + bounded);
    // What the sum lost, whichever of the two is larger (Knuth, The Art of Computer Programming 2,
    // section 4.2.2).
    const Vec<T> sum = m + T{2}, two = sum - m;
    const Vec<T> y = divide<T>(m, sum, (m - (sum - two)) + (T{2} - two));
    // Zeros and numbers whose square is nothing beside one are their own tangent, signs included.
    constexpr T tiny = sizeof(T) == 4 ? T{1e-4} : T{1e-9};
    return size < tiny ? x : (x < T{0} ? -y : y);
}

/// y[i] = f(x[i]) in vectors; the last few elements go through a vector of their own.
template <typename T, typename F>
inline void map_vectors(index_t size, const T* x, T* y, const F& f) {
    index_t i = 0;
    for (; i + kLanes<T> <= size; i += kLanes<T>) store(y + i, f(load(x + i)));
    if (i < size) {
        T rest[kLanes<T>] = {};
        copy_few(size - i, x + i, rest);
        store(rest, f(load(rest)));
        copy_few(size - i, rest, y + i);
    }
}

/// The same of two arrays: y[i] = f(a[i], b[i]).
template <typename T, typename F>
inline void map_vectors(index_t size, const T* a, const T* b, T* y, const F& f) {
    index_t i = 0;
    for (; i + kLanes<T> <= size; i += kLanes<T>) store(y + i, f(load(a + i), load(b + i)));
    if (i < size) {
        T rest[2][kLanes<T>] = {};
        copy_few(size - i, a + i, rest[0]);
        copy_few(size - i, b + i, rest[1]);
        store(rest[0], f(load(rest[0]), load(rest[1])));
        copy_few(size - i, rest[0], y + i);
    }
}

}  // namespace
}  // namespace pocketcnn::POCKETCNN_ISA
