// The vector vocabulary of the kernels, over the compiler's vector extensions. A source is compiled
// for one instruction set, so an ordinary guard is enough. All of the kernels but their tables have
// internal linkage: a function shared between instruction sets could be replaced by the linker with
// another set's copy.
#pragma once

#include <pocketcnn/types.h>

#include <cstdint>

#include "kernels/target.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

template <typename T>
struct Simd;

// may_alias: kernels read arrays of T through these types. The loose form is for memory that is
// aligned to an element only.
template <>
struct Simd<float> {
    typedef float Vec __attribute__((vector_size(kVectorBytes), may_alias));
    typedef float Loose __attribute__((vector_size(kVectorBytes), may_alias, aligned(4)));
    typedef std::int32_t Whole;
    typedef Whole Mask __attribute__((vector_size(kVectorBytes)));
    static constexpr int lanes = kVectorBytes / 4;
};

template <>
struct Simd<double> {
    typedef double Vec __attribute__((vector_size(kVectorBytes), may_alias));
    typedef double Loose __attribute__((vector_size(kVectorBytes), may_alias, aligned(8)));
    typedef std::int64_t Whole;
    typedef Whole Mask __attribute__((vector_size(kVectorBytes)));
    static constexpr int lanes = kVectorBytes / 8;
};

template <typename T>
using Vec = typename Simd<T>::Vec;

/// The integer as wide as T.
template <typename T>
using Whole = typename Simd<T>::Whole;

template <typename T>
inline constexpr int kLanes = Simd<T>::lanes;
template <typename T>
inline constexpr int kLanes<const T> = kLanes<T>;

/// Whether there are 32 vector registers, not 16.
#if defined(__AVX512F__) || defined(__aarch64__)
inline constexpr bool kManyRegisters = true;
#else
inline constexpr bool kManyRegisters = false;
#endif

template <typename T>
inline Vec<T> load(const T* from) {
    return *reinterpret_cast<const typename Simd<T>::Loose*>(from);
}

/// A vector of floats from their upper halves.
inline Vec<float> load(const BFloat16* from) {
    typedef std::uint16_t Halves
        __attribute__((vector_size(kVectorBytes / 2), may_alias, aligned(2)));
    typedef std::uint32_t Wide __attribute__((vector_size(kVectorBytes)));
    const auto halves = *reinterpret_cast<const Halves*>(from);
    return reinterpret_cast<Vec<float>>(__builtin_convertvector(halves, Wide) << 16);
}

template <typename T>
inline void store(T* to, Vec<T> value) {
    *reinterpret_cast<typename Simd<T>::Loose*>(to) = value;
}

template <typename T>
inline Vec<T> splat(T value) {
    return value - Vec<T>{};
}

// Asks for the cache line, to own it: a store that misses would wait for it instead.
template <typename T>
inline void prefetch_for_writing(T* to) {
    __builtin_prefetch(to, 1);
}

// Asks for the cache line, but leaves the first cache to what is in use.
template <typename T>
inline void prefetch_to_second_cache(const T* from) {
    __builtin_prefetch(from, 0, 2);
}

/// How far ahead of its use memory is asked for, in bytes: pooling moves several streams at once,
/// which the hardware's prefetcher follows badly. Found by trial on 16x64x112x112, 2x2: without,
/// 6.3 ms; so, and tile by tile, 2.5 ms; asking for whole rows at once did not help.
inline constexpr index_t kReadAhead = 4096;
inline constexpr index_t kWriteAhead = 1024;

/// Asks for `bytes` from the given distance on; the address need not exist.
template <int Write>
[[gnu::always_inline]] inline void prefetch(const void* here, index_t ahead, index_t bytes) {
    constexpr index_t line = 64;
    const auto from = reinterpret_cast<std::uintptr_t>(here) + ahead;
    for (index_t i = 0; i < bytes; i += line) {
        // A pointer past an array must not be computed. NOLINTNEXTLINE(performance-no-int-to-ptr)
        __builtin_prefetch(reinterpret_cast<const void*>(from + i), Write);
    }
}

// The value, in a register from here on: the compiler would rather load it again for every use
// than once, where the uses are operands of instructions that can load.
template <typename V>
inline V pinned(V value) {
#if defined(__x86_64__)
    asm("" : "+v"(value));
#elif defined(__aarch64__)
    asm("" : "+w"(value));
#endif
    return value;
}

// The value, on its way from one place of an array of vectors to another. In a loop of such steps
// clang would see a move of memory, and keep the array there.
template <typename V>
[[gnu::always_inline]] inline V moved(V value) {
#if defined(__clang__)
    return pinned(value);
#else
    return value;
#endif
}

// The address, in one register from here on. Of an address that moves on from step to step, and is
// read at several places, clang would make as many that move on, more than there are registers.
template <typename T>
[[gnu::always_inline]] inline T* placed(T* at) {
#if defined(__clang__)
    asm("" : "+r"(at));
#endif
    return at;
}

// sum += a * b, in a tile of accumulators that fills the registers. Clang would move them around
// from step to step until one is on the stack.
template <typename V>
[[gnu::always_inline]] inline void add_product(V& sum, V a, V b) {
#if defined(__clang__)
    sum = pinned(sum + a * b);
#else
    sum += a * b;
#endif
}

// The same where 16 registers are all there are: clang would let a sum take the register of a
// factor that is not needed any more, unless the sum is held before too.
template <typename V>
[[gnu::always_inline]] inline void add_held_product(V& sum, V a, V b) {
    if constexpr (!kManyRegisters) sum = moved(sum);
    add_product(sum, a, b);
}

inline float square_root(float x) {
    return __builtin_sqrtf(x);
}
inline double square_root(double x) {
    return __builtin_sqrt(x);
}

// 1 / x to at least 14 bits, for x and results in the normal range. Only AVX-512 has an instruction
// that good, for float.
template <typename T>
inline Vec<T> rough_reciprocal(Vec<T> x) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == sizeof(float)) {
        Vec<T> result;
        asm("vrcp14ps %1, %0" : "=v"(result) : "v"(x));
        return result;
    }
#endif
    return T{1} / x;
}

template <int... i>
struct Numbers {};

/// Numbers<0, 1, ..., n - 1>.
template <int n, int... i>
struct NumbersBelow : NumbersBelow<n - 1, n - 1, i...> {};
template <int... i>
struct NumbersBelow<0, i...> {
    typedef Numbers<i...> type;
};

template <typename V, typename Index, int... i>
[[gnu::always_inline]] inline V shuffle(V a, V b, Index, Numbers<i...>) {
    return __builtin_shufflevector(a, b, Index{}(i)...);
}

/// Element i of the result is number index(i) of a's and b's elements, counted from a's first on.
/// `index` is a lambda that captures nothing: compilers want these numbers as constants.
template <typename V, typename Index>
[[gnu::always_inline]] inline V shuffle(V a, V b, Index index) {
    return shuffle(a, b, index, typename NumbersBelow<sizeof(V) / sizeof(a[0])>::type{});
}

/// The even elements of a and b, counted from a's first on.
template <typename V>
[[gnu::always_inline]] inline V even_elements(V a, V b) {
    return shuffle(a, b, [](int i) { return 2 * i; });
}

template <typename V>
[[gnu::always_inline]] inline V odd_elements(V a, V b) {
    return shuffle(a, b, [](int i) { return 2 * i + 1; });
}

/// Elements of a and b in turn: of their lower halves (a0 b0 a1 b1 ...).
template <typename V>
[[gnu::always_inline]] inline V interleave_lower(V a, V b) {
    constexpr int lanes = sizeof(V) / sizeof(a[0]);
    return shuffle(a, b, [](int i) { return i / 2 + i % 2 * lanes; });
}

/// Of their upper halves.
template <typename V>
[[gnu::always_inline]] inline V interleave_upper(V a, V b) {
    constexpr int lanes = sizeof(V) / sizeof(a[0]);
    return shuffle(a, b, [](int i) { return lanes / 2 + i / 2 + i % 2 * lanes; });
}

// Interleaves n vectors in place, n a power of two: element i of the sequence that they then form
// is lane i / n of the vector i % n before. Of kLanes vectors that is the transpose of a square.
// log2(n) rounds of a perfect shuffle.
template <typename T, int n>
inline void interleave_all(Vec<T> (&rows)[n]) {
#pragma GCC unroll 8
    for (int round = 1; round < n; round *= 2) {
        Vec<T> next[n];
#pragma GCC unroll 16
        for (int i = 0; i < n / 2; ++i) {
            next[2 * i] = interleave_lower(rows[i], rows[i + n / 2]);
            next[2 * i + 1] = interleave_upper(rows[i], rows[i + n / 2]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < n; ++i) rows[i] = next[i];
    }
}

/// Narrowest vector in use.
inline constexpr int kLeastBytes = 16;

/// The same of tiles, which are much code each: the widest vectors have one narrower kind only, and
/// double has none, for it would be for rows of at most four elements.
template <typename T>
inline constexpr int kLeastTileBytes = kVectorBytes > 32 ? 32 : kLeastBytes;
template <>
inline constexpr int kLeastTileBytes<double> = kVectorBytes;

// A vector of any width up to the instruction set's: rows of images are often shorter than it.
template <typename T, int Bytes>
struct Pack {
    typedef T Vec __attribute__((vector_size(Bytes), may_alias));
    typedef T Loose __attribute__((vector_size(Bytes), may_alias, aligned(sizeof(T))));
    typedef Whole<T> Int __attribute__((vector_size(Bytes)));
    typedef Whole<T> LooseInt __attribute__((vector_size(Bytes), may_alias, aligned(sizeof(T))));
    static constexpr int lanes = Bytes / int{sizeof(T)};

    static Vec load(const T* from) { return *reinterpret_cast<const Loose*>(from); }
    static void store(T* to, Vec value) { *reinterpret_cast<Loose*>(to) = value; }
    static Int load_whole(const Whole<T>* from) { return *reinterpret_cast<const LooseInt*>(from); }
    static void store_whole(Whole<T>* to, Int value) { *reinterpret_cast<LooseInt*>(to) = value; }
    static Vec splat(T value) { return value - Vec{}; }
    /// first, first + step, first + 2 step ...
    static Int sequence(int first, int step) {
        Int result{};
        for (int i = 0; i < lanes; ++i) result[i] = first + i * step;
        return result;
    }
};

/// Which lanes count, as few instructions want to know it.
#if defined(__AVX512DQ__)
template <typename T, int Bytes>
using Chosen = std::uint16_t;
#else
template <typename T, int Bytes>
using Chosen = typename Pack<T, Bytes>::Int;
#endif

/// The lanes of which all bits are set in `bits`, whose other lanes are zero.
template <typename T, int Bytes>
[[gnu::always_inline]] inline Chosen<T, Bytes> chosen(typename Pack<T, Bytes>::Int bits) {
#if defined(__AVX512DQ__)
    Chosen<T, Bytes> lanes;
    if constexpr (sizeof(T) == sizeof(float)) {
        asm("vpmovd2m %1, %0" : "=Yk"(lanes) : "v"(bits));
    } else {
        asm("vpmovq2m %1, %0" : "=Yk"(lanes) : "v"(bits));
    }
    return lanes;
#else
    return bits;
#endif
}

/// The chosen lanes of the value, and zeros whatever the others hold. In a register from here on,
/// as `pinned` says.
template <typename T, int Bytes>
[[gnu::always_inline]] inline typename Pack<T, Bytes>::Vec only(
    Chosen<T, Bytes> lanes, typename Pack<T, Bytes>::Vec value) {
    using Vec = typename Pack<T, Bytes>::Vec;
#if defined(__AVX512DQ__)
    Vec result;
    if constexpr (sizeof(T) == sizeof(float)) {
        asm("vmovaps %1, %0%{%2%}%{z%}" : "=v"(result) : "v"(value), "Yk"(lanes));
    } else {
        asm("vmovapd %1, %0%{%2%}%{z%}" : "=v"(result) : "v"(value), "Yk"(lanes));
    }
    return result;
#else
    using Int = typename Pack<T, Bytes>::Int;
    return pinned(reinterpret_cast<Vec>(reinterpret_cast<Int>(value) & lanes));
#endif
}

/// The same of a vector in memory, all of which may be read.
template <typename T, int Bytes>
[[gnu::always_inline]] inline typename Pack<T, Bytes>::Vec load_only(Chosen<T, Bytes> lanes,
                                                                     const T* from) {
#if defined(__AVX512DQ__)
    typename Pack<T, Bytes>::Vec result;
    const auto& value = *reinterpret_cast<const typename Pack<T, Bytes>::Loose*>(from);
    if constexpr (sizeof(T) == sizeof(float)) {
        asm("vmovups %1, %0%{%2%}%{z%}" : "=v"(result) : "m"(value), "Yk"(lanes));
    } else {
        asm("vmovupd %1, %0%{%2%}%{z%}" : "=v"(result) : "m"(value), "Yk"(lanes));
    }
    return result;
#else
    return only<T, Bytes>(lanes, Pack<T, Bytes>::load(from));
#endif
}

/// The sum of the lanes, halves onto halves.
template <typename T, int Bytes>
inline T sum_of_lanes(typename Pack<T, Bytes>::Vec value) {
    if constexpr (Bytes == 2 * sizeof(T)) {
        return value[0] + value[1];
    } else {
        using Half = typename Pack<T, Bytes / 2>::Vec;
        const auto* halves = reinterpret_cast<const Half*>(&value);
        return sum_of_lanes<T, Bytes / 2>(halves[0] + halves[1]);
    }
}

/// The same, added in double.
template <typename T>
inline double double_sum_of_lanes(Vec<T> value) {
    if constexpr (sizeof(T) == sizeof(double)) {
        return sum_of_lanes<T, kVectorBytes>(value);
    } else {
        using Half = typename Pack<T, kVectorBytes / 2>::Vec;
        const auto* halves = reinterpret_cast<const Half*>(&value);
        return sum_of_lanes<double, kVectorBytes>(__builtin_convertvector(halves[0], Vec<double>) +
                                                  __builtin_convertvector(halves[1], Vec<double>));
    }
}

/// f<n>(), for n from 1 to `limit`; nothing for another n.
template <int limit, typename F>
[[gnu::always_inline]] inline void dispatch(index_t n, const F& f) {
    if constexpr (limit > 0) {
        if (n == limit) {
            f.template operator()<limit>();
        } else {
            dispatch<limit - 1>(n, f);
        }
    }
}

/// The value's first `count` lanes, and zeros.
template <typename T>
inline Vec<T> first_lanes(index_t count, Vec<T> value) {
    return Pack<T, kVectorBytes>::sequence(0, 1) < static_cast<Whole<T>>(count) ? value : Vec<T>{};
}

}  // namespace
}  // namespace pocketcnn::POCKETCNN_ISA
