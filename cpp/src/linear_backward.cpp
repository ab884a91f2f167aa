// The gradients of the fully connected layer, and the optimiser's step with that of its weights.
#include <algorithm>
#include <vector>

#include "gemm/gemm.h"
#include "gemm/long_sums.h"
#include "gemm/matrix.h"
#include "linear_sizes.h"
#include "runtime/add_in_order.h"
#include "runtime/cut.h"
#include "runtime/isa.h"
#include "runtime/parallel.h"

namespace pocketcnn {
namespace {

/// Whether it is better to read the right operand in place, row by row: the depth must be one
/// slice, and rows a multiple of 512 bytes apart would push each other out of the L1 cache.
template <typename T>
bool reads_rows(const Kernels<T>& kernels, index_t cols, index_t depth) {
    constexpr index_t bad_stride = 512;
    return cols >= kernels.product.cols && depth <= gemm::kDepthBlock &&
           cols * index_t{sizeof(T)} % bad_stride != 0;
}

/// Whether few of the lanes that multiply_rows computes for a row are computed twice.
template <typename T>
bool fills_vectors(const Kernels<T>& kernels, index_t cols) {
    constexpr index_t most = 8;  // one in so many
    return cols >= kernels.product.cols && most * (round_up(cols, kernels.lanes) - cols) <= cols;
}

/// Some lanes of an operand, at some depths.
template <typename T>
gemm::Operand<T> part_of(const gemm::Operand<T>& operand, index_t lane, index_t lanes,
                         index_t depth) {
    const T* const data = operand.data + lane * operand.lane_stride + depth * operand.depth_stride;
    return {data, lanes, operand.lane_stride, operand.depth_stride};
}

/// Rows [0, left.lanes) of left * right: the rows are packed, the columns read in place.
template <typename T>
void multiply_in_place(const gemm::Operand<T>& left, const gemm::Operand<T>& right, index_t depth,
                       T* result) {
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const index_t cols = right.lanes;
    const gemm::PackedLeft<T> packed(kernels, left, depth);
    kernels.product.multiply_rows(
        {left.lanes, cols, depth, packed.panel_size(), right.depth_stride, cols},
        packed.panel(0, 0, depth, nullptr), right.data, nullptr, result);
}

/// Many rows of few columns: a task has some of the rows.
template <typename T>
void multiply_by_rows(const gemm::Operand<T>& left, const gemm::Operand<T>& right, index_t depth,
                      T* result) {
    const index_t rows = left.lanes, cols = right.lanes;
    const index_t tile = pocketcnn::kernels<T>().product.rows;
    const index_t step = round_up(ceil_div(rows, kEnoughTasks), tile);
    parallel_for(ceil_div(rows, step), product_work(rows, cols, depth), [&](index_t i) {
        const index_t row = i * step, count = std::min(step, rows - row);
        multiply_in_place(part_of(left, row, count, 0), right, depth, result + row * cols);
    });
}

/// Few rows and columns of long sums: a task has a part of the depth, and the sums are added.
template <typename T>
void multiply_by_depth(const gemm::Operand<T>& left, const gemm::Operand<T>& right, index_t depth,
                       T* result) {
    const index_t rows = left.lanes, cols = right.lanes, size = rows * cols;
    const Split parts = {depth, kEnoughTasks};
    const Buffer<T> others((parts.count - 1) * size);  // of all parts but the first
    parallel_for(parts.count, product_work(rows, cols, depth), [&](index_t i) {
        const index_t begin = parts.begin(i);
        multiply_in_place(part_of(left, 0, rows, begin), part_of(right, 0, cols, begin),
                          parts.length(i), i > 0 ? others.data() + (i - 1) * size : result);
    });
    add_in_order(parts.count - 1, size, others.data(), result);
}

/// Whether multiply_by_depth is faster: where sums are long beside their number, and a part of the
/// columns stays in the L2 cache for all rows (docs/measurements.md#long-sums-of-few-rows).
template <typename T>
bool are_long_sums(const Kernels<T>& kernels, index_t rows, index_t cols, index_t depth) {
    constexpr index_t fewest_terms = 512, terms_a_row = 6, most_rows = 128;
    constexpr index_t most_sums_bytes = index_t{5} << 20, most_part_bytes = index_t{768} << 10;
    constexpr index_t bytes = sizeof(T);
    constexpr double least_work = 1 << 19;
    return product_work(rows, cols, depth) >= least_work && rows <= most_rows &&
           depth >= std::max(fewest_terms, terms_a_row * rows) && fills_vectors(kernels, cols) &&
           kEnoughTasks * rows * cols * bytes <= most_sums_bytes &&
           ceil_div(depth, kEnoughTasks) * cols * bytes <= most_part_bytes;
}

/// How a result is cut for multiply_rows: like gemm::cut_blocks, but no block is narrower than a
/// tile, so the last one also takes the remaining columns.
template <typename T>
gemm::BlockCut cut_rows(const Kernels<T>& kernels, index_t rows, index_t cols, index_t depth) {
    gemm::BlockCut cut = gemm::cut_blocks(kernels, rows, cols, depth);
    cut.col_blocks = std::max<index_t>(1, cols / cut.col_step);
    return cut;
}

/// Rows of the right operand that are packed together: fewer rows with longer runs than elsewhere,
/// because rows a multiple of 4 KiB apart push each other out of the L2 cache
/// (docs/measurements.md#fully-connected-layer).
constexpr index_t kRowSlice = 128;

/// result (rows, cols) = left * right. Each operand is described by its panels: lanes are rows of
/// the result for the left one, and columns, consecutive in memory, for the right one.
template <typename T>
void multiply(const gemm::Operand<T>& left, const gemm::Operand<T>& right, index_t depth,
              T* result) {
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const index_t rows = left.lanes, cols = right.lanes;
    const double work = product_work(rows, cols, depth);
    const gemm::PackedLeft<T> packed(kernels, left, depth);
    if (reads_rows(kernels, cols, depth)) {
        const gemm::BlockCut cut = cut_rows(kernels, rows, cols, depth);
        parallel_for(cut.blocks(), work, [&](index_t i) {
            const gemm::Block block = cut.block(i, rows, cols, depth);
            const bool last = (i + 1) % cut.col_blocks == 0;
            kernels.product.multiply_rows(
                {block.row_end - block.row, (last ? cols : block.col_end) - block.col, depth,
                 packed.panel_size(), right.depth_stride, cols},
                packed.panel(block.row, 0, depth, nullptr), right.data + block.col, nullptr,
                result + block.row * cols + block.col);
        });
        return;
    }
    const gemm::BlockCut cut = gemm::cut_blocks(kernels, rows, cols, depth, kRowSlice);
    parallel_for(cut.blocks(), work, [&](index_t i) {
        gemm::RightMatrix<T> read(kernels, right, depth);
        gemm::StoreMatrix<T> write(kernels, result, cols);
        const gemm::Block block = cut.block(i, rows, cols, depth);
        gemm::multiply_block(kernels, block, packed, read, write, kRowSlice);
    });
}

/// Up to this many rows, the gradients read their operands in place instead of packed
/// (docs/measurements.md#fully-connected-layer).
constexpr index_t kFewRows = 7;

/// result = transpose(matrix).
template <typename T>
void transpose(MatrixView<const T> matrix, T* result) {
    constexpr index_t grain = 256;
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const index_t rows = matrix.rows, cols = matrix.cols;
    // Whole vectors of the last rows would be read past the end.
    const index_t last = std::min(rows, ceil_div(round_up(cols, kernels.lanes), cols));
    const index_t whole = rows - last;
    parallel_ranges(whole, grain, static_cast<double>(cols), [&](index_t row, index_t end) {
        kernels.indirect.store_transposed(end - row, cols, matrix.data + row * cols, cols, nullptr,
                                          result + row, rows);
    });
    for (index_t row = whole; row < rows; ++row) {
        for (index_t c = 0; c < cols; ++c) result[c * rows + row] = matrix.data[row * cols + c];
    }
}

template <typename T>
Buffer<T> transposed(MatrixView<const T> matrix) {
    Buffer<T> result(matrix.rows * matrix.cols);
    transpose(matrix, result.data());
    return result;
}

/// Whether there are so few inputs that to pack all of dy, for a product with so few columns, takes
/// longer than to turn the weights or their gradient around (docs/measurements.md#few-inputs).
bool are_few_inputs(index_t batch, index_t inputs, index_t outputs) {
    constexpr index_t most = 100;
    return inputs <= most && inputs <= 2 * batch && 4 * inputs <= outputs;
}

/// Whether a product with few columns need not be computed turned around for that: multiply_by_rows
/// is faster (docs/measurements.md#few-inputs).
template <typename T>
bool takes_rows(const Kernels<T>& kernels, index_t cols, index_t depth) {
    return reads_rows(kernels, cols, depth) && fills_vectors(kernels, cols);
}

/// Receives the tiles of a weight's gradient and makes the optimiser's step with them, for all
/// columns of the block once a row of tiles is complete. They are then still in the L2 cache, and
/// the weights have been prefetched.
template <typename T>
class UpdateRows {
  public:
    UpdateRows(const Kernels<T>& kernels, const gemm::Block& block, index_t weight_cols,
               const UpdateStep<T>& step)
        : kernels_(kernels),
          block_(block),
          width_(block.col_end - block.col),
          weight_cols_(weight_cols),
          step_(step),
          grads_(kernels.product.rows * width_) {}

    void tile(index_t row, index_t rows, index_t col, index_t cols, const T* values) {
        T* const to = grads_.data() + (col - block_.col);
        kernels_.product.store_tile(rows, cols, values, nullptr, to, width_);
        for (index_t r = 0; r < rows; ++r) ask_for(row + r, col, cols);
        if (col + cols < block_.col_end) return;
        for (index_t r = 0; r < rows; ++r) {
            step_.change(grads_.data() + r * width_, (row + r) * weight_cols_ + block_.col, width_);
        }
    }

  private:
    void ask_for(index_t row, index_t col, index_t cols) const {
        constexpr index_t line = 64 / sizeof(T);
        const T* weights = step_.param + row * weight_cols_ + col;
        for (index_t c = 0; c < cols; c += line) __builtin_prefetch(weights + c, 1);
    }

    const Kernels<T>& kernels_;
    gemm::Block block_;
    index_t width_, weight_cols_;
    const UpdateStep<T>& step_;
    Buffer<T> grads_;
};

/// How the gradient of a weight is cut for UpdateRows: as many columns as fit the L2 cache together
/// with the gradients of a tile's rows, for long runs of the same row of weights.
template <typename T>
gemm::BlockCut cut_update(const Kernels<T>& kernels, index_t rows, index_t cols, index_t depth,
                          index_t slice) {
    const index_t parts = ceil_div(cols, gemm::block_cols(kernels, depth, cols, slice));
    const index_t col_step = round_up(ceil_div(cols, parts), kernels.product.cols);
    const index_t col_blocks = ceil_div(cols, col_step);
    const index_t row_parts = ceil_div(kEnoughTasks, col_blocks);
    const index_t row_step = round_up(ceil_div(rows, row_parts), kernels.product.rows);
    return {row_step, col_step, ceil_div(rows, row_step), col_blocks};
}

/// Columns [col, end) of dx for a few rows: in parts of the depth that may be added up in
/// succession, and their totals.
template <typename T>
void few_rows_input_grad(const MatrixView<const T>& dy, const MatrixView<const T>& weight,
                         index_t col, index_t end, const MatrixView<T>& dx) {
    constexpr index_t run = 2048;
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const index_t cols = end - col, size = dy.rows * cols;
    const auto sums_of = [&](index_t k, T* to, index_t stride) {
        kernels.unpacked.few_rows_sums(dy.rows, cols, std::min(run, dy.cols - k), dy.data + k,
                                       dy.cols, weight.data + k * weight.cols + col, weight.cols,
                                       to, stride);
    };
    if (dy.cols <= run) return sums_of(0, dx.data + col, dx.cols);
    const Buffer<T> sums(size);
    const Buffer<double> totals(size);
    std::fill_n(totals.data(), size, 0.0);
    for (index_t k = 0; k < dy.cols; k += run) {
        sums_of(k, sums.data(), cols);
        for (index_t i = 0; i < size; ++i) totals[i] += static_cast<double>(sums[i]);
    }
    for (index_t i = 0; i < size; ++i) {
        dx.data[i / cols * dx.cols + col + i % cols] = static_cast<T>(totals[i]);
    }
}

}  // namespace

template <typename T>
void linear_backward_input(MatrixView<const T> dy, MatrixView<const T> weight, MatrixView<T> dx) {
    require(dy.cols == weight.rows && dx.rows == dy.rows && dx.cols == weight.cols, dy, weight);
    if (dx.rows == 0 || dx.cols == 0) return;
    if (dy.rows <= kFewRows) {
        // 4 KiB of a row of weights at a time, for all rows in order.
        constexpr index_t grain = 1024;
        parallel_ranges(
            dx.cols, grain, product_work(dy.rows, 1, dy.cols),
            [&](index_t c, index_t end) { few_rows_input_grad(dy, weight, c, end, dx); });
        return;
    }
    const gemm::Operand<T> outputs = {dy.data, dy.rows, dy.cols, 1};
    const gemm::Operand<T> inputs = {weight.data, weight.cols, 1, weight.cols};
    if (are_long_sums(pocketcnn::kernels<T>(), dx.rows, dx.cols, dy.cols)) {
        return multiply_by_depth<T>(outputs, inputs, dy.cols, dx.data);
    }
    if (are_few_inputs(dy.rows, weight.cols, weight.rows)) {
        const Buffer<T> columns = transposed(weight);
        const MatrixView<const T> by_input = {columns.data(), weight.cols, weight.rows};
        return linear<T>(dy, by_input, nullptr, dx);
    }
    multiply<T>(outputs, inputs, dy.cols, dx.data);
}

template <typename T>
void linear_backward_weight(MatrixView<const T> dy, MatrixView<const T> x, MatrixView<T> dweight) {
    require(dy.rows == x.rows && dweight.rows == dy.cols && dweight.cols == x.cols, dy, x);
    if (dweight.rows == 0 || dweight.cols == 0) return;
    if (dy.rows <= kFewRows) {
        constexpr index_t grain = 8;
        const Kernels<T>& kernels = pocketcnn::kernels<T>();
        const Buffer<T> columns = transposed(dy);
        parallel_ranges(
            dweight.rows, grain, product_work(1, x.cols, x.rows), [&](index_t row, index_t end) {
                kernels.unpacked.few_rows_sums(end - row, x.cols, x.rows,
                                               columns.data() + row * dy.rows, dy.rows, x.data,
                                               x.cols, dweight.data + row * x.cols, x.cols);
            });
        return;
    }
    const gemm::Operand<T> outputs = {dy.data, dy.cols, 1, dy.cols};
    const gemm::Operand<T> inputs = {x.data, x.cols, 1, x.cols};
    if (!are_few_inputs(dy.rows, dweight.cols, dweight.rows)) {
        return multiply<T>(outputs, inputs, x.rows, dweight.data);
    }
    if (takes_rows(pocketcnn::kernels<T>(), dweight.cols, dy.rows)) {
        return multiply_by_rows<T>(outputs, inputs, dy.rows, dweight.data);
    }
    const Buffer<T> by_input(dweight.rows * dweight.cols);
    multiply<T>(inputs, outputs, x.rows, by_input.data());
    transpose<T>({by_input.data(), dweight.cols, dweight.rows}, dweight.data);
}

template <typename T>
void linear_weight_update(MatrixView<const T> dy, MatrixView<const T> x,
                          const UpdateStep<T>& step) {
    require(dy.rows == x.rows, dy, x);
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const index_t rows = dy.cols, cols = x.cols, depth = x.rows;
    if (rows == 0 || cols == 0) return;
    if (depth <= kFewRows) {
        constexpr index_t grain = 8;
        const Buffer<T> columns = transposed(dy);
        parallel_ranges(rows, grain, product_work(1, cols, depth), [&](index_t row, index_t end) {
            const Buffer<T> grads(cols);
            for (; row < end; ++row) {
                kernels.unpacked.few_rows_sums(1, cols, depth, columns.data() + row * depth, depth,
                                               x.data, cols, grads.data(), cols);
                step.change(grads.data(), row * cols, cols);
            }
        });
        return;
    }
    const gemm::PackedLeft<T> left(kernels, {dy.data, rows, 1, rows}, depth);
    // The slices of linear_backward_weight, for the same sums.
    const bool turned = are_few_inputs(depth, cols, rows) && !takes_rows(kernels, cols, depth);
    const index_t lane_count = turned ? rows : cols;
    const index_t slice = reads_rows(kernels, lane_count, depth) ? gemm::kDepthBlock : kRowSlice;
    const gemm::BlockCut cut = cut_update(kernels, rows, cols, depth, slice);
    parallel_for(cut.blocks(), product_work(rows, cols, depth), [&](index_t i) {
        const gemm::Block block = cut.block(i, rows, cols, depth);
        gemm::RightMatrix<T> right(kernels, {x.data, cols, 1, cols}, depth);
        UpdateRows<T> write(kernels, block, cols, step);
        gemm::multiply_block(kernels, block, left, right, write, slice);
    });
}

template <typename T>
void linear_backward_bias(MatrixView<const T> dy, T* dbias) {
    require(true, dy);
    // Rows that are added up in succession: with 100,000 the fourth digit was wrong.
    constexpr index_t grain = 1024, longest = 256;
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    parallel_ranges(dy.cols, grain, static_cast<double>(dy.rows), [&](index_t col, index_t end) {
        std::fill(dbias + col, dbias + end, T{0});
        gemm::LongSums<T> totals(end - col, dy.rows, longest);
        for (index_t row = 0; row < dy.rows; ++row) {
            totals.make_room(1, dbias + col, end - col);
            kernels.elementwise.add(end - col, dy.data + row * dy.cols + col, dbias + col);
        }
        totals.finish(dbias + col);
    });
}

#define POCKETCNN_INSTANTIATE(T)                                                                   \
    template void linear_backward_input(MatrixView<const T>, MatrixView<const T>, MatrixView<T>);  \
    template void linear_backward_weight(MatrixView<const T>, MatrixView<const T>, MatrixView<T>); \
    template void linear_weight_update(MatrixView<const T>, MatrixView<const T>,                   \
                                       const UpdateStep<T>&);                                      \
    template void linear_backward_bias(MatrixView<const T>, T*);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn
