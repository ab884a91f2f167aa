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

/// Where pixels lie: lines of them, each as long.
struct PixelGrid {
    index_t step;   ///< from one pixel to the next
    index_t width;  ///< pixels of a line
    index_t line;   ///< from one line to the next
};

/// What a sum is over: `count` runs of `length` elements that follow each other.
struct ElementRuns {
    index_t count, length;
    const index_t* offsets;  ///< of the runs, from a pixel on
};

/// The taps of a window: rows x cols of them, so many elements apart.
struct Taps {
    index_t rows, cols;
    index_t row_step, col_step;
};

template <typename T>
struct ChannelsLastKernels {
    /// For pixels i < count and the columns of a panel of so many vectors: y[i][j] = the sum over
    /// the elements x[i][k] of the runs of x[i][k] * panel[k][j].
    void (*multiply)(index_t count, index_t vectors, const T* x, const PixelGrid& from,
                     const ElementRuns& runs, const T* panel, const SumsEnd<T>& end, T* y,
                     const PixelGrid& to);
    /// For some lines of pixels: y[i][j] = the sum over the taps of a window of x[i][tap + j] *
    /// weight[tap][j].
    void (*depthwise)(index_t lines, index_t vectors, const Taps& taps, const T* x,
                      const PixelGrid& from, const T* weight, const SumsEnd<T>& end, T* y,
                      const PixelGrid& to);
    /// Likewise y[i][j] = the largest of x[i][tap + j]; NaN if one is.
    void (*largest)(index_t lines, index_t vectors, const Taps& taps, const T* x,
                    const PixelGrid& from, T* y, const PixelGrid& to);
    /// y[i][j] = x[i][j] * numbers[j], for i < rows, j < cols, whole vectors one after the other.
    void (*scale_rows)(index_t rows, index_t cols, const T* x, const T* numbers, T* y);
    /// sums[j] += the sum over i < rows of x[i][j].
    void (*add_rows)(index_t rows, index_t cols, const T* x, T* sums);
};

}  // namespace pocketcnn
