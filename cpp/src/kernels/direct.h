// Convolution of few channels or filters without a matrix product.
#pragma once

#include <pocketcnn/types.h>

namespace pocketcnn {

/// Rows of filters against shifted rows of an image.
template <typename T>
struct DirectKernels {
    /// Most rows that one call of correlate or correlate_backward takes.
    index_t rows;
    /// out[r * out_stride + p] = bias[r] + sum over k < taps of weights[k * rows + r] *
    /// source[offsets[k] + p] for r < rows and p < pixels, in sums of some hundred taps. Adds to
    /// what is in out where bias is null. Reads the source up to a vector past the last pixel.
    void (*correlate)(index_t rows, index_t pixels, index_t taps, const index_t* offsets,
                      const T* weights, const T* bias, const T* source, T* out, index_t out_stride);
    /// sums[r][k][p % lanes] += dy[r * dy_stride + p] * source[offsets[k] + p] for r < rows,
    /// k < taps and p < pixels. Multiplies up to a vector of the source past them by zero.
    void (*correlate_backward)(index_t rows, index_t pixels, index_t taps, const T* dy,
                               index_t dy_stride, const index_t* offsets, const T* source, T* sums);
    /// to[i] = the sum of the lanes of sums[i], i < size.
    void (*fold_lanes)(index_t size, const T* sums, T* to);
};

}  // namespace pocketcnn
