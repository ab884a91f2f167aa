// Convolutions of images whose channels lie together, pixel by pixel. The channels of a pixel are
// whole vectors: where there are fewer, what fills them up is finite and meets weights of zero.
#pragma once

#include <pocketcnn/types.h>

namespace pocketcnn {

/// What becomes of sums before they are stored: sum + bias + addend, not below `low` and not above
/// `high`; NaN stays NaN.
template <typename T>
struct SumsEnd {
    const T* bias;              ///< of the columns
    const T* addend = nullptr;  ///< lies as the result does; may be null
    T low, high;
};

/// Pixels of a result, of which a panel of columns is written (see gemm::Panels).
struct PanelRows {
    index_t vectors;  ///< of the panel
    index_t pitch;    ///< from one pixel to the next
    index_t width;    ///< pixels of a line
    index_t gap;      ///< elements between two lines, beyond the pitch
};

template <typename T>
struct ChannelsLastKernels {
    /// y[i][j] = sum over k < depth of x[i * x_pitch + k] * panel[k][j], for i < rows.
    void (*multiply)(index_t rows, index_t depth, const T* x, index_t x_pitch, const T* panel,
                     const SumsEnd<T>& end, const PanelRows& to, T* y);
    /// y[i][j] = sum over t < taps of x[i * step + offsets[t] + j] * weight[t][j], for a line of
    /// `to.width` pixels.
    void (*depthwise)(index_t taps, const index_t* offsets, const T* x, index_t step,
                      const T* weight, const SumsEnd<T>& end, const PanelRows& to, T* y);
    /// y[i][j] = x[i][j] * numbers[j], for i < rows, j < cols, whole vectors one after the other.
    void (*scale_rows)(index_t rows, index_t cols, const T* x, const T* numbers, T* y);
    /// sums[j] += the sum over i < rows of x[i][j].
    void (*add_rows)(index_t rows, index_t cols, const T* x, T* sums);
};

}  // namespace pocketcnn
