// Copies of image rows into and out of padded bands.
#pragma once

#include <type_traits>

#include "kernels/simd.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

// The even elements of from[0, 2 * kLanes - 1): nothing past the last one taken is read.
template <typename T>
inline Vec<T> load_every_second(const T* from) {
    constexpr int lanes = kLanes<T>;
    return shuffle(load(from), load(from + lanes - 1),
                   [](int i) { return i < lanes / 2 ? 2 * i : 2 * i + 1; });
}

// Copies of at most a vector: two copies of constant size that overlap.
template <int size>
inline bool copy_two(index_t bytes, const char* from, char* to) {
    if (bytes < size) return false;
    struct Part {
        char bytes[size];
    } first, last;
    __builtin_memcpy(&first, from, size);
    __builtin_memcpy(&last, from + bytes - size, size);
    __builtin_memcpy(to, &first, size);
    __builtin_memcpy(to + bytes - size, &last, size);
    return true;
}

// count < kLanes.
template <typename T>
inline void copy_few(index_t count, const T* from, T* to) {
    const index_t bytes = count * index_t{sizeof(T)};
    const char* source = reinterpret_cast<const char*>(from);
    char* target = reinterpret_cast<char*>(to);
    if constexpr (kVectorBytes > 32) {
        if (copy_two<32>(bytes, source, target)) return;
    }
    if constexpr (kVectorBytes > 16) {
        if (copy_two<16>(bytes, source, target)) return;
    }
    if (copy_two<8>(bytes, source, target)) return;
    if constexpr (sizeof(T) < 8) copy_two<4>(bytes, source, target);
}

// The first `count` elements of each row, fewer than kLanes, and zeros: a vector per row. Not
// inline, for beside it the compiler would keep accumulators of a tile on the stack.
template <typename T>
[[gnu::noinline, gnu::noclone]] void copy_rests(int rows, index_t count, const T* from,
                                                index_t stride, T* to) {
    for (int r = 0; r < rows; ++r) {
        store(to + r * kLanes<T>, Vec<T>{});
        copy_few(count, from + r * stride, to + r * kLanes<T>);
    }
}

// The same of numbers of 16 bits, of which a vector has as many as of floats.
[[gnu::noinline, gnu::noclone]] inline void copy_rests(int rows, index_t count,
                                                       const BFloat16* from, index_t stride,
                                                       BFloat16* to) {
    for (int r = 0; r < rows; ++r, from += stride, to += kLanes<float>) {
        for (index_t i = 0; i < kLanes<float>; ++i) to[i] = i < count ? from[i] : BFloat16{};
    }
}

// Images are read in order, but in the pauses of the arithmetic the processor loses the thread:
// what comes so much later is asked for. From 512 to 4096 bytes differ little.
inline constexpr index_t kAheadBytes = 2048;

// What a copy makes of its elements: the same.
struct Unchanged {
    template <typename V>
    V operator()(V elements) const {
        return elements;
    }
};

// to[i] = change(from[i * stride]), with a last vector that overlaps the one before it.
template <typename T, typename Change = Unchanged>
inline void copy_row(index_t count, index_t stride, const T* from, T* to,
                     const Change& change = {}) {
    constexpr index_t lanes = kLanes<T>;
    const auto put = [&](index_t i, Vec<T> elements) { store(to + i, change(elements)); };
    if (count < lanes && stride == 1 && std::is_same_v<Change, Unchanged>) {
        copy_few(count, from, to);
    } else if (count < lanes || stride > 2) {
        for (index_t i = 0; i < count; ++i) to[i] = change(splat(from[i * stride]))[0];
    } else if (stride == 2) {
        for (index_t i = 0; i < count - lanes; i += lanes) put(i, load_every_second(from + 2 * i));
        put(count - lanes, load_every_second(from + 2 * (count - lanes)));
    } else {
        for (index_t i = 0; i < count - lanes; i += lanes) {
            __builtin_prefetch(from + i + kAheadBytes / sizeof(T));
            put(i, load(from + i));
        }
        __builtin_prefetch(from + count - lanes + kAheadBytes / sizeof(T));
        put(count - lanes, load(from + count - lanes));
    }
}

// Zeros in whole vectors: up to a vector more is written. They are pinned, for the compiler would
// call memset, which takes longer than the few zeros beside a row, and all registers.
template <typename T>
inline void clear(index_t count, T* to) {
    const Vec<T> zeros = pinned(Vec<T>{});
    for (index_t i = 0; i < count; i += kLanes<T>) store(to + i, zeros);
}

}  // namespace
}  // namespace pocketcnn::POCKETCNN_ISA
