// Readers of the product for windows of one tap, stride 1 and no padding: the column matrix is the
// image itself, with pixels flattened over the batch, so no slab is copied first.
#pragma once

#include <vector>

#include "gemm/windows.h"

namespace pocketcnn::gemm {

/// Right operand: columns are pixels across images, depth is channels.
template <typename T>
class RightPixels {
  public:
    /// `end` is the end of the array that contains `source`: nothing past it is read.
    RightPixels(const Kernels<T>& kernels, const WindowedImages<T>& source, const T* end)
        : kernels_(kernels), source_(source), end_(end) {}

    /// Channel by channel, all panels at once: long stretches of each channel are read in order.
    void pack(const Block& block, T* panels) {
        const index_t plane = source_.h * source_.w, depth = block.depth_end - block.depth;
        offsets_.resize(static_cast<std::size_t>(depth));
        for (index_t k = 0; k < depth; ++k) offsets_[static_cast<std::size_t>(k)] = k * plane;
        runs_.clear();
        for (index_t p = block.col, lane = 0; p < block.col_end;) {
            const index_t in_panel = kernels_.product.cols - lane % kernels_.product.cols;
            const index_t length = std::min({plane - p % plane, in_panel, block.col_end - p});
            runs_.push_back({p / plane * source_.image_stride + p % plane,
                             lane / kernels_.product.cols * depth * kernels_.product.cols +
                                 lane % kernels_.product.cols,
                             length});
            p += length;
            lane += length;
        }
        copy(source_.data + block.depth * plane, depth, panels);
        clear_rest(block.col_end - block.col, depth, panels);
    }

    /// What is packed next, to be prefetched: each tile asks for a share of its cache lines.
    /// Packing waits for memory, which the product leaves idle. It is the next slice of the block's
    /// channels, or the first slice of the next block. Once all of it was asked for, to ask again
    /// would take bandwidth of the second cache, from which the product streams its panels.
    PanelAhead<T> ahead(const Block& block, index_t i, index_t tiles) const {
        constexpr index_t line = 64 / sizeof(T);
        const index_t plane = source_.h * source_.w, width = block.col_end - block.col;
        const bool is_last = block.depth_end >= source_.channels;
        const LineShare share(i, tiles, ceil_div(width, line) + 1, block.depth_end - block.depth);
        const index_t col = is_last ? block.col_end : block.col;
        const index_t pixel = std::min(col + share.line * line, col + width);
        if (share.begin == share.end || pixel >= source_.pixels()) return {};
        const index_t depth = (is_last ? 0 : block.depth_end) + share.begin;
        return {source_.data + depth * plane + pixel / plane * source_.image_stride + pixel % plane,
                plane, share.end - share.begin};
    }

  private:
    /// Whole vectors may be read past a run as long as they stay in the array. They may be written
    /// past it except in the last row of a panel, because another panel follows. The rest is copied
    /// exactly.
    void copy(const T* data, index_t depth, T* panels) {
        const LaneRun& last = runs_.back();
        const index_t reach = last.source + round_up(last.count, kernels_.lanes);
        index_t whole = depth - 1;
        while (whole > 0 && end_ - data < offsets_[static_cast<std::size_t>(whole - 1)] + reach) {
            --whole;
        }
        kernels_.packing.pack_runs(whole, offsets_.data(), runs_.data(),
                                   static_cast<index_t>(runs_.size()), kernels_.product.cols, data,
                                   panels);
        for (index_t k = whole; k < depth; ++k) {
            for (const LaneRun& run : runs_) {
                std::copy_n(data + offsets_[static_cast<std::size_t>(k)] + run.source, run.count,
                            panels + k * kernels_.product.cols + run.lane);
            }
        }
    }

    /// Zeros for the missing columns of the last panel. Old contents may be denormal numbers, whose
    /// products take a hundred times as long.
    void clear_rest(index_t cols, index_t depth, T* panels) const {
        const index_t width = kernels_.product.cols, used = cols % width;
        if (used == 0) return;
        T* row = panels + cols / width * depth * width;
        for (index_t k = 0; k < depth; ++k, row += width) {
            std::fill_n(row + used, width - used, T{0});
        }
    }

    const Kernels<T>& kernels_;
    WindowedImages<T> source_;
    const T* end_;
    std::vector<index_t> offsets_;
    std::vector<LaneRun> runs_;
};

}  // namespace pocketcnn::gemm
