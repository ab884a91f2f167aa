// The register tile of the matrix product. It is the only inner loop that convolution and the
// fully connected layer spend their time in.
#include "kernels/tile.h"
#include "kernels/topics.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

template <typename T, int vectors>
void multiply(index_t depth, const T* left, const T* right, const PanelAhead<T>& ahead, T* tile,
              bool accumulate) {
    constexpr int lanes = kLanes<T>;
    constexpr int cols = kTileVectors * lanes;
    Vec<T> sum[kTileRows][vectors] = {};
    const auto step = [&]() __attribute__((always_inline)) {
        if constexpr (kManyRegisters) __builtin_prefetch(left + kTileRows * 64);
        prefetch_panel<T, kTileVectors, kDepthAhead>(right);
        Vec<T> r[vectors];
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) r[v] = load(right + v * lanes);
#pragma GCC unroll 16
        for (int i = 0; i < kTileRows; ++i) {
            const Vec<T> l = splat(left[i]);
#pragma GCC unroll 8
            for (int v = 0; v < vectors; ++v) add_product(sum[i][v], l, r[v]);
        }
        left += kTileRows;
        right += cols;
    };
    const index_t asked = ahead.count < depth ? ahead.count : depth;
    const T* next = ahead.data;
    for (index_t k = 0; k < asked; ++k) {
        prefetch_to_second_cache(next);
        next += ahead.step;
        step();
    }
    for (index_t k = asked; k < depth; ++k) step();
#pragma GCC unroll 16
    for (int i = 0; i < kTileRows; ++i) {
#pragma GCC unroll 8
        for (int v = 0; v < kTileVectors; ++v) {
            T* out = tile + i * cols + v * lanes;
            const Vec<T> of = v < vectors ? sum[i][v < vectors ? v : 0] : Vec<T>{};
            store(out, accumulate ? load(out) + of : of);
        }
    }
}

template <typename T>
void store_tile(index_t rows, index_t cols, const T* tile, const T* bias, T* out,
                index_t out_stride) {
    for (index_t r = 0; r < rows; ++r) {
        const T b = bias != nullptr ? bias[r] : T{0};
        index_t c = 0;
        for (; c + kLanes<T> <= cols; c += kLanes<T>) store(out + c, load(tile + c) + splat(b));
        for (; c < cols; ++c) out[c] = tile[c] + b;
        tile += kTileVectors * kLanes<T>;
        out += out_stride;
    }
}

// A tile whose right operand lies in rows of its own, `right_stride` apart, and whose result is
// stored where it belongs. The rows of the left panel are kTileRows long, whatever `rows` is.
template <typename T, int rows, int vectors>
inline void row_tile(const RowProduct& size, const T* left, const T* right, const T* bias, T* y) {
    constexpr int lanes = kLanes<T>;
    Vec<T> sum[rows][vectors] = {};
    for (index_t k = 0; k < size.depth; ++k) {
        if constexpr (kManyRegisters) __builtin_prefetch(left + kTileRows * 64);
        Vec<T> r[vectors];
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) r[v] = load(right + v * lanes);
#pragma GCC unroll 16
        for (int i = 0; i < rows; ++i) {
            const Vec<T> l = splat(left[i]);
#pragma GCC unroll 8
            for (int v = 0; v < vectors; ++v) add_product(sum[i][v], l, r[v]);
        }
        left += kTileRows;
        right += size.right_stride;
    }
    const index_t stored = size.rows < rows ? size.rows : index_t{rows};
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
        if (i >= stored) break;
        const Vec<T> b = splat(bias != nullptr ? bias[i] : T{0});
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) store(y + i * size.y_stride + v * lanes, sum[i][v] + b);
    }
}

// All rows of one panel of columns. Each tile first prefetches the lines that it will store to and
// for its share of the next panel's rows, which no processor foresees: they are far apart.
template <typename T, int vectors>
inline void row_panel(const RowProduct& size, const T* left, const T* right, const T* bias,
                      bool last, T* y) {
    constexpr int lanes = kLanes<T>, half = kTileRows / 2;
    const index_t tiles = (size.rows + kTileRows - 1) / kTileRows;
    RowProduct rest = size;
    for (index_t t = 0; t < tiles; ++t) {
        const index_t stored = rest.rows < kTileRows ? rest.rows : index_t{kTileRows};
        for (index_t i = 0; i < stored; ++i) {
            for (int v = 0; v < vectors; ++v) {
                prefetch_for_writing(y + i * size.y_stride + v * lanes);
            }
        }
        const index_t share_end = last ? 0 : (t + 1) * size.depth / tiles;
        for (index_t k = t * size.depth / tiles; k < share_end; ++k) {
            for (int v = 0; v < vectors; ++v) {
                prefetch_to_second_cache(right + k * size.right_stride + (vectors + v) * lanes);
            }
        }
        if (stored <= half) {
            row_tile<T, half, vectors>(rest, left, right, bias, y);
        } else {
            row_tile<T, kTileRows, vectors>(rest, left, right, bias, y);
        }
        left += size.left_stride;
        if (bias != nullptr) bias += kTileRows;
        y += kTileRows * size.y_stride;
        rest.rows -= kTileRows;
    }
}

template <typename T>
void multiply_rows(const RowProduct& size, const T* left, const T* right, const T* bias, T* y) {
    constexpr index_t lanes = kLanes<T>, width = kTileVectors * lanes;
    index_t c = 0;
    for (; c + width <= size.cols; c += width) {
        row_panel<T, kTileVectors>(size, left, right + c, bias, c + width >= size.cols, y + c);
    }
    // The last panel is as narrow as whole vectors allow, and overlaps the one before it.
    const index_t rest = size.cols - c;
    if (rest > 2 * lanes) {
        c = size.cols - 3 * lanes;
        row_panel<T, 3>(size, left, right + c, bias, true, y + c);
    } else if (rest > lanes) {
        c = size.cols - 2 * lanes;
        row_panel<T, 2>(size, left, right + c, bias, true, y + c);
    } else if (rest > 0) {
        c = size.cols - lanes;
        row_panel<T, 1>(size, left, right + c, bias, true, y + c);
    }
}

template <typename T>
constexpr ProductKernels<T> kKernels = {
    .rows = kTileRows,
    .cols = index_t{kTileVectors} * kLanes<T>,
    .multiply = {multiply<T, 1>, multiply<T, 2>, multiply<T, 3>},
    .multiply_rows = multiply_rows<T>,
    .store_tile = store_tile<T>,
};

}  // namespace

const Topic<ProductKernels> product_kernels = {kKernels<float>, kKernels<double>};

}  // namespace pocketcnn::POCKETCNN_ISA
