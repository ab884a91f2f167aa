// Convolution of planes, each by a window of weights of its own.
#pragma once

#include <pocketcnn/types.h>

namespace pocketcnn {

/// A column of a kernel: what it sees of a row begins `offset` elements from the row's start, and
/// its weights `weight` elements from the start of the weights.
struct DepthwiseColumn {
    index_t offset, weight;
};

/// Depthwise convolution of planes of the source: sum c of row r is over the taps (ky, column) of
/// weight[ky * weight_step + column.weight] times source element c * stride_x + column.offset of
/// row r * stride_y + ky - before. Rows outside of [0, source_rows) do not exist and count as zero,
/// and so do elements outside of a row, though they may be read: of a row, [low, high) for the
/// smallest offset and a vector of sums that begins at the last multiple of its lanes. `inside`,
/// to be read like a row, has all bits set in elements of a row, and none in others.
template <typename T>
struct DepthwiseRows {
    index_t planes;
    index_t rows, cols;
    index_t taps_y, stride_y, stride_x;
    const DepthwiseColumn* columns;
    const T* inside;
    const T* zeros;
    index_t pitch, before, source_rows;
    index_t weight_step;
    index_t step;  ///< from a row of the output to the next
    index_t source_plane, weight_plane,
        plane;  ///< from a plane to the next: source, weights, output
};

/// Where sums go. With one phase, sum c is element c of a row; with two, those of the columns up to
/// ends[0] are the even elements, and those of the others the odd ones.
template <typename T>
struct DepthwiseSums {
    index_t phases;
    index_t ends[2];  ///< of the columns of a phase
    index_t width;    ///< elements of a row
    index_t room;     ///< elements that may be written from the output's start on, in order
    const T* start;   ///< [planes], what each sum starts from; zero if null
    bool rectify;     ///< whether zero takes the place of negative results
};

inline constexpr index_t kDepthwiseTaps = 7;
/// Rows that a tile computes together.
inline constexpr index_t kDepthwiseTile = 7;

/// Whether the kernels have loops for tiles, which take any number of columns.
constexpr bool has_depthwise_tiles(index_t taps_y, index_t stride_y, index_t stride_x) {
    return taps_y <= kDepthwiseTaps && stride_y == stride_x &&
           (stride_y == 1 || (stride_y == 2 && taps_y % 2 == 1 && taps_y > 1));
}

/// Whether they have loops for strips.
constexpr bool has_depthwise_strips(index_t taps_y, index_t taps_x, index_t stride_y,
                                    index_t stride_x, bool backward) {
    return taps_y == taps_x && (taps_y == 3 || (taps_y == 5 && !backward)) && stride_y <= 2 &&
           stride_x <= 2;
}

template <typename T>
struct DepthwiseKernels {
    /// Rows are written in order, and vectors run over their ends where there is room.
    void (*correlate)(const DepthwiseRows<T>& rows, const DepthwiseSums<T>& sums, const T* weight,
                      const T* source, T* y);
    /// The gradient of what a kernel of 3x3 or 5x5 with strides of two saw, from its output, the
    /// source: what row r of y collects of source row i has weights (r + before - 2 i) *
    /// weight_step, as far as the kernel has these. The first row of weights is that of the kernel.
    void (*spread)(const DepthwiseRows<T>& rows, const DepthwiseSums<T>& sums, const T* weight,
                   const T* source, T* y);
    /// sums[plane][ky][column < columns][lane] += the sum over the rows of dy times what the tap
    /// sees. Whole vectors of dy are read, up to one less an element past the end of the last row.
    void (*correlate_backward)(const DepthwiseRows<T>& rows, index_t columns, const T* dy,
                               const T* source, T* sums);
};

}  // namespace pocketcnn
