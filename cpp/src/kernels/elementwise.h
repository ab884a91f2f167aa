// Sums of arrays and of their elements, and what dropout leaves of an array.
#pragma once

#include <pocketcnn/types.h>

namespace pocketcnn {

template <typename T>
struct ElementwiseKernels {
    /// y[i] += x[i]
    void (*add)(index_t size, const T* x, T* y);
    /// to[offsets[r] + c] += tile[r * tile_stride + c] for r < rows, c < cols, row by row. Whole
    /// vectors are read and written, the last ones' other elements as they were.
    void (*add_rows)(index_t rows, index_t cols, const T* tile, index_t tile_stride,
                     const index_t* offsets, T* to);
    /// y[i] = a[i] + b[i], and zero where that is negative if `rectify`.
    void (*add_two)(index_t size, const T* a, const T* b, bool rectify, T* y);
    /// mask[i] = scale where draws[i] >= p, else zero; y[i] = x[i] * scale there, else zero.
    void (*drop)(index_t size, const T* x, const float* draws, float p, T scale, T* y, T* mask);
    /// The sum of x, in a fixed order, accumulated in lanes that are joined in double after some
    /// hundred additions.
    double (*sum)(index_t size, const T* x);
};

}  // namespace pocketcnn
