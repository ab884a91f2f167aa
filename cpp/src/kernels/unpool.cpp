// Gradients of max pooling go back to where the maxima were.
#include <cstdint>

#include "kernels/pool.h"
#include "kernels/simd.h"
#include "kernels/topics.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

// Whether all places are in [0, limit). The sign bits tell, without a branch, which vectorises.
template <typename Place>
inline bool are_below(index_t count, const Place* places, index_t limit) {
    std::uint64_t signs = 0;
    for (index_t i = 0; i < count; ++i) {
        const auto place = static_cast<std::uint64_t>(index_t{places[i]});
        signs |= place | (static_cast<std::uint64_t>(limit) - 1 - place);
    }
    return signs >> 63 == 0;
}

template <typename T>
inline void fill_zeros(index_t size, T* out) {
    constexpr index_t lanes = kLanes<T>, chunk = 8 * lanes;
    index_t i = 0;
    for (; i + chunk <= size; i += chunk) {
        prefetch<1>(out + i, kReadAhead, chunk * index_t{sizeof(T)});
        for (index_t k = 0; k < chunk; k += lanes) store(out + i + k, Vec<T>{});
    }
    for (; i < size; ++i) out[i] = 0;
}

// Values that are checked as a whole before any is used.
inline constexpr index_t kChecked = 256;

// One plane after another, all of whose values are checked at once: of small planes each would have
// a loop for few of them.
template <typename T, typename Place>
bool scatter_small(index_t planes, index_t size, const T* values, const Place* places,
                   index_t out_size, T* out) {
    fill_zeros(planes * out_size, out);
    prefetch<0>(values, kReadAhead, planes * size * index_t{sizeof(T)});
    prefetch<0>(places, kReadAhead, planes * size * index_t{sizeof(Place)});
    if (!are_below(planes * size, places, out_size)) return false;
    for (const T* end = values + planes * size; values < end; out += out_size) {
        for (index_t i = 0; i < size; ++i) out[*places++] += *values++;
    }
    return true;
}

// One plane, block by block.
template <typename T, typename Place>
bool scatter_large(index_t size, const T* values, const Place* places, index_t out_size, T* out) {
    fill_zeros(out_size, out);
    for (index_t begin = 0; begin < size; begin += kChecked) {
        const index_t end = begin + kChecked < size ? begin + kChecked : size;
        prefetch<0>(values + begin, kReadAhead, (end - begin) * index_t{sizeof(T)});
        prefetch<0>(places + begin, kReadAhead, (end - begin) * index_t{sizeof(Place)});
        if (!are_below(end - begin, places + begin, out_size)) return false;
        for (index_t i = begin; i < end; ++i) out[places[i]] += values[i];
    }
    return true;
}

template <typename T, typename Place>
bool scatter(index_t planes, index_t size, const T* values, const Place* places, index_t out_size,
             T* out) {
    const bool is_small = size > 0 && size < kChecked;
    const index_t together = is_small ? kChecked / size : 1;
    for (index_t p = 0; p < planes; p += together) {
        const index_t count = planes - p < together ? planes - p : together, at = p * size;
        T* to = out + p * out_size;
        if (!(size < kChecked ? scatter_small(count, size, values + at, places + at, out_size, to)
                              : scatter_large(size, values + at, places + at, out_size, to))) {
            return false;
        }
    }
    return true;
}

// The rows of windows from `row` on, without vectors.
template <typename T, typename Place>
[[gnu::noinline]] bool spread_one_by_one(const HalvedPlane& plane, index_t row, const T* values,
                                         const Place* places, T* out) {
    const index_t cols = 2 * plane.count;
    for (index_t i = 2 * row * cols; i < 2 * plane.rows * cols; ++i) out[i] = 0;
    for (; row < plane.rows; ++row) {
        for (index_t i = 0; i < plane.count; ++i) {
            const index_t at = row * plane.count + i, place = places[at];
            const index_t offset = place - (2 * row * cols + 2 * i);
            if (offset != 0 && offset != 1 && offset != cols && offset != cols + 1) return false;
            out[place] = values[at];
        }
    }
    return true;
}

/// Gradients of rows of 2x2 windows that touch but do not overlap, windows in the lanes.
template <typename T, int Bytes>
struct HalvedRows {
    using P = Pack<T, Bytes>;
    using Int = typename P::Int;
    static constexpr index_t lanes = P::lanes;

    index_t count;
    Int wrong = {};  ///< not zero in a lane that has had a place outside its window

    /// Places of windows that begin at `first`, `first` + 2, ..., from each one's own first pixel.
    template <typename Place>
    [[gnu::always_inline]] Int offsets(const Place* places, index_t first) {
        const auto* words = reinterpret_cast<const Whole<T>*>(places);
        const Int start = P::sequence(0, 2) + static_cast<Whole<T>>(first);
        if constexpr (sizeof(Whole<T>) == sizeof(Place)) {
            return P::load_whole(words) - start;
        } else if constexpr (sizeof(Whole<T>) > sizeof(Place)) {
            Int wide{};
            for (index_t i = 0; i < lanes; ++i) wide[i] = places[i];
            return wide - start;
        } else {
            // Of each place the low half, which comes first, and the high half, which is zero.
            const Int low = P::load_whole(words), high = P::load_whole(words + lanes);
            mark(odd_elements(low, high));
            return even_elements(low, high) - start;
        }
    }

    [[gnu::always_inline]] void mark(Int fault) {
        wrong |= P::sequence(0, 1) < static_cast<Whole<T>>(count) ? fault : Int{};
    }

    [[gnu::always_inline]] static void store_row(T* to, typename P::Vec even, typename P::Vec odd) {
        P::store(to, interleave_lower(even, odd));
        P::store(to + lanes, interleave_upper(even, odd));
    }

    /// The two rows of pixels, `cols` apart, under the first vector of windows.
    template <typename Place>
    [[gnu::always_inline]] void spread(index_t cols, const T* values, const Place* places,
                                       index_t first, T* to) {
        const auto value = P::load(values);
        const Int offset = offsets(places, first);
        const auto below = static_cast<Whole<T>>(cols);
        const auto part = [&](Whole<T> tap) { return offset == tap ? value : typename P::Vec{}; };
        const Int known = (offset == 0) | (offset == 1) | (offset == below) | (offset == below + 1);
        mark(~known);
        store_row(to, part(0), part(1));
        store_row(to + cols, part(below), part(below + 1));
    }

    bool all_right() const {
        std::uint64_t bits = 0;
        for (index_t i = 0; i < lanes; ++i) bits |= static_cast<std::uint64_t>(wrong[i]);
        return bits == 0;
    }
};

// Vectors no wider than a row needs; where that is still wider than the row, they run over its
// end, which the next row overwrites. False, with nothing settled, where a place is not in its
// window.
template <typename T, int Bytes, typename Place>
inline bool spread_halved(const HalvedPlane& plane, const T* values, const Place* places, T* out) {
    constexpr index_t lanes = Pack<T, Bytes>::lanes;
    const index_t count = plane.count, cols = 2 * count;
    if constexpr (Bytes > kLeastBytes) {
        if (count <= lanes / 2) return spread_halved<T, Bytes / 2>(plane, values, places, out);
    }
    HalvedRows<T, Bytes> rows{count};
    index_t first = 0;
    for (index_t row = 0; row < plane.rows; ++row, first += 2 * cols) {
        const index_t at = row * count;
        if (count < lanes &&
            (at + lanes > plane.values_room || first + cols + 2 * lanes > plane.out_room)) {
            return rows.all_right() && spread_one_by_one(plane, row, values, places, out);
        }
        prefetch<1>(out + first, kReadAhead, 2 * cols * index_t{sizeof(T)});
        prefetch<0>(values + at, kReadAhead, count * index_t{sizeof(T)});
        prefetch<0>(places + at, kReadAhead, count * index_t{sizeof(Place)});
        for (index_t i = 0; i < count; i += lanes) {
            if (i + lanes > count && count > lanes) i = count - lanes;
            rows.spread(cols, values + at + i, places + at + i, first + 2 * i, out + first + 2 * i);
        }
        if (row == 0 && !rows.all_right()) return false;
    }
    return rows.all_right();
}

template <typename T, typename Place>
bool unpool_halved(const HalvedPlane& plane, const T* values, const Place* places, T* out) {
    return spread_halved<T, kVectorBytes>(plane, values, places, out);
}

template <typename T>
constexpr UnpoolKernels<T> kKernels = {
    .wide = {scatter<T, index_t>, unpool_halved<T, index_t>},
    .narrow = {scatter<T, std::int32_t>, unpool_halved<T, std::int32_t>},
};

}  // namespace

const Topic<UnpoolKernels> unpool_kernels = {kKernels<float>, kKernels<double>};

}  // namespace pocketcnn::POCKETCNN_ISA
