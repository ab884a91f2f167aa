// Readers of the product for windows of one tap, stride 1 and no padding: the column matrix is the
// image itself, with pixels flattened over the batch, so there is no slab to copy first.
#pragma once

#include <vector>

#include "gemm/windows.h"

namespace pocketcnn::gemm {

/// Right operand: columns are pixels across images, depth is channels.
template <typename T>
class RightPixels {
  public:
    /// `end` is where the array that `source` lies in ends: nothing past it is read.
    RightPixels(const Kernels<T>& kernels, const WindowedImages<T>& source, const T* end)
        : kernels_(kernels), source_(source), end_(end) {}

    void pack(const Block& block, T* panels) {
        const index_t plane = source_.h * source_.w, depth = block.depth_end - block.depth;
        offsets_.resize(static_cast<std::size_t>(depth));
        for (index_t k = 0; k < depth; ++k) offsets_[static_cast<std::size_t>(k)] = k * plane;
        const T* data = source_.data + block.depth * plane;
        std::array<LaneRun, kPackSlack> runs;  // no tile is wider than the slack
        for (index_t col = block.col; col < block.col_end; col += kernels_.cols) {
            const index_t end = std::min(col + kernels_.cols, block.col_end);
            std::size_t count = 0;
            for (index_t p = col; p < end;) {
                const index_t length = std::min(plane - p % plane, end - p);
                runs[count++] = {p / plane * source_.image_stride + p % plane, p - col, length};
                p += length;
            }
            pack_panel(data, depth, runs.data(), static_cast<index_t>(count), panels);
            panels += depth * kernels_.cols;
        }
    }

  private:
    /// Whole vectors may be read past a run as long as they stay in the array; the channels for
    /// which they would not are copied element by element.
    void pack_panel(const T* data, index_t depth, const LaneRun* runs, index_t count, T* panel) {
        const LaneRun& last = runs[count - 1];
        const index_t reach = last.source + round_up(last.count, kernels_.lanes);
        index_t whole = depth;
        while (whole > 0 && end_ - data < offsets_[static_cast<std::size_t>(whole - 1)] + reach) {
            --whole;
        }
        kernels_.pack_runs(whole, offsets_.data(), runs, count, kernels_.cols, data, panel);
        for (index_t k = whole; k < depth; ++k) {
            for (index_t r = 0; r < count; ++r) {
                std::copy_n(data + offsets_[static_cast<std::size_t>(k)] + runs[r].source,
                            runs[r].count, panel + k * kernels_.cols + runs[r].lane);
            }
        }
    }

    const Kernels<T>& kernels_;
    WindowedImages<T> source_;
    const T* end_;
    std::vector<index_t> offsets_;
};

/// Right operand: columns are channels, depth is pixels across images.
template <typename T>
class RightChannels {
  public:
    RightChannels(const Kernels<T>& kernels, const WindowedImages<T>& source)
        : kernels_(kernels), source_(source) {}

    void pack(const Block& block, T* panels) {
        const index_t plane = source_.h * source_.w;
        for (index_t col = block.col; col < block.col_end; col += kernels_.cols) {
            const index_t lanes = std::min(kernels_.cols, block.col_end - col);
            for (index_t p = block.depth; p < block.depth_end;) {
                const index_t length = std::min(plane - p % plane, block.depth_end - p);
                kernels_.pack_columns(
                    length, lanes, kernels_.cols,
                    source_.data + p / plane * source_.image_stride + col * plane + p % plane,
                    plane, panels);
                panels += length * kernels_.cols;
                p += length;
            }
        }
    }

  private:
    const Kernels<T>& kernels_;
    WindowedImages<T> source_;
};

}  // namespace pocketcnn::gemm
