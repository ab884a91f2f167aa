// Pooling of blocks of windows, windows in the lanes. The caller clips taps to
// the image, so nothing here checks bounds. Rows are often shorter than a vector: then vectors run
// over the end of a row into the next one, whose results are written later, and only the last rows
// of an array are done with care.
#pragma once

#include "kernels/pool.h"
#include "kernels/simd.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

/// One tap of consecutive windows. Stride 0 stands for any. With stride 2 the first tap of a row
/// takes the even elements from its place on, the others the odd ones from one place before: so
/// the last element read is the last window's last tap.
template <typename T, int Bytes, int Stride>
inline typename Pack<T, Bytes>::Vec load_tap(const T* tap, index_t stride, bool first) {
    using P = Pack<T, Bytes>;
    if constexpr (Stride == 1) {
        return P::load(tap);
    } else if constexpr (Stride == 2) {
        if (first) return even_elements(P::load(tap), P::load(tap + P::lanes));
        return odd_elements(P::load(tap - 1), P::load(tap - 1 + P::lanes));
    } else {
        typename P::Vec value{};
        for (int i = 0; i < P::lanes; ++i) value[i] = tap[i * stride];
        return value;
    }
}

/// Rows of the block, from its first, over whose end whole vectors may run.
inline index_t free_rows(const PoolBlock& block, index_t lanes) {
    const index_t count = (block.count + lanes - 1) / lanes * lanes;
    const index_t taps = (block.taps_y - 1) * block.step_y + (block.taps_x - 1) * block.step_x;
    const index_t x_room = block.x_room - (count * block.stride + taps);
    const index_t y_room = block.y_room - count;
    if (x_room < 0 || y_room < 0) return 0;
    // Mostly all, and divisions take long.
    const index_t last = block.rows - 1;
    if (last * block.row_step <= x_room && last * block.y_step <= y_room) return block.rows;
    const index_t x_rows = x_room / block.row_step + 1, y_rows = y_room / block.y_step + 1;
    const index_t rows = x_rows < y_rows ? x_rows : y_rows;
    return rows < block.rows ? rows : block.rows;
}

/// The windows of the rows from `row` on, one by one: the last rows of an array, over whose end no
/// vector may run.
template <typename Body>
inline void careful_rows(const PoolBlock& block, index_t row, const Body& body) {
    for (; row < block.rows; ++row) {
        for (index_t i = 0; i < block.count; ++i) body.window(row, i);
    }
}

/// Two rows of windows with stride 2 in one vector, the second behind the `count` of the first.
template <typename T, int Bytes>
struct RowPair {
    using Vec = typename Pack<T, Bytes>::Vec;
    using Int = typename Pack<T, Bytes>::Int;
    Int elements;  ///< of the two rows' vectors, end to end: those that the windows begin with
    Int starts;    ///< the windows' first elements, from the first row's

    explicit RowPair(const PoolBlock& block) {
        constexpr int lanes = Pack<T, Bytes>::lanes;
        const Int lane = Pack<T, Bytes>::sequence(0, 1);
        const Int second = lane - static_cast<Whole<T>>(block.count);
        elements = second < 0 ? 2 * lane : 2 * second + lanes;
        starts = second < 0 ? 2 * lane : 2 * second + static_cast<Whole<T>>(block.row_step);
    }

    /// The elements of the rows' vectors that the windows have `offset` after their first.
    [[gnu::always_inline]] Vec pick(Vec first, Vec second, int offset) const {
#if defined(__clang__)
        constexpr int lanes = Pack<T, Bytes>::lanes;
        Vec picked{};
        for (int i = 0; i < lanes; ++i) {
            const Whole<T> element = elements[i] + offset;
            picked[i] = element < lanes ? first[element] : second[element - lanes];
        }
        return picked;
#else
        return __builtin_shuffle(first, second, elements + static_cast<Whole<T>>(offset));
#endif
    }
};

/// Clang shuffles by constants only.
#if defined(__clang__)
inline constexpr bool kPicksPairs = false;
#else
inline constexpr bool kPicksPairs = true;
#endif

/// Whether the body takes rows of such windows in pairs, and a pair's results follow each other.
template <int Stride, int Taps, typename Body>
inline bool takes_pairs(const PoolBlock& block) {
    return kPicksPairs && Body::kKnowsStride2 && Stride == 2 && Taps != 0 &&
           block.y_step == block.count;
}

/// Calls rows(free) for each plane, of which the tiles of the first `free` rows may run over the
/// end; the body moves on with it.
template <typename Body, typename Rows>
[[gnu::always_inline]] inline void for_planes(PoolBlock block, index_t lanes, Body& body,
                                              const Rows& rows) {
    for (index_t plane = 0; plane < block.planes; ++plane, body.next_plane()) {
        rows(free_rows(block, lanes));
        block.x_room -= block.x_plane;
        block.y_room -= block.y_plane;
    }
}

/// Rows one by one. The arguments are values: nobody else can hold their addresses, so that they
/// stay in registers while results are stored.
template <typename T, int Bytes, int Stride, int Taps, typename Body>
inline void for_rows(const PoolBlock block, Body body) {
    constexpr index_t lanes = Pack<T, Bytes>::lanes;
    // Where windows overlap, each row brings `stride` new rows of taps; a wide stride skips some.
    const index_t taps = block.taps_y * block.step_y;
    const index_t ahead = taps < block.row_step ? taps : block.row_step;
    for_planes(block, lanes, body, [&](index_t free) {
        index_t row = 0;
        if constexpr (Body::kKnowsStride2 && Stride == 2 && Taps != 0) {
            if (block.taps_y == Taps) {
                body.template square_rows<Bytes, Taps>(free);
                row = free;
            }
        }
        for (; row < free; ++row) {
            for (index_t i = 0; i < block.count; i += lanes) {
                const T* x = body.x + row * block.row_step + i * block.stride;
                for (index_t k = 0; k < ahead; k += block.step_y) {
                    prefetch<0>(x + k, kReadAhead, Stride == 1 ? Bytes : 2 * Bytes);
                }
                body.prefetch_results(row * block.y_step + i, lanes);
                body.template tile<Bytes, Stride, Taps>(row, i);
            }
        }
        careful_rows(block, row, body);
    });
}

/// The same of short rows, two at a time. 64x8x8, 2x2, batch of 100, two cores: 0.25 ms by rows and
/// a call a plane, 0.062 so.
template <typename T, int Bytes, int Taps, typename Body>
[[gnu::noinline]] void for_row_pairs(const PoolBlock block, Body body) {
    const RowPair<T, Bytes> pair(block);
    for_planes(block, Pack<T, Bytes>::lanes, body, [&](index_t free) {
        index_t row = 0;
        for (; row + 2 <= free; row += 2) {
            prefetch<0>(body.x + row * block.row_step, kReadAhead,
                        2 * block.row_step * index_t{sizeof(T)});
            body.prefetch_results(row * block.y_step, 2 * block.count);
            body.template tile_pair<Bytes, Taps>(row, pair);
        }
        for (; row < free; ++row) body.template tile<Bytes, 2, Taps>(row, 0);
        careful_rows(block, row, body);
    });
}

/// Calls body.tile<Bytes, Stride, Taps>(row, window), body.tile_pair<Bytes, Taps>(row, pair) or
/// body.window(row, window), until they cover the block. Rows come in order, for tiles may write
/// over the start of the next row.
template <typename T, int Bytes, int Stride, int Taps, typename Body>
inline void for_tiles(const PoolBlock& block, const Body& body) {
    constexpr index_t lanes = Pack<T, Bytes>::lanes;
    const bool pairs = takes_pairs<Stride, Taps, Body>(block) && 2 * block.count <= lanes;
    if constexpr (Bytes > kLeastTileBytes<T>) {
        if (block.count <= lanes / (pairs ? 4 : 2)) {
            return for_tiles<T, Bytes / 2, Stride, Taps>(block, body);
        }
    }
    if constexpr (Body::kKnowsStride2 && Stride == 2 && Taps != 0) {
        if (pairs) return for_row_pairs<T, Bytes, Taps>(block, body);
    }
    for_rows<T, Bytes, Stride, Taps>(block, body);
}

/// The common strides and widths of windows have loops of their own; Taps 0 stands for any width.
template <typename T, typename Body>
inline void for_tiles(const PoolBlock& block, Body body) {
    // Columns on an edge of the image, above all.
    if (block.count < Pack<T, kLeastBytes>::lanes && block.count < 3) {
        for (index_t plane = 0; plane < block.planes; ++plane, body.next_plane()) {
            careful_rows(block, 0, body);
        }
        return;
    }
    const bool adjacent = block.step_x == 1;
    if (block.stride == 2 && block.taps_x == 2 && adjacent) {
        for_tiles<T, kVectorBytes, 2, 2>(block, body);
    } else if (block.stride == 2 && block.taps_x == 3 && adjacent) {
        for_tiles<T, kVectorBytes, 2, 3>(block, body);
    } else if (block.stride == 1 && block.taps_x == 3 && adjacent) {
        for_tiles<T, kVectorBytes, 1, 3>(block, body);
    } else if (block.stride == 2 && block.taps_x > 1) {
        for_tiles<T, kVectorBytes, 2, 0>(block, body);
    } else if (block.stride == 1) {
        for_tiles<T, kVectorBytes, 1, 0>(block, body);
    } else {
        for_tiles<T, kVectorBytes, 0, 0>(block, body);
    }
}

}  // namespace
}  // namespace pocketcnn::POCKETCNN_ISA
