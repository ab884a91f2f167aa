// Products of matrices that are read where they stand.
#pragma once

#include <pocketcnn/types.h>

namespace pocketcnn {

/// Rows of x and of w, `depth` elements each, whose dot products form a block of y.
struct DotBlock {
    index_t rows, cols, depth;
    index_t x_stride, w_stride, y_stride;
};

template <typename T>
struct UnpackedKernels {
    /// y[r][c] += the dot product of row r of x with row c of w.
    void (*dots)(const DotBlock& block, const T* x, const T* w, T* y);
    /// The same with weights of 16 bits; only for float.
    void (*narrow_dots)(const DotBlock& block, const T* x, const BFloat16* w, T* y);
    /// y[r * y_stride + c] = sum over k of x[r * x_stride + k] * w[k * stride + c], c < cols.
    void (*few_rows_sums)(index_t rows, index_t cols, index_t depth, const T* x, index_t x_stride,
                          const T* w, index_t stride, T* y, index_t y_stride);
};

}  // namespace pocketcnn
