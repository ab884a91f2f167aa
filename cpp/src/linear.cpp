#include <pocketcnn/linear.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "gemm/indirect.h"
#include "gemm/matrix.h"
#include "runtime/interrupt.h"
#include "runtime/isa.h"
#include "runtime/parallel.h"

namespace pocketcnn {
namespace {

template <typename... Views>
void require(bool fits, const Views&... views) {
    const bool negative = ((views.rows < 0 || views.cols < 0) || ...);
    if (negative) throw std::invalid_argument("a matrix has a negative size");
    if (!fits) throw std::invalid_argument("the sizes of x, weight and y do not fit each other");
}

double product_work(index_t rows, index_t cols, index_t depth) {
    return static_cast<double>(rows) * static_cast<double>(cols) * static_cast<double>(depth);
}

/// Whether the right operand is worth reading where it stands, row by row: the depth is one slice,
/// and rows a multiple of 512 bytes apart would push each other out of the first cache.
template <typename T>
bool reads_rows(const Kernels<T>& kernel, index_t cols, index_t depth) {
    constexpr index_t bad_stride = 512;
    return cols >= kernel.cols && depth <= gemm::kDepthBlock &&
           cols * index_t{sizeof(T)} % bad_stride != 0;
}

/// How a result is cut for multiply_rows: like gemm::partition, but no block is narrower than a
/// tile, so the last one takes the rest of the columns.
template <typename T>
gemm::Partition cut_rows(const Kernels<T>& kernel, index_t rows, index_t cols, index_t depth) {
    gemm::Partition cut = gemm::partition(kernel, rows, cols, depth);
    cut.col_blocks = std::max<index_t>(1, cols / cut.col_step);
    return cut;
}

/// Rows of the right operand that are packed together: longer stretches of fewer rows than
/// elsewhere, because rows a multiple of 4 KiB apart push each other out of the second cache. dx of
/// 9216 to 4096, batch of 32, on two cores with AVX-512: 512 rows 16.2 ms, 256 15.8, 128 12.3,
/// 64 11.4.
constexpr index_t kRowSlice = 128;

/// result (rows, cols) = left * right. Each operand is given as its panels see it: lanes are rows
/// of the result for the left, columns for the right, which are consecutive in memory.
template <typename T>
void multiply(const gemm::Operand<T>& left, const gemm::Operand<T>& right, index_t depth,
              T* result) {
    const Kernels<T>& kernel = kernels<T>();
    const index_t rows = left.lanes, cols = right.lanes;
    const double work = product_work(rows, cols, depth);
    const gemm::PackedLeft<T> packed(kernel, left, depth);
    if (reads_rows(kernel, cols, depth)) {
        const gemm::Partition cut = cut_rows(kernel, rows, cols, depth);
        parallel_for(cut.blocks(), work, [&](index_t i) {
            const gemm::Block block = cut.block(i, rows, cols, depth);
            const bool last = (i + 1) % cut.col_blocks == 0;
            kernel.multiply_rows(
                {block.row_end - block.row, (last ? cols : block.col_end) - block.col, depth,
                 packed.panel_size(), right.depth_stride, cols},
                packed.panel(block.row, 0, depth, nullptr), right.data + block.col,
                result + block.row * cols + block.col);
        });
        return;
    }
    const gemm::Partition cut = gemm::partition(kernel, rows, cols, depth, kRowSlice);
    parallel_for(cut.blocks(), work, [&](index_t i) {
        gemm::RightMatrix<T> read(kernel, right, depth);
        gemm::StoreMatrix<T> write(kernel, result, cols);
        const gemm::Block block = cut.block(i, rows, cols, depth);
        gemm::multiply_block(kernel, block, packed, read, write, kRowSlice);
    });
}

/// Up to here the gradients read their operands in place instead of packed. Milliseconds of dx on
/// one Zen 5 core, 9216 to 4096: 1 row 16.2 packed, 4.7 in place; 7 rows in place 11.2, 8 packed
/// 16.1. 4320 to 100: 7 in place 0.076, 8 packed 0.060.
constexpr index_t kFewRows = 7;

/// transpose(matrix).
template <typename T>
Buffer<T> transposed(MatrixView<const T> matrix) {
    Buffer<T> result(matrix.rows * matrix.cols);
    for (index_t i = 0; i < matrix.rows * matrix.cols; ++i) {
        result[i % matrix.cols * matrix.rows + i / matrix.cols] = matrix.data[i];
    }
    return result;
}

/// Takes the tiles of a weight's gradient and makes the optimiser's step with them, for all columns
/// of the block when a row of tiles is complete: the second cache has them still, and the weights
/// that were asked for meanwhile.
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
          grads_(kernels.rows * width_) {}

    void tile(index_t row, index_t rows, index_t col, index_t cols, const T* values) {
        T* const to = grads_.data() + (col - block_.col);
        kernels_.store_tile(rows, cols, values, nullptr, to, width_);
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

/// How the gradient of a weight is cut for UpdateRows: as many columns as fit the second cache
/// beside the gradients of a tile's rows, for long reaches of the same row of weights.
template <typename T>
gemm::Partition cut_update(const Kernels<T>& kernel, index_t rows, index_t cols, index_t depth,
                           index_t slice) {
    constexpr index_t enough_blocks = 16;
    const index_t parts = ceil_div(cols, gemm::block_cols(kernel, depth, cols, slice));
    const index_t col_step = round_up(ceil_div(cols, parts), kernel.cols);
    const index_t col_blocks = ceil_div(cols, col_step);
    const index_t row_parts = ceil_div(enough_blocks, col_blocks);
    const index_t row_step = round_up(ceil_div(rows, row_parts), kernel.rows);
    return {row_step, col_step, ceil_div(rows, row_step), col_blocks};
}

/// How y is cut into dot products. The slices of the depth depend on nothing but the depth, and
/// their sums are added in order, so that a row's result depends on no other row.
class DotCut {
  public:
    DotCut(index_t rows, index_t cols, index_t depth)
        : rows_(rows),
          cols_(cols),
          depth_(depth),
          slices_(std::max<index_t>(1, ceil_div(depth, kMostDepth))),
          slice_(round_up(ceil_div(depth, slices_), kSliceStep)),
          row_blocks_(ceil_div(rows, kRows)) {
        const index_t wide = row_blocks_ * ceil_div(cols, kWide);
        shares_slices_ = slices_ > 1 && wide < kEnough;
        col_step_ = wide * (shares_slices_ ? slices_ : 1) < kEnough ? kNarrow : kWide;
        col_blocks_ = ceil_div(cols, col_step_);
    }

    index_t slices() const { return slices_; }
    index_t blocks() const { return row_blocks_ * col_blocks_; }
    /// Whether the slices of a block are tasks of their own, because there are too few blocks.
    bool shares_slices() const { return shares_slices_; }

    struct Part {
        index_t row, rows, col, cols, depth, length;
    };
    Part part(index_t block, index_t slice) const {
        const index_t row = block / col_blocks_ * kRows, col = block % col_blocks_ * col_step_;
        const index_t depth = std::min(depth_, slice * slice_);
        return {row,   std::min(kRows, rows_ - row),    col, std::min(col_step_, cols_ - col),
                depth, std::min(slice_, depth_ - depth)};
    }

  private:
    /// 45 rows of 1088 weights, that stay in the level-2 cache while the rows of x go past; with
    /// shorter ones the sums of the lanes are joined more often: 4320 to 100, batch of 100, 0.35 ms
    /// with 640, so 0.31. 15 and 45 are multiples of the kernels' 3 and 5 columns.
    static constexpr index_t kMostDepth = 1088, kWide = 45, kNarrow = 15, kRows = 120;
    static constexpr index_t kSliceStep = 64, kEnough = 8;

    index_t rows_, cols_, depth_, slices_, slice_, row_blocks_;
    bool shares_slices_;
    index_t col_step_, col_blocks_;
};

/// y = bias in every row, or zero.
template <typename T>
void start_rows(const T* bias, index_t rows, index_t cols, T* y, index_t stride) {
    for (index_t r = 0; r < rows; ++r, y += stride) {
        if (bias != nullptr) {
            std::copy_n(bias, cols, y);
        } else {
            std::fill_n(y, cols, T{0});
        }
    }
}

/// Whether no vector of a matrix's rows straddles two cache lines.
template <typename T>
bool is_aligned(const T* data, index_t cols) {
    constexpr std::uintptr_t line = 64;
    return reinterpret_cast<std::uintptr_t>(data) % line == 0 &&
           static_cast<std::uintptr_t>(cols) * sizeof(T) % line == 0;
}

/// y += x * transpose(weight) for one part; y has `cols` columns. The weights are read once for
/// every few rows of x: beyond some rows it pays to copy them onto cache lines first.
template <typename T>
void add_dots(const DotCut::Part& part, const MatrixView<const T>& x,
              const MatrixView<const T>& weight, T* y, index_t cols) {
    constexpr index_t many_rows = 32;
    const Kernels<T>& kernel = kernels<T>();
    const T* w = weight.data + part.col * weight.cols + part.depth;
    index_t w_stride = weight.cols;
    const bool copies = part.rows >= many_rows && !is_aligned(weight.data, weight.cols);
    const index_t width = round_up(part.length, kernel.lanes);
    const Buffer<T> copy(copies ? part.cols * width : 0);
    if (copies) {
        kernel.copy_rows(part.cols, part.length, w, weight.cols, copy.data(), width, 1);
        w = copy.data();
        w_stride = width;
    }
    kernel.dots({part.rows, part.cols, part.length, x.cols, w_stride, cols},
                x.data + part.row * x.cols + part.depth, w, y + part.row * cols + part.col);
}

/// Whether many weights are better read in place and only once, past all rows of x together, than
/// for every few rows of x again. Milliseconds on two cores with AVX-512, dot products and so:
/// 9216 to 4096, batch of 100, 45.6, 28.4; of 16, 11.2, 8.2; of 8, 6.8, 8.2. 784 to 512, batch of
/// 40, 0.180, 0.151; 512 to 256, batch of 100, 0.120, 0.139; 4320 to 100, 0.39, 0.52.
bool streams_weights(index_t rows, index_t cols, index_t depth) {
    constexpr index_t least_rows = 12, least_cols = 384, least_weights = 1 << 18;
    return rows >= least_rows && cols >= least_cols && cols * depth >= least_weights;
}

/// Parts of the depth that the weights of a few columns pass through in a row, while those of x
/// stay in half of a common second cache: each row of weights is a stream that the processor must
/// notice. 9216 to 4096, batch of 32, 10.5 ms part by part, 8.8 so.
template <typename T>
index_t streamed_parts(const gemm::Panels& panels, index_t part) {
    const index_t bytes = panels.padded_cols() * part * index_t{sizeof(T)};
    return std::max<index_t>(1, gemm::kRightBytes / bytes);
}

/// y = x * transpose(weight) + bias with the rows of x in the lanes: the weights are read in place
/// and only once, a slice of the depth at a time, while the slice of x stays in the second cache.
template <typename T>
void linear_by_streaming(MatrixView<const T> x, MatrixView<const T> weight, const T* bias,
                         MatrixView<T> y) {
    constexpr index_t tasks = 16;
    const Kernels<T>& kernel = kernels<T>();
    const gemm::Panels panels(kernel, x.rows);
    const std::vector<gemm::PackedPanels<T>> packed = gemm::pack_groups<T>(
        panels, 1, x.cols, [&](index_t, index_t row, index_t rows, index_t width, T* panel) {
            kernel.pack_columns(x.cols, rows, width, x.data + row * x.cols, x.cols, panel);
        });
    const index_t part = gemm::depth_slice(x.cols);
    const index_t slice = part * streamed_parts<T>(panels, part);
    std::vector<index_t> depth(static_cast<std::size_t>(part));
    std::iota(depth.begin(), depth.end(), index_t{0});
    const index_t step = round_up(ceil_div(y.cols, tasks), kIndirectRowsMultiple);
    parallel_for(ceil_div(y.cols, step), product_work(y.rows, y.cols, x.cols), [&](index_t i) {
        const index_t col = i * step, cols = std::min(step, y.cols - col);
        const gemm::IndirectSums<T> sums(kernel, panels, 0, panels.count(), cols);
        std::vector<index_t> rows;
        rows.reserve(static_cast<std::size_t>(cols + kIndirectRowsMultiple));
        for (index_t c = 0; c < cols + kIndirectRowsMultiple; ++c) {
            rows.push_back(std::min(c, cols - 1) * weight.cols);
        }
        for (index_t k = 0; k < x.cols; k += slice) {
            const index_t end = std::min(x.cols, k + slice);
            for (index_t c = 0; c < cols; c += kIndirectRowsMultiple) {
                heed_interrupt();
                const index_t count = std::min(kIndirectRowsMultiple, cols - c);
                for (index_t from = k; from < end; from += part) {
                    sums.add(std::min(part, end - from), weight.data + col * weight.cols + from,
                             rows.data() + c, c, count, depth.data(), packed[0], from, from > 0);
                }
            }
        }
        for (index_t p = 0; p < panels.count(); ++p) {
            T* to = y.data + panels.begin(p) * y.cols + col;
            kernel.store_transposed(cols, panels.length(p), sums.data(p), panels.width(p), nullptr,
                                    to, y.cols);
            for (index_t r = 0; r < panels.length(p) && bias != nullptr; ++r) {
                kernel.add(cols, bias + col, to + r * y.cols);
            }
        }
    });
}

}  // namespace

template <typename T>
void linear(MatrixView<const T> x, MatrixView<const T> weight, const T* bias, MatrixView<T> y) {
    require(x.cols == weight.cols && y.rows == x.rows && y.cols == weight.rows, x, weight);
    if (streams_weights(y.rows, y.cols, x.cols)) {
        linear_by_streaming(x, weight, bias, y);
        return;
    }
    const DotCut cut(y.rows, y.cols, x.cols);
    const double work = product_work(y.rows, y.cols, x.cols);
    if (!cut.shares_slices()) {
        parallel_for(cut.blocks(), work, [&](index_t block) {
            const DotCut::Part whole = cut.part(block, 0);
            start_rows(bias != nullptr ? bias + whole.col : nullptr, whole.rows, whole.cols,
                       y.data + whole.row * y.cols + whole.col, y.cols);
            for (index_t slice = 0; slice < cut.slices(); ++slice) {
                add_dots<T>(cut.part(block, slice), x, weight, y.data, y.cols);
            }
        });
        return;
    }
    const Kernels<T>& kernel = kernels<T>();
    const index_t size = y.rows * y.cols;
    const Buffer<T> sums(cut.slices() * size);
    parallel_for(cut.blocks() * cut.slices(), work, [&](index_t i) {
        // All blocks of a slice one after the other: its part of x is in the second cache.
        const index_t slice = i / cut.blocks();
        const DotCut::Part part = cut.part(i % cut.blocks(), slice);
        T* to = sums.data() + slice * size;
        start_rows<T>(nullptr, part.rows, part.cols, to + part.row * y.cols + part.col, y.cols);
        add_dots<T>(part, x, weight, to, y.cols);
    });
    constexpr index_t grain = 16;
    const double row_work = static_cast<double>(cut.slices() * y.cols);
    parallel_ranges(y.rows, grain, row_work, [&](index_t row, index_t end) {
        const index_t first = row * y.cols, count = (end - row) * y.cols;
        start_rows(bias, end - row, y.cols, y.data + first, y.cols);
        for (index_t slice = 0; slice < cut.slices(); ++slice) {
            kernel.add(count, sums.data() + slice * size + first, y.data + first);
        }
    });
}

template <typename T>
void linear_input_grad(MatrixView<const T> dy, MatrixView<const T> weight, MatrixView<T> dx) {
    require(dy.cols == weight.rows && dx.rows == dy.rows && dx.cols == weight.cols, dy, weight);
    if (dy.rows <= kFewRows) {
        // 4 KiB of a row of weights at a time, in which their rows follow each other.
        constexpr index_t grain = 1024;
        const Kernels<T>& kernel = kernels<T>();
        parallel_ranges(dx.cols, grain, product_work(dy.rows, 1, dy.cols),
                        [&](index_t c, index_t end) {
                            kernel.few_rows_sums(dy.rows, end - c, dy.cols, dy.data,
                                                 weight.data + c, dx.cols, dx.data + c);
                        });
        return;
    }
    multiply<T>({dy.data, dy.rows, dy.cols, 1}, {weight.data, weight.cols, 1, weight.cols}, dy.cols,
                dx.data);
}

template <typename T>
void linear_weight_grad(MatrixView<const T> dy, MatrixView<const T> x, MatrixView<T> dweight) {
    require(dy.rows == x.rows && dweight.rows == dy.cols && dweight.cols == x.cols, dy, x);
    if (dy.rows <= kFewRows) {
        constexpr index_t grain = 8;
        const Kernels<T>& kernel = kernels<T>();
        const Buffer<T> columns = transposed(dy);
        parallel_ranges(
            dweight.rows, grain, product_work(1, x.cols, x.rows), [&](index_t row, index_t end) {
                kernel.few_rows_sums(end - row, x.cols, x.rows, columns.data() + row * dy.rows,
                                     x.data, x.cols, dweight.data + row * x.cols);
            });
        return;
    }
    multiply<T>({dy.data, dy.cols, 1, dy.cols}, {x.data, x.cols, 1, x.cols}, x.rows, dweight.data);
}

template <typename T>
void linear_weight_update(MatrixView<const T> dy, MatrixView<const T> x,
                          const UpdateStep<T>& step) {
    require(dy.rows == x.rows, dy, x);
    const Kernels<T>& kernel = kernels<T>();
    const index_t rows = dy.cols, cols = x.cols, depth = x.rows;
    if (rows == 0 || cols == 0) return;
    if (depth <= kFewRows) {
        constexpr index_t grain = 8;
        const Buffer<T> columns = transposed(dy);
        parallel_ranges(rows, grain, product_work(1, cols, depth), [&](index_t row, index_t end) {
            const Buffer<T> grads(cols);
            for (; row < end; ++row) {
                kernel.few_rows_sums(1, cols, depth, columns.data() + row * depth, x.data, cols,
                                     grads.data());
                step.change(grads.data(), row * cols, cols);
            }
        });
        return;
    }
    const gemm::PackedLeft<T> left(kernel, {dy.data, rows, 1, rows}, depth);
    // The slices of linear_weight_grad, for the same sums.
    const index_t slice = reads_rows(kernel, cols, depth) ? gemm::kDepthBlock : kRowSlice;
    const gemm::Partition cut = cut_update(kernel, rows, cols, depth, slice);
    parallel_for(cut.blocks(), product_work(rows, cols, depth), [&](index_t i) {
        const gemm::Block block = cut.block(i, rows, cols, depth);
        gemm::RightMatrix<T> right(kernel, {x.data, cols, 1, cols}, depth);
        UpdateRows<T> write(kernel, block, cols, step);
        gemm::multiply_block(kernel, block, left, right, write, slice);
    });
}

template <typename T>
void linear_bias_grad(MatrixView<const T> dy, T* dbias) {
    require(true, dy);
    constexpr index_t grain = 1024;
    const Kernels<T>& kernel = kernels<T>();
    parallel_ranges(dy.cols, grain, static_cast<double>(dy.rows), [&](index_t col, index_t end) {
        std::fill(dbias + col, dbias + end, T{0});
        for (index_t row = 0; row < dy.rows; ++row) {
            kernel.add(end - col, dy.data + row * dy.cols + col, dbias + col);
        }
    });
}

#define POCKETCNN_INSTANTIATE(T)                                                               \
    template void linear(MatrixView<const T>, MatrixView<const T>, const T*, MatrixView<T>);   \
    template void linear_input_grad(MatrixView<const T>, MatrixView<const T>, MatrixView<T>);  \
    template void linear_weight_grad(MatrixView<const T>, MatrixView<const T>, MatrixView<T>); \
    template void linear_weight_update(MatrixView<const T>, MatrixView<const T>,               \
                                       const UpdateStep<T>&);                                  \
    template void linear_bias_grad(MatrixView<const T>, T*);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn
