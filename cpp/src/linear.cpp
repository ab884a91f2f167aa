// y = x * transpose(weight) + bias. The gradients are in linear_backward.cpp.
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <type_traits>
#include <vector>

#include "gemm/indirect.h"
#include "gemm/long_sums.h"
#include "gemm/matrix.h"
#include "linear_sizes.h"
#include "runtime/add_in_order.h"
#include "runtime/cut.h"
#include "runtime/interrupt.h"
#include "runtime/isa.h"
#include "runtime/parallel.h"

namespace pocketcnn {
namespace {

/// 45 rows of so many weights stay in the L2 cache for all rows of x. With shorter slices the sums
/// of the lanes are joined more often (docs/measurements.md#fully-connected-layer).
constexpr index_t kMostDepth = 1088;
/// Slices of weights of 16 bits that are read once: long streams, which the processor foresees.
constexpr index_t kMostNarrowDepth = 4 * kMostDepth;
/// With so many rows of x, weights of 16 bits are widened once and not for every few rows.
constexpr index_t kManyNarrowRows = 12;

/// How y is cut into dot products. The slices of the depth depend on the depth only, and their sums
/// are added in order, so a row's result does not depend on other rows.
class DotCut {
  public:
    DotCut(index_t rows, index_t cols, index_t depth, index_t most_depth)
        : rows_(rows),
          cols_(cols),
          depth_(depth),
          slices_(std::max<index_t>(1, ceil_div(depth, most_depth))),
          slice_(round_up(ceil_div(depth, slices_), kSliceStep)),
          row_blocks_(ceil_div(rows, kRows)) {
        const index_t wide = row_blocks_ * ceil_div(cols, kWide);
        shares_slices_ = slices_ > 1 && wide < kEnoughLargeTasks;
        col_step_ = wide * (shares_slices_ ? slices_ : 1) < kEnoughLargeTasks ? kNarrow : kWide;
        col_blocks_ = ceil_div(cols, col_step_);
    }

    index_t slices() const { return slices_; }
    index_t blocks() const { return row_blocks_ * col_blocks_; }
    /// Whether each slice of a block is a task, because there are too few blocks.
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
    /// Multiples of the kernels' 3 and 5 columns.
    static constexpr index_t kWide = 45, kNarrow = 15, kRows = 120;
    static constexpr index_t kSliceStep = 64;

    index_t rows_, cols_, depth_, slices_, slice_, row_blocks_;
    bool shares_slices_;
    index_t col_step_, col_blocks_;
};

/// y = bias in every row, or zero without a bias.
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

/// Whether no vector of a matrix's rows crosses the end of a cache line.
template <typename T>
bool is_aligned(const T* data, index_t cols) {
    constexpr std::uintptr_t line = 64;
    return reinterpret_cast<std::uintptr_t>(data) % line == 0 &&
           static_cast<std::uintptr_t>(cols) * sizeof(T) % line == 0;
}

/// y += x * transpose(weight) for one part, whose rows of y are `stride` apart. The weights are
/// read once for every few rows of x. With more rows it pays to copy the weights to cache lines
/// first, or to widen narrow ones first.
template <typename T, typename W>
void add_dots(const DotCut::Part& part, const MatrixView<const T>& x,
              const MatrixView<const W>& weight, T* y, index_t stride) {
    constexpr index_t many_rows = std::is_same_v<T, W> ? 32 : kManyNarrowRows;
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const T* rows = x.data + part.row * x.cols + part.depth;
    const W* w = weight.data + part.col * weight.cols + part.depth;
    DotBlock block = {part.rows, part.cols, part.length, x.cols, weight.cols, stride};
    const bool in_place =
        part.rows < many_rows || (std::is_same_v<T, W> && is_aligned(weight.data, weight.cols));
    const index_t width = round_up(part.length, kernels.lanes);
    const Buffer<T> copy(in_place ? 0 : part.cols * width);
    if (!in_place) block.w_stride = width;
    if constexpr (std::is_same_v<T, W>) {
        if (!in_place) {
            kernels.copies.copy_rows(part.cols, part.length, w, weight.cols, copy.data(), width, 1);
        }
        kernels.unpacked.dots(block, rows, in_place ? w : copy.data(), y);
    } else if (in_place) {
        kernels.unpacked.narrow_dots(block, rows, w, y);
    } else {
        kernels.copies.widen_rows(part.cols, part.length, w, weight.cols, copy.data(), width);
        kernels.unpacked.dots(block, rows, copy.data(), y);
    }
}

/// y = bias + the sums of a block that is so deep that they need totals.
template <typename T, typename W>
void long_dots(const DotCut& cut, index_t block, const MatrixView<const T>& x,
               const MatrixView<const W>& weight, const T* bias, const MatrixView<T>& y) {
    const DotCut::Part whole = cut.part(block, 0);
    const index_t size = whole.rows * whole.cols;
    const Buffer<T> sums(size);
    gemm::LongSums<T> totals(size, x.cols);
    for (index_t slice = 0; slice < cut.slices(); ++slice) {
        const DotCut::Part part = cut.part(block, slice);
        totals.make_room(part.length, sums.data(), size);
        add_dots(part, x, weight, sums.data(), whole.cols);
    }
    totals.finish(sums.data());
    T* to = y.data + whole.row * y.cols + whole.col;
    start_rows(bias != nullptr ? bias + whole.col : nullptr, whole.rows, whole.cols, to, y.cols);
    for (index_t r = 0; r < whole.rows; ++r) {
        kernels<T>().elementwise.add(whole.cols, sums.data() + r * whole.cols, to + r * y.cols);
    }
}

/// y += the sums of all slices of the rows [row, end), in the order in which long_dots adds them.
template <typename T>
void add_long_slices(const DotCut& cut, const T* sums, index_t row, index_t end, index_t depth,
                     const MatrixView<T>& y) {
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const index_t first = row * y.cols, count = (end - row) * y.cols;
    const Buffer<T> joined(count);
    gemm::LongSums<T> totals(count, depth);
    for (index_t slice = 0; slice < cut.slices(); ++slice) {
        totals.make_room(cut.part(0, slice).length, joined.data(), count);
        kernels.elementwise.add(count, sums + slice * y.rows * y.cols + first, joined.data());
    }
    totals.finish(joined.data());
    kernels.elementwise.add(count, joined.data(), y.data + first);
}

/// Parts of the depth that the weights of a few columns go through at a time. Those of x stay in
/// half of a common L2 cache, and each row of weights is a stream long enough for the processor to
/// recognise (docs/measurements.md#streamed-weights).
template <typename T>
index_t streamed_parts(const gemm::Panels& panels, index_t part) {
    const index_t bytes = panels.padded_cols() * part * index_t{sizeof(T)};
    return std::max<index_t>(1, gemm::kRightBytes / bytes);
}

/// y = x * transpose(weight) + bias with the rows of x in the lanes. The weights are read only
/// once, in place, a slice of the depth at a time, while the slice of x stays in the L2 cache.
template <typename T>
void linear_by_streaming(MatrixView<const T> x, MatrixView<const T> weight, const T* bias,
                         MatrixView<T> y) {
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const gemm::Panels panels(kernels, x.rows);
    const std::vector<gemm::PackedPanels<T>> packed = gemm::pack_groups<T>(
        panels, 1, x.cols, [&](index_t, index_t row, index_t rows, index_t width, T* panel) {
            kernels.packing.pack_columns(x.cols, rows, width, x.data + row * x.cols, x.cols, panel);
        });
    const index_t part = gemm::depth_slice(x.cols);
    const index_t slice = part * streamed_parts<T>(panels, part);
    std::vector<index_t> depth(static_cast<std::size_t>(part));
    std::iota(depth.begin(), depth.end(), index_t{0});
    const index_t step = round_up(ceil_div(y.cols, kEnoughTasks), kIndirectRowsMultiple);
    parallel_for(ceil_div(y.cols, step), product_work(y.rows, y.cols, x.cols), [&](index_t i) {
        const index_t col = i * step, cols = std::min(step, y.cols - col);
        gemm::IndirectSums<T> sums(kernels, panels, 0, panels.count(), cols, x.cols);
        std::vector<index_t> rows;
        rows.reserve(static_cast<std::size_t>(cols + kIndirectRowsMultiple));
        for (index_t c = 0; c < cols + kIndirectRowsMultiple; ++c) {
            rows.push_back(std::min(c, cols - 1) * weight.cols);
        }
        for (index_t k = 0; k < x.cols; k += slice) {
            const index_t end = std::min(x.cols, k + slice);
            const bool anew = sums.begin_anew(end - k);
            for (index_t c = 0; c < cols; c += kIndirectRowsMultiple) {
                heed_interrupt();
                const index_t count = std::min(kIndirectRowsMultiple, cols - c);
                for (index_t from = k; from < end; from += part) {
                    sums.add(std::min(part, end - from), weight.data + col * weight.cols + from,
                             rows.data() + c, c, count, depth.data(), packed[0], from,
                             !anew || from > k);
                }
            }
        }
        sums.finish();
        for (index_t p = 0; p < panels.count(); ++p) {
            T* to = y.data + panels.begin(p) * y.cols + col;
            kernels.indirect.store_transposed(cols, panels.length(p), sums.data(p), panels.width(p),
                                              nullptr, to, y.cols);
            for (index_t r = 0; r < panels.length(p) && bias != nullptr; ++r) {
                kernels.elementwise.add(cols, bias + col, to + r * y.cols);
            }
        }
    });
}

/// y = x * transpose(weight) + bias as dot products of rows.
template <typename T, typename W>
void linear_by_dots(MatrixView<const T> x, MatrixView<const W> weight, const T* bias,
                    MatrixView<T> y) {
    const bool long_slices = !std::is_same_v<T, W> && y.rows < kManyNarrowRows;
    const DotCut cut(y.rows, y.cols, x.cols, long_slices ? kMostNarrowDepth : kMostDepth);
    const double work = product_work(y.rows, y.cols, x.cols);
    if (!cut.shares_slices()) {
        parallel_for(cut.blocks(), work, [&](index_t block) {
            if (x.cols > gemm::kLongestSum) return long_dots(cut, block, x, weight, bias, y);
            const DotCut::Part whole = cut.part(block, 0);
            T* to = y.data + whole.row * y.cols + whole.col;
            start_rows(bias != nullptr ? bias + whole.col : nullptr, whole.rows, whole.cols, to,
                       y.cols);
            for (index_t slice = 0; slice < cut.slices(); ++slice) {
                add_dots(cut.part(block, slice), x, weight, to, y.cols);
            }
        });
        return;
    }
    const index_t size = y.rows * y.cols;
    const Buffer<T> sums(cut.slices() * size);
    start_rows(bias, y.rows, y.cols, y.data, y.cols);
    parallel_for(cut.blocks() * cut.slices(), work, [&](index_t i) {
        // All blocks of a slice one after the other, because its part of x is in the L2 cache.
        const index_t slice = i / cut.blocks();
        const DotCut::Part part = cut.part(i % cut.blocks(), slice);
        T* to = sums.data() + slice * size + part.row * y.cols + part.col;
        start_rows<T>(nullptr, part.rows, part.cols, to, y.cols);
        add_dots(part, x, weight, to, y.cols);
    });
    // As each block would have added them up itself.
    if (x.cols <= gemm::kLongestSum) return add_in_order(cut.slices(), size, sums.data(), y.data);
    constexpr index_t grain = 16;
    const double row_work = static_cast<double>(cut.slices() * y.cols);
    parallel_ranges(y.rows, grain, row_work, [&](index_t row, index_t end) {
        add_long_slices(cut, sums.data(), row, end, x.cols, y);
    });
}

/// Stores tiles into a row-major matrix, and adds a bias, which may be null, to every row.
template <typename T>
struct StoreBiased {
    const Kernels<T>& kernels;
    const MatrixView<T>& y;
    const T* bias;

    void tile(index_t row, index_t rows, index_t col, index_t cols, const T* values) const {
        T* to = y.data + row * y.cols + col;
        kernels.product.store_tile(rows, cols, values, nullptr, to, y.cols);
        if (bias == nullptr) return;
        for (index_t r = 0; r < rows; ++r)
            kernels.elementwise.add(cols, bias + col, to + r * y.cols);
    }
};

/// y = x * transpose(weight) + bias as the packed product, with the columns of y in the lanes.
template <typename T>
void linear_by_blocks(MatrixView<const T> x, MatrixView<const T> weight, const T* bias,
                      MatrixView<T> y) {
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const index_t depth = x.cols;
    const gemm::PackedLeft<T> left(kernels, {x.data, x.rows, depth, 1}, depth);
    const gemm::Operand<T> columns = {weight.data, y.cols, depth, 1};
    const gemm::BlockCut cut = gemm::cut_blocks(kernels, y.rows, y.cols, depth);
    parallel_for(cut.blocks(), product_work(y.rows, y.cols, depth), [&](index_t i) {
        gemm::RightMatrix<T> right(kernels, columns, depth);
        StoreBiased<T> write = {kernels, y, bias};
        gemm::multiply_block(kernels, cut.block(i, y.rows, y.cols, depth), left, right, write);
    });
}

enum class Way { dots, blocks, streaming };

/// The way that takes the least time, in multiply-adds. Dot products join the lanes of each sum.
/// Blocks compute whole tiles, and pack both operands, x into panels narrower than a vector.
/// Streaming packs x, and turns what it stores around. The constants were fitted on 2,100 layers of
/// random sizes (docs/measurements.md#short-sums).
template <typename T>
Way least_work(index_t rows, index_t cols, index_t depth) {
    constexpr double joining = 150, copying = 1.2, dots_call = 5e4;
    constexpr double packing = 8, packing_narrow = 36, storing = 20, blocks_call = 1e5;
    constexpr double indirect = 1.1, turning = 24, packing_rows = 10, streaming_call = 8e4;
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const auto number = [](index_t size) { return static_cast<double>(size); };
    const auto filled = [](index_t size, index_t width) {
        return static_cast<double>(round_up(size, width));
    };
    const double sums = number(rows) * number(cols), depths = number(depth);
    const double weights = number(cols) * depths, inputs = number(rows) * depths;
    const double dots =
        sums * (joining + filled(depth, kernels.lanes)) + copying * weights + dots_call;
    const double blocks =
        filled(rows, kernels.product.rows) * filled(cols, kernels.lanes) * depths +
        packing * weights + packing_narrow * inputs + storing * sums + blocks_call;
    const double streaming =
        filled(rows, kernels.lanes) * number(cols) * (indirect * depths + turning) +
        packing_rows * inputs + streaming_call;
    if (dots <= std::min(blocks, streaming)) return Way::dots;
    return blocks <= streaming ? Way::blocks : Way::streaming;
}

/// Many weights are better read only once, in place, for all rows of x together, than again for
/// every few rows of x (docs/measurements.md#streamed-weights).
template <typename T>
Way way_of(index_t rows, index_t cols, index_t depth) {
    constexpr index_t least_rows = 12, least_cols = 384, least_weights = 1 << 20;
    if (rows >= least_rows && cols >= least_cols && cols * depth >= least_weights) {
        return Way::streaming;
    }
    return least_work<T>(rows, cols, depth);
}

}  // namespace

template <typename T>
void linear(MatrixView<const T> x, MatrixView<const T> weight, const T* bias, MatrixView<T> y) {
    require(x.cols == weight.cols && y.rows == x.rows && y.cols == weight.rows, x, weight);
    if (y.rows == 0 || y.cols == 0) return;
    switch (way_of<T>(y.rows, y.cols, x.cols)) {
        case Way::dots:
            return linear_by_dots(x, weight, bias, y);
        case Way::blocks:
            return linear_by_blocks(x, weight, bias, y);
        case Way::streaming:
            return linear_by_streaming(x, weight, bias, y);
    }
}

void linear(MatrixView<const float> x, MatrixView<const BFloat16> weight, const float* bias,
            MatrixView<float> y) {
    require(x.cols == weight.cols && y.rows == x.rows && y.cols == weight.rows, x, weight);
    if (y.rows > 0 && y.cols > 0) linear_by_dots(x, weight, bias, y);
}

template void linear(MatrixView<const float>, MatrixView<const float>, const float*,
                     MatrixView<float>);
template void linear(MatrixView<const double>, MatrixView<const double>, const double*,
                     MatrixView<double>);

}  // namespace pocketcnn
