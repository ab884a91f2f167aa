// Rows of planes as depthwise convolution reads and writes them: where they lie.
#pragma once

#include "kernels/depthwise.h"
#include "kernels/rows.h"
#include "kernels/simd.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

// Whether 0 <= at < end, by one comparison.
inline bool is_below(index_t at, index_t end) {
    return static_cast<std::uintptr_t>(at) < static_cast<std::uintptr_t>(end);
}

// What the lanes see: every element, or every second.
template <typename T, int Bytes, int Stride>
[[gnu::always_inline]] inline typename Pack<T, Bytes>::Vec load_only(Chosen<T, Bytes> lanes,
                                                                     const T* from) {
    using P = Pack<T, Bytes>;
    if constexpr (Stride == 1) return load_only<T, Bytes>(lanes, from);
    return only<T, Bytes>(lanes, even_elements(P::load(from), P::load(from + P::lanes)));
}

template <typename T, int Bytes, int Stride>
[[gnu::always_inline]] inline typename Pack<T, Bytes>::Int load_bits(const T* from) {
    using P = Pack<T, Bytes>;
    const auto* whole = reinterpret_cast<const Whole<T>*>(from);
    if constexpr (Stride == 1) return P::load_whole(whole);
    return even_elements(P::load_whole(whole), P::load_whole(whole + P::lanes));
}

// The first `count` elements of two vectors. Inline: a call in a loop would take all vector
// registers from clang, which does not look into what it calls.
template <typename T, int Bytes>
[[gnu::always_inline]] inline void put_part(index_t count, typename Pack<T, Bytes>::Vec first,
                                            typename Pack<T, Bytes>::Vec second, T* to) {
    using P = Pack<T, Bytes>;
    const bool more = count >= P::lanes;
    if (more) P::store(to, first);
    T rest[P::lanes];
    P::store(rest, more ? second : first);
    copy_few(more ? count - P::lanes : count, rest, more ? to + P::lanes : to);
}

}  // namespace
}  // namespace pocketcnn::POCKETCNN_ISA
