// Convolution of a plane by one window of weights.
#pragma once

#include <pocketcnn/types.h>

namespace pocketcnn {

/// Rows of a depthwise convolution of one plane: row r of the output is the sum over the taps
/// (ky, kx) of weight[ky * weight_step + kx] times the elements from
/// source[(r * stride_y + ky) * pitch + offsets[kx]] on. What is read past a row's last element
/// does not show.
struct DepthwiseRows {
    index_t rows, cols;
    index_t taps_y, taps_x, stride_y;  ///< as has_depthwise says; taps_x may be any
    index_t pitch;
    const index_t* offsets;  ///< [taps_x]
    index_t weight_step;
    index_t step;  ///< from a row of the output to the next
    index_t room;  ///< elements of the output that may be written from its start on, in order
};

/// Whether the kernels have loops for so many rows of taps and this stride between rows.
inline constexpr index_t kDepthwiseTaps = 7;

constexpr bool has_depthwise(index_t taps_y, index_t stride_y) {
    return taps_y <= kDepthwiseTaps &&
           (stride_y == 1 || (stride_y == 2 && taps_y % 2 == 1 && taps_y > 1));
}

template <typename T>
struct DepthwiseKernels {
    /// Each row of y is start + the sum over its taps. Rows are written in order, and vectors run
    /// over their ends where there is room. Asks for what lies from `ahead` on, but reads none.
    void (*correlate)(const DepthwiseRows& rows, const T* weight, T start, const T* source,
                      const T* ahead, T* y);
    /// sums[kx][ky][lane] += the sum over the rows of dy times what tap (ky, kx) sees. Whole
    /// vectors of dy are read, up to one less an element past the end of the last row.
    void (*correlate_backward)(const DepthwiseRows& rows, const T* dy, const T* source,
                               const T* ahead, T* sums);
};

}  // namespace pocketcnn
