// Max pooling, windows in the lanes.
#include <cstdint>
#include <type_traits>

#include "kernels/maxima.h"
#include "kernels/pool_columns.h"
#include "kernels/pool_places.h"
#include "kernels/pool_windows.h"
#include "kernels/topics.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

template <typename T, typename Place>
struct MaxPoolBlock {
    static constexpr bool kKnowsStride2 = true;  ///< has square_rows and tile_pair
    PoolBlock block;
    const T* x;
    index_t place;
    T* y;
    Places<Place> argmax;

    void next_plane() {
        x += block.x_plane;
        y += block.y_plane;
        argmax.advance(block.y_plane);
    }

    [[gnu::always_inline]] void prefetch_results(index_t at, index_t size) const {
        prefetch<1>(y + at, kWriteAhead, size * index_t{sizeof(T)});
        argmax.prefetch(at, size);
    }

    template <int Bytes, typename Load>
    [[gnu::always_inline]] static Maxima<T, Bytes> tap(index_t place, bool first,
                                                       const Load& load) {
        using Int = typename Pack<T, Bytes>::Int;
        return {load(place, first), Int{} + static_cast<Whole<T>>(place)};
    }

    /// The maxima of one row of taps, from the last tap to the first, so that the first wins.
    template <int Bytes, int Taps, typename Load>
    [[gnu::always_inline]] Maxima<T, Bytes> row_maxima(index_t offset, const Load& load) const {
        Maxima<T, Bytes> best = tap<Bytes>(offset + Taps - 1, false, load);
#pragma GCC unroll 4
        for (index_t k = Taps - 2; k >= 0; --k) best.take(tap<Bytes>(offset + k, k == 0, load));
        return best;
    }

    /// The maxima of windows of which load(offset, whether it is the first of its row) gives a tap.
    template <int Bytes, int Taps, typename Load>
    [[gnu::always_inline]] Maxima<T, Bytes> maxima(const Load& load) const {
        index_t offset = (block.taps_y - 1) * block.step_y;
        if constexpr (Taps != 0) {
            auto best = row_maxima<Bytes, Taps>(offset, load);
            while (offset > 0) {
                offset -= block.step_y;
                best.take(row_maxima<Bytes, Taps>(offset, load));
            }
            return best;
        }
        // Rows of any length: one loop, for a tap may be much code.
        const index_t step = block.step_x;
        index_t k = block.taps_x - 1;
        auto best = tap<Bytes>(offset + k * step, k == 0, load);
        for (--k;; k = block.taps_x - 1) {
#pragma GCC unroll 2
            for (; k >= 0; --k) best.take(tap<Bytes>(offset + k * step, k == 0, load));
            if (offset == 0) return best;
            offset -= block.step_y;
        }
    }

    template <int Bytes, int Stride, int Taps>
    [[gnu::always_inline]] void tile(index_t row, index_t window) const {
        using P = Pack<T, Bytes>;
        const index_t first = row * block.row_step + window * block.stride;
        const T* from = x + first;
        const auto best = maxima<Bytes, Taps>([&](index_t offset, bool is_first) {
            return load_tap<T, Bytes, Stride>(from + offset, block.stride, is_first);
        });
        const index_t at = row * block.y_step + window;
        P::store(y + at, best.value);
        const auto step = static_cast<Whole<T>>(Stride != 0 ? Stride : block.stride);
        const auto start = P::sequence(0, 1) * step + static_cast<Whole<T>>(place + first);
        argmax.template store<T, Bytes>(at, best.where + start);
    }

    /// The first `rows` rows of square windows with stride 2. In the general loop the bookkeeping
    /// takes longer than the pooling.
    template <int Bytes, int Taps>
    [[gnu::always_inline]] void square_rows(index_t rows) const {
        using P = Pack<T, Bytes>;
        const index_t width = block.step_y;
        const T* from = x;
        T* to = y;
        Places<Place> to_argmax = argmax;
        auto first = static_cast<Whole<T>>(place);
        for (; rows > 0; --rows) {
            for (index_t i = 0; i < block.count; i += P::lanes) {
                const T* tap = from + 2 * i;
                prefetch<0>(tap, kReadAhead, 2 * Bytes);
                prefetch<0>(tap + width, kReadAhead, 2 * Bytes);
                prefetch<1>(to + i, kWriteAhead, Bytes);
                to_argmax.prefetch(i, P::lanes);
                const auto row = [&](index_t ky) {
                    return row_maxima<Bytes, Taps>(ky * width, [&](index_t at, bool is_first) {
                        return load_tap<T, Bytes, 2>(tap + at, 2, is_first);
                    });
                };
                auto best = row(Taps - 1);
#pragma GCC unroll 4
                for (index_t ky = Taps - 2; ky >= 0; --ky) best.take(row(ky));
                P::store(to + i, best.value);
                const auto start = P::sequence(0, 2) + (first + static_cast<Whole<T>>(2 * i));
                to_argmax.template store<T, Bytes>(i, best.where + start);
            }
            from += block.row_step;
            first += static_cast<Whole<T>>(block.row_step);
            to += block.y_step;
            to_argmax.advance(block.y_step);
        }
    }

    /// Rows `row` and `row` + 1; see load_tap for how taps are read.
    template <int Bytes, int Taps>
    [[gnu::always_inline]] void tile_pair(index_t row, const RowPair<T, Bytes>& pair) const {
        using P = Pack<T, Bytes>;
        const index_t first = row * block.row_step, at = row * block.y_step;
        const T* from = x + first;
        const auto best = maxima<Bytes, Taps>([&](index_t offset, bool is_first) {
            const T* tap = from + offset - (is_first ? 0 : 1);
            return pair.pick(P::load(tap), P::load(tap + block.row_step), is_first ? 0 : 1);
        });
        P::store(y + at, best.value);
        argmax.template store<T, Bytes>(
            at, best.where + pair.starts + static_cast<Whole<T>>(place + first));
    }

    [[gnu::always_inline]] void window(index_t row, index_t window) const {
        const index_t first = row * block.row_step + window * block.stride;
        T best = x[first];
        index_t where = first;
        for (index_t ky = 0; ky < block.taps_y; ++ky) {
            for (index_t kx = 0; kx < block.taps_x; ++kx) {
                const index_t at = first + ky * block.step_y + kx * block.step_x;
                // !(value <= best) is also true for NaN; a NaN that is already best stays.
                if (!(x[at] <= best) && best == best) {
                    best = x[at];
                    where = at;
                }
            }
        }
        y[row * block.y_step + window] = best;
        argmax.set(row * block.y_step + window, place + where);
    }
};

/// The first maximum of each column and its offset from the column's first tap.
template <typename T>
inline void column_maxima(const PoolBlock& block, index_t columns, const T* from, T* values,
                          Whole<T>* places) {
    const index_t last = (block.taps_y - 1) * block.step_y;
    for_columns<T, kVectorBytes>(
        columns,
        [&]<int Bytes>(index_t i) {
            using P = Pack<T, Bytes>;
            const auto tap = [&](index_t offset) -> Maxima<T, Bytes> {
                return {P::load(from + i + offset),
                        typename P::Int{} + static_cast<Whole<T>>(offset)};
            };
            Maxima<T, Bytes> best = tap(last);
            for (index_t k = last - block.step_y; k >= 0; k -= block.step_y) best.take(tap(k));
            P::store(values + i, best.value);
            P::store_whole(places + i, best.where);
        },
        [&](index_t i) {
            values[i] = from[i];
            places[i] = 0;
            for (index_t k = block.step_y; k <= last; k += block.step_y) {
                if (!(from[i + k] <= values[i]) && values[i] == values[i]) {
                    values[i] = from[i + k];
                    places[i] = static_cast<Whole<T>>(k);
                }
            }
        });
}

template <typename T, typename Place>
[[gnu::noinline]] void max_pool_by_columns(const PoolBlock block, const T* x, index_t place, T* y,
                                           const Places<Place> argmax) {
    T values[kPoolColumns];
    Whole<T> places[kPoolColumns];
    for_parts(
        block, [&](index_t plane, index_t row, index_t first, index_t windows, index_t columns) {
            const index_t start = row * block.row_step + first * block.stride;
            column_maxima<T>(block, columns, x + plane * block.x_plane + start, values, places);
            const index_t at = plane * block.y_plane + row * block.y_step + first;
            // column_maxima has written them, by vectors, which the analyzer does not see.
            // NOLINTBEGIN(clang-analyzer-core.uninitialized.Assign)
            const auto single = [&](index_t i) {
                T best = values[i];
                Whole<T> where = places[i];
                for (index_t k = 1; k < block.taps_x; ++k) {
                    const T value = values[i + k];
                    const Whole<T> other = places[i + k] + static_cast<Whole<T>>(k);
                    const bool is_nan = value != value, best_is_nan = best != best;
                    const bool alike = (value == best) | (is_nan & best_is_nan);
                    const bool better =
                        (value > best) | (is_nan & !best_is_nan) | (alike & (other < where));
                    best = better ? value : best;
                    where = better ? other : where;
                }
                y[at + i] = best;
                argmax.set(at + i, place + start + i + where);
            };
            // NOLINTEND(clang-analyzer-core.uninitialized.Assign)
            for_columns<T, kVectorBytes>(
                windows,
                [&]<int Bytes>(index_t i) {
                    using P = Pack<T, Bytes>;
                    auto best = P::load(values + i);
                    auto where = P::load_whole(places + i);
                    for (index_t k = 1; k < block.taps_x; ++k) {
                        const auto value = P::load(values + i + k);
                        const auto other = P::load_whole(places + i + k) + static_cast<Whole<T>>(k);
                        const auto is_nan = value != value, best_is_nan = best != best;
                        const auto alike = (value == best) | (is_nan & best_is_nan);
                        const auto better =
                            (value > best) | (is_nan & ~best_is_nan) | (alike & (other < where));
                        best = better ? value : best;
                        where = better ? other : where;
                    }
                    P::store(y + at + i, best);
                    const auto first = static_cast<Whole<T>>(place + start + i);
                    argmax.template store<T, Bytes>(at + i, where + P::sequence(0, 1) + first);
                },
                single);
        });
}

template <typename T, typename Place>
[[gnu::noinline]] void max_pool_in(const PoolBlock& block, const T* x, index_t place, T* y,
                                   const Places<Place> argmax) {
    MaxPoolBlock<T, Place> body = {block, x, place, y, argmax};
    // Places are kept in lanes as wide as T; those of windows behind the last count too.
    constexpr index_t most = index_t{1} << (8 * sizeof(T) - 2);
    if (block.x_plane < most && block.stride < most / kPackSlack) {
        // Far windows one by one, with a branch for each tap, would be slower than gathered tiles.
        if (block.stride == 1 && is_large(block)) {
            max_pool_by_columns(block, x, place, y, argmax);
        } else {
            for_tiles<T>(block, body);
        }
        return;
    }
    for (index_t plane = 0; plane < block.planes; ++plane, body.next_plane()) {
        careful_rows(block, 0, body);
    }
}

// The largest of some elements in *most; false if there is a NaN among them.
template <typename T>
inline bool find_largest(index_t size, const T* x, T* most) {
    constexpr index_t chains = 4, step = chains * kLanes<T>;
    Vec<T> largest[chains];
    typename Simd<T>::Mask odd{};
    for (index_t c = 0; c < chains; ++c) largest[c] = splat(x[0]);
    const auto take = [&](index_t i, index_t c) {
        const Vec<T> value = load(x + i);
        largest[c] = value > largest[c] ? value : largest[c];
        odd |= value != value;
    };
    index_t i = 0;
    for (; i + step <= size; i += step) {
#pragma GCC unroll 4
        for (index_t c = 0; c < chains; ++c) take(i + c * kLanes<T>, c);
    }
    for (; i + kLanes<T> <= size; i += kLanes<T>) take(i, 0);
    for (index_t c = 1; c < chains; ++c) {
        largest[0] = largest[c] > largest[0] ? largest[c] : largest[0];
    }
    Whole<T> any = 0;
    *most = largest[0][0];
    for (index_t l = 0; l < kLanes<T>; ++l) {
        any |= odd[l];
        *most = largest[0][l] > *most ? largest[0][l] : *most;
    }
    for (; i < size; ++i) {
        any |= x[i] != x[i];
        *most = x[i] > *most ? x[i] : *most;
    }
    return any == 0;
}

// The place of the largest element is looked for only in the block that it is in.
template <typename T>
index_t first_maximum(index_t size, const T* x) {
    constexpr index_t block = 1024;
    T best = x[0];
    index_t place = 0;
    for (index_t at = 0; at < size; at += block) {
        T most;
        if (!find_largest(size - at < block ? size - at : block, x + at, &most)) {
            while (x[at] == x[at]) ++at;
            return at;
        }
        if (most > best) {
            best = most;
            place = at;
        }
    }
    while (x[place] != best) ++place;
    return place;
}

template <typename T, typename Place>
void max_pool(const PoolBlock& block, const T* x, index_t place, T* y, Place* argmax) {
    using Known = std::conditional_t<sizeof(T) == sizeof(float), Place, void>;
    max_pool_in<T>(block, x, place, y, Places<Known>(argmax));
}

template <typename T>
constexpr MaxPoolKernels<T> kKernels = {
    .wide = max_pool<T, index_t>,
    .narrow = max_pool<T, std::int32_t>,
    .first_maximum = first_maximum<T>,
};

}  // namespace

const Topic<MaxPoolKernels> max_pool_kernels = {kKernels<float>, kKernels<double>};

}  // namespace pocketcnn::POCKETCNN_ISA
