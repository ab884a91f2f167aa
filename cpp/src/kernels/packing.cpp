// Packing: copies that bring the operands of the product into panels [depth][width].
#include "kernels/tile.h"
#include "kernels/topics.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

// Copies `count` elements in whole vectors; up to a vector more is read and written.
template <typename T>
inline void copy_vectors(index_t count, const T* from, T* to) {
    for (index_t i = 0; i < count; i += kLanes<T>) store(to + i, load(from + i));
}

template <typename T>
void pack_rows(index_t depth, index_t lanes, index_t width, const T* source, index_t depth_stride,
               T* panel) {
    if (lanes == kTileRows && width == kTileRows) {  // less than a vector, mostly
        for (index_t k = 0; k < depth; ++k) {
            __builtin_memcpy(panel + k * kTileRows, source + k * depth_stride,
                             kTileRows * sizeof(T));
        }
        return;
    }
    for (index_t k = 0; k < depth; ++k) {
        const T* from = source + k * depth_stride;
        T* to = panel + k * width;
        index_t lane = 0;
        for (; lane + kLanes<T> <= lanes; lane += kLanes<T>) store(to + lane, load(from + lane));
        for (; lane < lanes; ++lane) to[lane] = from[lane];
        for (; lane < width; ++lane) to[lane] = 0;
    }
}

// A transpose reads more streams at once than the processor follows by itself: each is asked for so
// many vectors ahead.
inline constexpr int kSquaresAhead = 4;

// One square of the transpose: up to kLanes columns of the source become kLanes rows of the
// panel; columns that the source lacks are zero.
template <typename T>
inline void transpose_square(index_t lanes, const T* source, index_t lane_stride, T* panel,
                             index_t width) {
    Vec<T> square[kLanes<T>];
#pragma GCC unroll 16
    for (int i = 0; i < kLanes<T>; ++i) {
        square[i] = i < lanes ? load(source + i * lane_stride) : Vec<T>{};
        __builtin_prefetch(source + i * lane_stride + kSquaresAhead * kLanes<T>);
    }
    interleave_all<T>(square);
#pragma GCC unroll 16
    for (int i = 0; i < kLanes<T>; ++i) store(panel + i * width, square[i]);
}

// kLanes rows of a left panel, where that is narrower than a vector.
template <typename T>
inline void transpose_narrow(index_t lanes, const T* source, index_t lane_stride, T* panel) {
    Vec<T> rows[kTileRows];
#pragma GCC unroll 16
    for (int i = 0; i < kTileRows; ++i) {
        rows[i] = i < lanes ? load(source + i * lane_stride) : Vec<T>{};
        __builtin_prefetch(source + i * lane_stride + kSquaresAhead * kLanes<T>);
    }
    interleave_all<T>(rows);
#pragma GCC unroll 16
    for (int i = 0; i < kTileRows; ++i) store(panel + i * kLanes<T>, rows[i]);
}

template <typename T>
void pack_columns(index_t depth, index_t lanes, index_t width, const T* source, index_t lane_stride,
                  T* panel) {
    const bool is_narrow = kTileRows < kLanes<T> && width == kTileRows;
    const auto squares = [&](index_t k) {
        for (index_t lane = 0; lane < width; lane += kLanes<T>) {
            transpose_square(lanes - lane, source + lane * lane_stride + k, lane_stride,
                             panel + k * width + lane, width);
        }
    };
    index_t k = 0;
    for (; k + kLanes<T> <= depth; k += kLanes<T>) {
        if (is_narrow) {
            transpose_narrow(lanes, source + k, lane_stride, panel + k * width);
        } else {
            squares(k);
        }
    }
    // The last squares overlap those before them.
    if (k < depth && k > 0 && !is_narrow) {
        squares(depth - kLanes<T>);
        return;
    }
    for (; k < depth; ++k) {
        for (index_t lane = 0; lane < width; ++lane) {
            panel[k * width + lane] = lane < lanes ? source[lane * lane_stride + k] : T{0};
        }
    }
}

template <typename T>
void pack_runs(index_t depth, const index_t* offsets, const LaneRun* runs, index_t run_count,
               index_t width, const T* source, T* panel) {
    for (index_t k = 0; k < depth; ++k) {
        const T* from = source + offsets[k];
        T* to = panel + k * width;
        // The same rows follow in the next panel; between them lie the other rows.
        const T* next = from + runs[run_count - 1].source + runs[run_count - 1].count;
        for (index_t i = 0; i < width; i += kLanes<T>) __builtin_prefetch(next + i);
        for (index_t r = 0; r < run_count; ++r) {
            copy_vectors(runs[r].count, from + runs[r].source, to + runs[r].lane);
        }
    }
}

template <typename T>
constexpr PackingKernels<T> kKernels = {
    .pack_rows = pack_rows<T>,
    .pack_columns = pack_columns<T>,
    .pack_runs = pack_runs<T>,
};

}  // namespace

const Topic<PackingKernels> packing_kernels = {kKernels<float>, kKernels<double>};

}  // namespace pocketcnn::POCKETCNN_ISA
