// The indirect product (after M. Dukhan, The Indirect Convolution Algorithm, 2019): the left
// operand stays where it is and is read through two lists of offsets, so that a window's taps need
// no packing. Its elements are broadcast; only the right operand, which the rows share, is packed.
#include "kernels/rows.h"
#include "kernels/tile.h"
#include "kernels/topics.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

// Rows of the tile by the vectors of the right panel: as many accumulators as hide the latency of
// the multiply-adds, and no more rows than there are registers for their addresses. Where the right
// panel streams from the second cache, panels of three or four vectors reach 91% of the peak with
// AVX-512, those of two 80 to 84% (12 rows of two, 78%); of one vector alone the loads are the
// limit.
inline constexpr int kIndirectRows[] = {8, kVectorRegisters >= 32 ? 8 : 6,
                                        kVectorRegisters >= 32 ? 8 : 4,
                                        kVectorRegisters >= 32 ? 6 : 0};

// A panel of one vector prefetches nothing: its loads are the limit, and it mostly fits the first
// cache.
template <typename T, int vectors>
void multiply_indirect(index_t depth, const T* left, const index_t* row_offsets,
                       const index_t* depth_offsets, const T* right, const PanelAhead<T>& ahead,
                       T* tile, bool accumulate) {
    constexpr int lanes = kLanes<T>, rows = kIndirectRows[vectors - 1], cols = vectors * lanes;
    const T* row[rows];
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) row[i] = left + row_offsets[i];
    Vec<T> sum[rows][vectors] = {};
    const auto step = [&](index_t k) __attribute__((always_inline)) {
        const index_t offset = depth_offsets[k];
        if constexpr (vectors > 1) prefetch_panel<T, vectors, kDepthAhead>(right);
        Vec<T> r[vectors];
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) r[v] = load(right + v * lanes);
#pragma GCC unroll 16
        for (int i = 0; i < rows; ++i) {
            const Vec<T> l = splat(row[i][offset]);
#pragma GCC unroll 8
            for (int v = 0; v < vectors; ++v) add_product(sum[i][v], l, r[v]);
        }
        right += cols;
    };
    index_t k = 0;
    if constexpr (vectors > 1) {
        const index_t asked = ahead.count < depth ? ahead.count : depth;
        const T* next = ahead.data;
        for (; k < asked; ++k, next += ahead.step) {
            prefetch_to_second_cache(next);
            step(k);
        }
    }
    for (; k < depth; ++k) step(k);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) {
            T* out = tile + i * cols + v * lanes;
            store(out, accumulate ? load(out) + sum[i][v] : sum[i][v]);
        }
    }
}

// The tile of a width; none where that needs more registers than there are.
template <typename T, int vectors>
constexpr IndirectTile<T> indirect_tile() {
    if constexpr (kIndirectRows[vectors - 1] > 0) {
        return {kIndirectRows[vectors - 1], multiply_indirect<T, vectors>};
    } else {
        return {};
    }
}

// A transpose writes more streams at once than the processor follows by itself: of each, the cache
// line so many vectors on is asked for. 3x3, 64x56 to 64: 4% of the whole forward pass.
inline constexpr int kSquaresAheadOut = 3;

// Up to kLanes rows of the tile as parts of kLanes rows of the result.
template <typename T>
inline void store_square(index_t rows, index_t cols, const T* tile, index_t tile_stride,
                         const T* bias, T* out, index_t out_stride) {
    Vec<T> square[kLanes<T>];
#pragma GCC unroll 16
    for (int i = 0; i < kLanes<T>; ++i) {
        square[i] = i < rows ? load(tile + i * tile_stride) : Vec<T>{};
    }
    interleave_all<T>(square);
    for (index_t c = 0; c < cols; ++c) {
        const Vec<T> values = bias != nullptr ? square[c] + splat(bias[c]) : square[c];
        if (rows == kLanes<T>) {
            prefetch_for_writing(out + c * out_stride + kSquaresAheadOut * kLanes<T>);
            store(out + c * out_stride, values);
        } else {
            T parts[kLanes<T>];
            store(parts, values);
            copy_few(rows, parts, out + c * out_stride);
        }
    }
}

template <typename T>
void store_transposed(index_t rows, index_t cols, const T* tile, index_t tile_stride, const T* bias,
                      T* out, index_t out_stride) {
    constexpr index_t lanes = kLanes<T>;
    for (index_t c = 0; c < cols; c += lanes) {
        const index_t width = cols - c < lanes ? cols - c : lanes;
        for (index_t r = 0; r < rows; r += lanes) {
            store_square<T>(rows - r < lanes ? rows - r : lanes, width, tile + r * tile_stride + c,
                            tile_stride, bias != nullptr ? bias + c : nullptr,
                            out + c * out_stride + r, out_stride);
        }
    }
}

template <typename T>
constexpr IndirectKernels<T> kKernels = {
    .tiles = {indirect_tile<T, 1>(), indirect_tile<T, 2>(), indirect_tile<T, 3>(),
              indirect_tile<T, 4>()},
    .store_transposed = store_transposed<T>,
};

}  // namespace

const Topic<IndirectKernels> indirect_kernels = {kKernels<float>, kKernels<double>};

}  // namespace pocketcnn::POCKETCNN_ISA
