// Pooling of windows that are large or far apart, column by column: first the taps of each column,
// columns in the lanes, then the columns of each window.
#pragma once

#include "kernels/pool.h"
#include "kernels/simd.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

/// Columns that are taken together.
inline constexpr index_t kPoolColumns = 512;

/// Whether a window has enough taps for two steps; its columns must be adjacent and must fit.
inline bool is_large(const PoolBlock& block) {
    constexpr index_t enough = 16;
    return block.step_x == 1 && block.taps_y > 1 && block.taps_x <= kPoolColumns / 2 &&
           (block.taps_y * block.taps_x >= enough || block.stride > 2);
}

/// Calls f<Bytes>(first column) for vectors that cover `count` columns, the last of them
/// overlapping, and single(column) where there are fewer than in any vector.
template <typename T, int Bytes, typename F, typename Single>
[[gnu::always_inline]] inline void for_columns(index_t count, const F& f, const Single& single) {
    constexpr index_t lanes = Pack<T, Bytes>::lanes;
    if (count >= lanes) {
        for (index_t i = 0; i + lanes <= count; i += lanes) f.template operator()<Bytes>(i);
        if (count % lanes != 0) f.template operator()<Bytes>(count - lanes);
    } else if constexpr (Bytes > kLeastBytes) {
        for_columns<T, Bytes / 2>(count, f, single);
    } else {
        for (index_t i = 0; i < count; ++i) single(i);
    }
}

/// Calls body(plane, row, first window, windows, columns) for parts of rows whose columns fit
/// together.
template <typename Body>
inline void for_parts(const PoolBlock& block, const Body& body) {
    const index_t most = (kPoolColumns - block.taps_x) / block.stride + 1;
    for (index_t plane = 0; plane < block.planes; ++plane) {
        for (index_t row = 0; row < block.rows; ++row) {
            for (index_t first = 0; first < block.count; first += most) {
                const index_t left = block.count - first, windows = left < most ? left : most;
                body(plane, row, first, windows, (windows - 1) * block.stride + block.taps_x);
            }
        }
    }
}

}  // namespace
}  // namespace pocketcnn::POCKETCNN_ISA
