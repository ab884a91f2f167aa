// Dot products of rows with rows, both read where they stand: what y = x * transpose(w) needs.
// Packing them, as the blocked product does, would move the weights twice more.
#include "kernels/rows.h"
#include "kernels/sums.h"
#include "kernels/tile.h"
#include "kernels/topics.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

// Rows and columns of a tile: as many accumulators as the registers hold beside the operands.
inline constexpr int kDotRows = kVectorRegisters >= 32 ? 5 : 4;
constexpr int dot_cols(int rows) {
    constexpr int wide[] = {8, 8, 7, 6, 5}, narrow[] = {6, 5, 3, 3};
    return kVectorRegisters >= 32 ? wide[rows - 1] : narrow[rows - 1];
}

// y[r][c] += the sum of the lanes of sum r * cols + c. In a function of its own, and by way of
// memory, because beside it the compiler kept two accumulators of the loop on the stack.
template <typename T>
[[gnu::noinline]] void add_lane_sums(index_t rows, index_t cols, const T* sums, T* y,
                                     index_t y_stride) {
    constexpr int lanes = kLanes<T>;
    constexpr int most = kDotRows * 8;
    T totals[most + lanes];
    for (index_t i = 0; i < rows * cols; i += lanes) store(totals + i, lane_sums(sums + i * lanes));
    const T* total = totals;
    for (index_t r = 0; r < rows; ++r, y += y_stride) {
        for (index_t c = 0; c < cols; ++c) y[c] += *total++;
    }
}

template <typename T, typename W, int rows, int cols>
inline void dot_tile(const DotBlock& block, const T* x, const W* w, T* y) {
    constexpr int lanes = kLanes<T>;
    index_t x_stride = block.x_stride, w_stride = block.w_stride;
    const index_t rest = block.depth % lanes;
    index_t end = block.depth - rest;
    Vec<T> sum[rows][cols] = {};
    T left[rows * lanes];
    W right[cols * lanes];
    // The second time for what is left of a vector.
    for (bool again = rest > 0;; again = false) {
        for (index_t k = 0; k < end; k += lanes) {
            add_products<T, rows, cols>(
                sum, [&](int r) { return load(x + r * x_stride + k); },
                [&](int c) { return load(w + c * w_stride + k); });
        }
        if (!again) break;
        copy_rests(rows, rest, x + end, x_stride, left);
        copy_rests(cols, rest, w + end, w_stride, right);
        x = left;
        w = right;
        x_stride = w_stride = end = lanes;
    }
    constexpr int padded = (rows * cols + lanes - 1) / lanes * lanes;
    T sums[padded * lanes];
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
        for (int c = 0; c < cols; ++c) store(sums + (r * cols + c) * lanes, sum[r][c]);
    }
#pragma GCC unroll 16
    for (int i = rows * cols; i < padded; ++i) store(sums + i * lanes, Vec<T>{});
    add_lane_sums<T>(rows, cols, sums, y, block.y_stride);
}

// Calls tiles<n>(), which takes as many rows or columns as there are n at a time, for n = most and
// then for what is left: with weights of float one tile of that size, with others tiles of powers
// of two, which are fewer functions.
template <typename W, int most, typename Left, typename Tiles>
[[gnu::always_inline]] inline void for_tile_sizes(const Left& left, const Tiles& tiles) {
    tiles.template operator()<most>();
    if constexpr (sizeof(W) == sizeof(float)) {
        dispatch<most - 1>(left(), tiles);
    } else {
        if constexpr (most > 4) tiles.template operator()<4>();
        tiles.template operator()<2>();
        tiles.template operator()<1>();
    }
}

template <typename T, typename W, int rows>
void dot_rows(const DotBlock& block, const T* x, const W* w, T* y) {
    index_t c = 0;
    for_tile_sizes<W, dot_cols(rows)>([&] { return block.cols - c; },
                                      [&]<int cols>() {
                                          for (; c + cols <= block.cols; c += cols) {
                                              dot_tile<T, W, rows, cols>(
                                                  block, x, w + c * block.w_stride, y + c);
                                          }
                                      });
}

template <typename T, typename W>
void dots(const DotBlock& block, const T* x, const W* w, T* y) {
    index_t r = 0;
    for_tile_sizes<W, kDotRows>([&] { return block.rows - r; },
                                [&]<int rows>() {
                                    for (; r + rows <= block.rows; r += rows) {
                                        dot_rows<T, W, rows>(block, x + r * block.x_stride, w,
                                                             y + r * block.y_stride);
                                    }
                                });
}

// A few rows times a large matrix that is read once.

template <typename T>
void few_rows_sums(index_t rows, index_t cols, index_t depth, const T* x, index_t x_stride,
                   const T* w, index_t stride, T* y, index_t y_stride) {
    for (index_t r = 0; r < rows; ++r) {
        for (index_t c = 0; c < cols; ++c) y[r * y_stride + c] = 0;
    }
    // Four rows of w at a time, so that results are loaded and stored less often than w is.
    index_t k = 0;
    for (; k + 4 <= depth; k += 4, w += 4 * stride) {
        for (index_t r = 0; r < rows; ++r) {
            const T* f = x + r * x_stride + k;
            const T f0 = f[0], f1 = f[1], f2 = f[2], f3 = f[3];
            T* out = y + r * y_stride;
            for (index_t c = 0; c < cols; ++c) {
                out[c] += (f0 * w[c] + f1 * w[stride + c]) +
                          (f2 * w[2 * stride + c] + f3 * w[3 * stride + c]);
            }
        }
    }
    for (; k < depth; ++k, w += stride) {
        for (index_t r = 0; r < rows; ++r) {
            const T f = x[r * x_stride + k];
            for (index_t c = 0; c < cols; ++c) y[r * y_stride + c] += f * w[c];
        }
    }
}

constexpr auto narrow_dots(float /*of*/) {
    return dots<float, BFloat16>;
}
constexpr auto narrow_dots(double /*of*/) {
    return nullptr;
}

template <typename T>
constexpr UnpackedKernels<T> kKernels = {
    .dots = dots<T, T>,
    .narrow_dots = narrow_dots(T{}),
    .few_rows_sums = few_rows_sums<T>,
};

}  // namespace

const Topic<UnpackedKernels> unpacked_kernels = {kKernels<float>, kKernels<double>};

}  // namespace pocketcnn::POCKETCNN_ISA
