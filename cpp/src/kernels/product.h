// The register tile of the matrix product, and what is made of it.
#pragma once

#include <pocketcnn/types.h>

namespace pocketcnn {

/// What a tile of a product asks for besides its operands: `count` elements, `step` apart, one at
/// each step of the depth. It reads none of them.
template <typename T>
struct PanelAhead {
    const T* data = nullptr;
    index_t step = 0;
    index_t count = 0;
};

/// A product whose right operand and result are rows in memory. Panels of the left are
/// `left_stride` apart; there are at least as many columns as a register tile has.
struct RowProduct {
    index_t rows, cols, depth;
    index_t left_stride, right_stride, y_stride;
};

inline constexpr index_t kProductVectors = 3;

/// The product of packed panels.
template <typename T>
struct ProductKernels {
    /// Tile of the matrix product: `rows` x `cols` accumulators in registers.
    index_t rows;
    index_t cols;
    /// tile[rows][cols] (+)= sum over k < depth of left[k][rows] * right[k][cols]: of so many
    /// vectors of the columns, less one, the others of which become zero where nothing is added.
    void (*multiply[kProductVectors])(index_t depth, const T* left, const T* right,
                                      const PanelAhead<T>& ahead, T* tile, bool accumulate);
    /// y[r * y_stride + c] = bias[r] + sum over k < depth of left[k][r] * right[k * right_stride +
    /// c], where left is a panel for every `rows` rows, and bias may be null. Nothing but these
    /// elements of right is read.
    void (*multiply_rows)(const RowProduct& size, const T* left, const T* right, const T* bias,
                          T* y);
    /// out[r * out_stride + c] = tile[r][c] + bias[r] for r < rows, c < cols; bias may be null.
    /// Rows of the tile are `cols` of the table apart.
    void (*store_tile)(index_t rows, index_t cols, const T* tile, const T* bias, T* out,
                       index_t out_stride);
};

}  // namespace pocketcnn
