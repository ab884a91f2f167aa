// Readers and writers of the product for plain matrices.
#pragma once

#include <algorithm>

#include "gemm/gemm.h"
#include "runtime/parallel.h"

namespace pocketcnn::gemm {

/// An operand as its panels see it: element(lane, depth) = data[lane * lane_stride + depth *
/// depth_stride], where one of the strides is 1. For a transposed matrix they are exchanged.
template <typename T>
struct Operand {
    const T* data;
    index_t lanes;
    index_t lane_stride;
    index_t depth_stride;
};

/// Packs the lanes from `lane` on, for depths [depth, depth_end), into one panel.
template <typename T>
void pack_panel(const Kernels<T>& kernels, const Operand<T>& operand, index_t lane, index_t width,
                index_t depth, index_t depth_end, T* panel) {
    const index_t lanes = std::min(width, operand.lanes - lane);
    const T* source = operand.data + lane * operand.lane_stride + depth * operand.depth_stride;
    if (operand.lane_stride == 1) {
        kernels.packing.pack_rows(depth_end - depth, lanes, width, source, operand.depth_stride,
                                  panel);
    } else {
        kernels.packing.pack_columns(depth_end - depth, lanes, width, source, operand.lane_stride,
                                     panel);
    }
}

/// A left operand that many blocks share: packed once as a whole, in parallel.
template <typename T>
class PackedLeft {
  public:
    PackedLeft(const Kernels<T>& kernels, const Operand<T>& operand, index_t depth)
        : rows_(kernels.product.rows), panel_size_(depth * rows_ + kPackSlack) {
        const index_t panels = ceil_div(operand.lanes, rows_);
        panels_ = Buffer<T>(panels * panel_size_);
        const double elements = static_cast<double>(operand.lanes) * static_cast<double>(depth);
        if (operand.lane_stride != 1) {
            parallel_for(panels, elements, [&](index_t p) { pack(kernels, operand, p, 0, depth); });
            return;
        }
        // A row of memory has all panels' lanes at one depth.
        constexpr index_t step = 32;
        parallel_for(ceil_div(depth, step), elements, [&](index_t i) {
            for (index_t p = 0; p < panels; ++p) {
                pack(kernels, operand, p, i * step, std::min(depth, (i + 1) * step));
            }
        });
    }

    /// row must be a multiple of kernels.product.rows.
    const T* panel(index_t row, index_t depth, index_t /*depth_end*/, T* /*scratch*/) const {
        return panels_.data() + row / rows_ * panel_size_ + depth * rows_;
    }

    /// From one panel to the next.
    index_t panel_size() const { return panel_size_; }

  private:
    void pack(const Kernels<T>& kernels, const Operand<T>& operand, index_t panel, index_t depth,
              index_t depth_end) const {
        pack_panel(kernels, operand, panel * rows_, rows_, depth, depth_end,
                   panels_.data() + panel * panel_size_ + depth * rows_);
    }

    index_t rows_;
    index_t panel_size_;
    Buffer<T> panels_;
};

/// Right operand that is a matrix in memory.
template <typename T>
class RightMatrix {
  public:
    RightMatrix(const Kernels<T>& kernels, const Operand<T>& operand, index_t depth)
        : kernels_(kernels), operand_(operand), depth_(depth) {}

    /// A few rows of memory at a time are read in order, for all panels.
    void pack(const Block& block, T* panels) {
        constexpr index_t rows_at_once = 8;
        const index_t depth = block.depth_end - block.depth, width = kernels_.product.cols;
        const index_t step = lies_in_rows() ? rows_at_once : depth;
        for (index_t k = 0; k < depth; k += step) {
            T* panel = panels + k * width;
            for (index_t col = block.col; col < block.col_end; col += width) {
                pack_panel(kernels_, operand_, col, width, block.depth + k,
                           block.depth + std::min(depth, k + step), panel);
                panel += depth * width;
            }
        }
    }

    /// What is packed next, to be prefetched: each tile asks for a share of its cache lines. It is
    /// the next slice of the block's depth, or the first slice of the next block.
    PanelAhead<T> ahead(const Block& block, index_t i, index_t tiles) const {
        constexpr index_t line = 64 / sizeof(T);
        const bool is_last = block.depth_end >= depth_;
        const index_t begin = is_last ? block.col_end : block.col;
        const index_t end = is_last ? 2 * block.col_end - block.col : block.col_end;
        const LineShare share(i, tiles, ceil_div(end - begin, line), block.depth_end - block.depth);
        const index_t col = begin + share.line * line;
        if (!lies_in_rows() || share.begin == share.end || col >= std::min(end, operand_.lanes)) {
            return {};
        }
        const index_t depth = (is_last ? 0 : block.depth_end) + share.begin;
        return {operand_.data + col + depth * operand_.depth_stride, operand_.depth_stride,
                share.end - share.begin};
    }

  private:
    bool lies_in_rows() const { return operand_.lane_stride == 1; }

    const Kernels<T>& kernels_;
    Operand<T> operand_;
    index_t depth_;
};

/// Stores tiles into a row-major matrix.
template <typename T>
class StoreMatrix {
  public:
    StoreMatrix(const Kernels<T>& kernels, T* data, index_t stride)
        : kernels_(kernels), data_(data), stride_(stride) {}

    void tile(index_t row, index_t rows, index_t col, index_t cols, const T* values) const {
        kernels_.product.store_tile(rows, cols, values, nullptr, data_ + row * stride_ + col,
                                    stride_);
    }

  private:
    const Kernels<T>& kernels_;
    T* data_;
    index_t stride_;
};

}  // namespace pocketcnn::gemm
