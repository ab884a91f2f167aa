// The indirect product: the left operand is read through lists of offsets.
#pragma once

#include <pocketcnn/types.h>

#include "kernels/product.h"

namespace pocketcnn {

/// The tile of the indirect product for right panels of a certain width.
template <typename T>
struct IndirectTile {
    /// Rows of the tile: a divisor of kIndirectRowsMultiple, or none if there is no such tile.
    index_t rows;
    /// tile[rows][cols] (+)= sum over k < depth of left[row_offsets[i] + depth_offsets[k]] *
    /// right[k][cols] for rows i. Asks for what follows the right panel, but reads none of it.
    void (*multiply)(index_t depth, const T* left, const index_t* row_offsets,
                     const index_t* depth_offsets, const T* right, const PanelAhead<T>& ahead,
                     T* tile, bool accumulate);
};

inline constexpr index_t kIndirectRowsMultiple = 24;

/// The widest right panel of any instruction set, in vectors.
inline constexpr index_t kIndirectVectors = 4;

/// The product of windows that stay where they are with packed panels.
template <typename T>
struct IndirectKernels {
    /// Tiles of the indirect product by the vectors of their right panel, less one.
    IndirectTile<T> tiles[kIndirectVectors];
    /// out[c * out_stride + r] = tile[r * tile_stride + c] + bias[c] for r < rows, c < cols; bias
    /// may be null. Reads whole vectors of the tile's rows.
    void (*store_transposed)(index_t rows, index_t cols, const T* tile, index_t tile_stride,
                             const T* bias, T* out, index_t out_stride);
};

}  // namespace pocketcnn
