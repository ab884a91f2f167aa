// Batch normalisation of one channel, and local response normalisation of a strip of pixels.
#include <limits>

#include "kernels/exponential.h"
#include "kernels/norm_vectors.h"
#include "kernels/rows.h"
#include "kernels/sums.h"
#include "kernels/topics.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

// The sums of what terms(read, i, first, second) adds to first and second, in lanes.
template <typename T, typename Terms>
inline TwoSums two_sums(index_t size, const Terms& terms) {
    constexpr int chains = 4;
    const auto read_vector = [](const T* from, T) { return load(from); };
    Vec<T> first[chains] = {}, second[chains] = {};
    index_t i = 0;
    for (; i + chains * kLanes<T> <= size; i += chains * kLanes<T>) {
#pragma GCC unroll 4
        for (int c = 0; c < chains; ++c) {
            terms(read_vector, i + c * kLanes<T>, first[c], second[c]);
        }
    }
    for (; i + kLanes<T> <= size; i += kLanes<T>) terms(read_vector, i, first[0], second[0]);
    const auto read_rest = [rest = size - i](const T* from, T neutral) {
        T part[kLanes<T>];
        store(part, splat(neutral));
        copy_few(rest, from, part);
        return load(part);
    };
    if (i < size) terms(read_rest, i, first[0], second[0]);
    const auto total = [](const Vec<T>(&parts)[chains]) {
        return double_sum_of_lanes<T>((parts[0] + parts[1]) + (parts[2] + parts[3]));
    };
    return {total(first), total(second)};
}

// Twice over elements that are in the first cache by then: deviations from a mean that is nearly
// right, and what they say about its error (Chan, Golub, LeVeque, "Algorithms for Computing the
// Sample Variance", 1983, equation 1.7).
template <typename T>
Moments moments(index_t size, const T* x) {
    const double count = static_cast<double>(size);
    const T center = static_cast<T>(sum(size, x) / count);
    const TwoSums sums =
        two_sums<T>(size, [x, center](const auto& read, index_t i, auto& linear, auto& square) {
            const auto d = read(x + i, center) - center;
            linear += d;
            square += d * d;
        });
    return {static_cast<double>(center) + sums.first / count,
            sums.second - sums.first * sums.first / count};
}

// Loads and stores of a whole vector, and of the first few lanes of one: fewer than kLanes.
struct WholeVector {
    template <typename T>
    Vec<T> get(const T* from) const {
        return load(from);
    }
    template <typename T>
    void put(T* to, Vec<T> value) const {
        store(to, value);
    }
};

struct PartVector {
    index_t count;

    template <typename T>
    Vec<T> get(const T* from) const {
        alignas(kVectorBytes) T lanes[kLanes<T>] = {};
        copy_few(count, from, lanes);
        return load(lanes);
    }
    template <typename T>
    void put(T* to, Vec<T> value) const {
        alignas(kVectorBytes) T lanes[kLanes<T>];
        store(lanes, value);
        copy_few(count, lanes, to);
    }
};

// body(i, vector) for the vectors of [0, size).
template <typename T, typename Body>
inline void for_vectors(index_t size, const Body& body) {
    index_t i = 0;
    for (; i + kLanes<T> <= size; i += kLanes<T>) body(i, WholeVector{});
    if (i < size) body(i, PartVector{size - i});
}

template <typename T>
void normalize(const ChannelNorm<T>& norm, index_t size, const T* x, T* y) {
    const NormVectors<T> how(norm);
    if (how.rectifies) {
        for_vectors<T>(size, [=](index_t i, const auto& vector) {
            vector.put(y + i, how.rectified(how.normalized(vector.get(x + i))));
        });
        return;
    }
    for_vectors<T>(size, [=](index_t i, const auto& vector) {
        vector.put(y + i, how.normalized(vector.get(x + i)));
    });
}

template <typename T>
TwoSums normalize_sums(const ChannelNorm<T>& norm, index_t size, const T* dy, const T* x) {
    const NormVectors<T> how(norm);
    const T mean = norm.mean;
    if (!how.rectifies) {
        return two_sums<T>(size, [=](const auto& read, index_t i, auto& plain, auto& product) {
            const auto g = read(dy + i, T{0});
            plain += g;
            product += g * (read(x + i, mean) - how.mean);
        });
    }
    return two_sums<T>(size, [=](const auto& read, index_t i, auto& plain, auto& product) {
        const auto value = read(x + i, mean);
        const auto g = how.passed(read(dy + i, T{0}), value);
        plain += g;
        product += g * (value - how.mean);
    });
}

template <typename T>
void normalize_backward(const ChannelNorm<T>& norm, const ChannelGrad<T>& grad, index_t size,
                        const T* dy, const T* x, T* dx) {
    const NormVectors<T> how(norm);
    const Vec<T> of_dy = splat(grad.dy), of_x = splat(grad.x), constant = splat(grad.constant);
    const auto gradient = [=](Vec<T> g, Vec<T> value) {
        return of_dy * g + (of_x * (value - how.mean) + constant);
    };
    if (how.rectifies) {
        for_vectors<T>(size, [=](index_t i, const auto& vector) {
            const Vec<T> value = vector.get(x + i);
            vector.put(dx + i, gradient(how.passed(vector.get(dy + i), value), value));
        });
        return;
    }
    for_vectors<T>(size, [=](index_t i, const auto& vector) {
        vector.put(dx + i, gradient(vector.get(dy + i), vector.get(x + i)));
    });
}

template <typename T>
inline Vec<T> square_roots(Vec<T> x) {
    Vec<T> y{};
    for (int i = 0; i < kLanes<T>; ++i) y[i] = square_root(x[i]);
    return y;
}

// s^-3/4 for the exponent of the paper.
template <typename T>
struct PaperPower {
    Vec<T> raise(Vec<T> s) const {
        const Vec<T> root = square_roots<T>(s);
        return T{1} / (root * square_roots<T>(root));
    }
};

// log m of m within sqrt(1/2)..sqrt(2): 2 atanh(f) = 2 (f + f^3 / 3 + f^5 / 5 + ...) of
// f = (m - 1) / (m + 1), whose square is at most 0.0295: the first term left out is below an
// eighth of the type's epsilon.
template <typename T>
inline Vec<T> logarithm_near_one(Vec<T> m) {
    constexpr int terms = sizeof(T) == 4 ? 5 : 11;
    const Vec<T> f = (m - T{1}) / (m + T{1}), square = f * f;
    Vec<T> p = splat(T{1} / (2 * terms - 1));
#pragma GCC unroll 16
    for (int n = terms - 2; n >= 0; --n) p = p * square + T{1} / static_cast<T>(2 * n + 1);
    return f * p * T{2};
}

// s^-beta = 2^n exp(r) with s = 2^e m: n is the whole number next to -beta e, and
// r = (-beta e - n) ln 2 - beta log m is small whatever s is.
template <typename T>
struct AnyPower {
    T beta;

    Vec<T> raise(Vec<T> s) const {
        using E = Exponential<T>;
        constexpr T least = std::numeric_limits<T>::min(), most = std::numeric_limits<T>::max();
        constexpr Whole<T> mantissa = (Whole<T>{1} << E::mantissa_bits) - 1;
        const IntVec<T> bits = reinterpret_cast<IntVec<T>>(s) - E::root_half;
        const IntVec<T> e = bits >> Whole<T>{E::mantissa_bits};
        const Vec<T> m = reinterpret_cast<Vec<T>>((bits & mantissa) + E::root_half);
        const Vec<T> exponent = __builtin_convertvector(e, Vec<T>) * -beta;
        const Rounded<T> n(within(exponent, T{2 * E::bias}));
        const Vec<T> rest = __builtin_convertvector(e, Vec<T>) * -beta - n.value;
        const Vec<T> r = rest * static_cast<T>(1 / kLog2E) - logarithm_near_one<T>(m) * beta;
        const Rounded<T> half(n.value * T{0.5});
        const Vec<T> power = exponential<T>(r) * power_of_two<T>(half.integer) *
                             power_of_two<T>(n.integer - half.integer);
        // Zero, infinity and NaN: the reciprocal has the limits.
        return ((s >= least) & (s <= most)) ? power : T{1} / s;
    }

  private:
    static Vec<T> within(Vec<T> x, T bound) {
        x = x < -bound ? splat(-bound) : x;
        return x > bound ? splat(bound) : x;
    }
};

// k + share * sum of squares over the channels that channel c's window has. Times zero it is added
// to `spoiled`, where one that overflowed leaves NaN.
template <typename T, typename V>
inline Vec<T> response_scale(const ResponseStrip<T>& strip, index_t c, const V& vector, const T* x,
                             Vec<T>& spoiled) {
    const index_t first = c < strip.before ? 0 : c - strip.before;
    const index_t end = strip.channels - c > strip.after ? c + strip.after + 1 : strip.channels;
    Vec<T> squares = {};
    for (index_t i = first; i < end; ++i) {
        const Vec<T> value = vector.get(x + i * strip.plane);
        squares += value * value;
    }
    const Vec<T> s = squares * strip.share + strip.k;
    spoiled += s * T{0};
    return s;
}

template <typename T, typename Power>
inline bool scale_responses(const ResponseStrip<T>& strip, const Power& power, const T* x, T* y) {
    Vec<T> spoiled = {};
    for (index_t c = 0; c < strip.channels; ++c) {
        for_vectors<T>(strip.pixels, [&](index_t p, const auto& vector) {
            const Vec<T> s = response_scale(strip, c, vector, x + p, spoiled);
            const index_t at = c * strip.plane + p;
            vector.put(y + at, vector.get(x + at) * power.raise(s));
        });
    }
    return sum_of_lanes<T, kVectorBytes>(spoiled) == T{0};
}

// dx[c] = dy[c] p[c] - x[c] * sum of t[i] over the channels i whose windows have channel c, where
// p = s^-beta and t = 2 alpha / size beta dy x p / s. The last rows of t wait in `recent`.
template <typename T, typename Power>
inline bool scale_responses_backward(const ResponseStrip<T>& strip, const Power& power, const T* dy,
                                     const T* x, T* recent, T* dx) {
    const index_t channels = strip.channels, size = strip.before + strip.after + 1;
    const index_t kept = size < channels ? size : channels;
    const index_t width = (strip.pixels + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
    const T factor = 2 * strip.share * strip.beta;
    Vec<T> spoiled = {};
    for (index_t step = 0; step < channels + strip.before; ++step) {
        if (step < channels) {
            T* row = recent + step % kept * width;
            for_vectors<T>(strip.pixels, [&](index_t p, const auto& vector) {
                const Vec<T> s = response_scale(strip, step, vector, x + p, spoiled);
                const index_t at = step * strip.plane + p;
                const Vec<T> direct = vector.get(dy + at) * power.raise(s);
                vector.put(dx + at, direct);
                store(row + p, direct * vector.get(x + at) * factor / s);
            });
        }
        const index_t c = step - strip.before;
        if (c < 0) continue;
        const index_t first = c < strip.after ? 0 : c - strip.after;
        const index_t end = step < channels ? step + 1 : channels;
        for_vectors<T>(strip.pixels, [&](index_t p, const auto& vector) {
            Vec<T> total = {};
            for (index_t i = first; i < end; ++i) total += load(recent + i % kept * width + p);
            const index_t at = c * strip.plane + p;
            vector.put(dx + at, vector.get(dx + at) - vector.get(x + at) * total);
        });
    }
    return sum_of_lanes<T, kVectorBytes>(spoiled) == T{0};
}

template <typename T>
bool response_norm(const ResponseStrip<T>& strip, const T* x, T* y) {
    if (strip.beta == T{0.75}) return scale_responses(strip, PaperPower<T>{}, x, y);
    return scale_responses(strip, AnyPower<T>{strip.beta}, x, y);
}

template <typename T>
bool response_norm_backward(const ResponseStrip<T>& strip, const T* dy, const T* x, T* recent,
                            T* dx) {
    if (strip.beta == T{0.75}) {
        return scale_responses_backward(strip, PaperPower<T>{}, dy, x, recent, dx);
    }
    return scale_responses_backward(strip, AnyPower<T>{strip.beta}, dy, x, recent, dx);
}

template <typename T>
constexpr NormalizationKernels<T> kKernels = {
    .moments = moments<T>,
    .normalize = normalize<T>,
    .normalize_sums = normalize_sums<T>,
    .normalize_backward = normalize_backward<T>,
    .response_norm = response_norm<T>,
    .response_norm_backward = response_norm_backward<T>,
};

}  // namespace

const Topic<NormalizationKernels> normalization_kernels = {kKernels<float>, kKernels<double>};

}  // namespace pocketcnn::POCKETCNN_ISA
