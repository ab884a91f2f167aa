// The indirect product: the left operand is read in place, through offsets of its rows and of its
// depth. The right operand is packed once, in panels that all blocks share.
//
//     for each slice of the depth                      (kDepthBlock: a panel stays in L2)
//         for each panel of columns
//             for each tile of rows                    (the rows' elements stay in L1)
//                 kernels.indirect.tiles[].multiply
//     write the sums, transposed
//
// For a window over an image, the rows are output pixels and the depth is taps, or the reverse. The
// packed operand is the smaller one: the weights or the gradient.
#pragma once

#include <algorithm>
#include <vector>

#include "gemm/gemm.h"
#include "gemm/matrix.h"
#include "runtime/parallel.h"

namespace pocketcnn::gemm {

/// Columns, cut into as few panels of nearly equal width as the widest tile allows.
class Panels {
  public:
    template <typename T>
    Panels(const Kernels<T>& kernels, index_t cols)
        : lanes_(kernels.lanes), cols_(cols), vectors_(ceil_div(cols, lanes_)) {
        index_t widest = kIndirectVectors;
        while (kernels.indirect.tiles[widest - 1].rows == 0) --widest;
        count_ = std::max<index_t>(1, ceil_div(vectors_, widest));
        narrow_ = vectors_ / count_;
        wide_ = vectors_ % count_;
    }

    index_t count() const { return count_; }
    /// First column of a panel, or the end after the last panel.
    index_t begin(index_t panel) const { return first_vector(panel) * lanes_; }
    index_t vectors(index_t panel) const { return first_vector(panel + 1) - first_vector(panel); }
    index_t width(index_t panel) const { return vectors(panel) * lanes_; }
    /// Columns of a panel that are not padding.
    index_t length(index_t panel) const { return std::min(width(panel), cols_ - begin(panel)); }
    index_t padded_cols() const { return vectors_ * lanes_; }

  private:
    index_t first_vector(index_t panel) const { return panel * narrow_ + std::min(panel, wide_); }

    index_t lanes_, cols_, vectors_;
    index_t count_;
    index_t narrow_, wide_;  ///< vectors per panel, and number of panels with one more
};

/// A right operand in panels: element (k, c) of panel p at data(p)[k * width(p) + c - begin(p)].
template <typename T>
class PackedPanels {
  public:
    PackedPanels(const Panels& panels, index_t depth)
        : panels_(panels), depth_(depth), data_(panels.padded_cols() * depth + kPackSlack) {}

    T* data(index_t panel) const { return data_.data() + panels_.begin(panel) * depth_; }
    /// The panel from depth k on.
    T* data(index_t panel, index_t k) const { return data(panel) + k * panels_.width(panel); }
    const Panels& panels() const { return panels_; }

  private:
    Panels panels_;
    index_t depth_;
    Buffer<T> data_;
};

/// The right operand of each group: pack(group, first column, columns, width, panel) fills a panel.
template <typename T, typename Pack>
std::vector<PackedPanels<T>> pack_groups(const Panels& panels, index_t groups, index_t depth,
                                         Pack&& pack) {
    std::vector<PackedPanels<T>> packed;
    packed.reserve(static_cast<std::size_t>(groups));
    for (index_t group = 0; group < groups; ++group) packed.emplace_back(panels, depth);
    const double elements =
        static_cast<double>(groups * panels.padded_cols()) * static_cast<double>(depth);
    parallel_for(groups * panels.count(), elements, [&](index_t i) {
        const index_t group = i / panels.count(), p = i % panels.count();
        pack(group, panels.begin(p), panels.length(p), panels.width(p),
             packed[static_cast<std::size_t>(group)].data(p));
    });
    return packed;
}

/// Sums of a block: rows x panels [panel, panel_end), each panel's [rows][width] by itself.
template <typename T>
class IndirectSums {
  public:
    /// `depth` is that of the complete sums.
    IndirectSums(const Kernels<T>& kernels, const Panels& panels, index_t panel, index_t panel_end,
                 index_t rows, index_t depth)
        : kernels_(kernels),
          panels_(panels),
          panel_(panel),
          panel_end_(panel_end),
          rows_(rows),
          room_(round_up(rows, kIndirectRowsMultiple)),
          size_((panels.begin(panel_end) - panels.begin(panel)) * room_),
          data_(size_ + kPackSlack),
          totals_(size_, depth) {}

    index_t panel() const { return panel_; }
    index_t panel_end() const { return panel_end_; }
    index_t rows() const { return rows_; }
    T* data(index_t panel) const {
        return data_.data() + (panels_.begin(panel) - panels_.begin(panel_)) * room_;
    }

    /// To be called before a slice of the depth is added. Whether the sums start from zero.
    bool begin_anew(index_t depth) { return totals_.begin_anew(depth, data_.data()); }
    /// After the last slice.
    void finish() const { totals_.finish(data_.data()); }

    /// Adds a slice of the depth that starts at k of the packed operand. The `count` rows begin at
    /// `row`; row_offsets has kIndirectRowsMultiple more valid elements.
    void add(index_t depth, const T* left, const index_t* row_offsets, index_t row, index_t count,
             const index_t* depth_offsets, const PackedPanels<T>& right, index_t k,
             bool accumulate) const {
        for (index_t p = panel_; p < panel_end_; ++p) {
            const IndirectTile<T>& tile = kernels_.indirect.tiles[panels_.vectors(p) - 1];
            const index_t width = panels_.width(p);
            // The next panel is in a more distant cache than a tile's own prefetch allows for, so
            // each tile prefetches a part of it (docs/measurements.md#matrix-product).
            constexpr index_t line = 64 / sizeof(T);
            const index_t tiles = ceil_div(count, tile.rows);
            const index_t lines = ceil_div(ceil_div(depth * width, line), tiles);
            PanelAhead<T> ahead = {
                p + 1 < panel_end_ ? right.data(p + 1, k) : right.data(panel_, k + depth), line,
                lines};
            for (index_t r = 0; r < count; r += tile.rows) {
                tile.multiply(depth, left, row_offsets + r, depth_offsets, right.data(p, k), ahead,
                              data(p) + (row + r) * width, accumulate);
                ahead.data += lines * line;
            }
        }
    }

  private:
    const Kernels<T>& kernels_;
    const Panels& panels_;
    index_t panel_, panel_end_;
    index_t rows_, room_, size_;
    Buffer<T> data_;
    LongSums<T> totals_;
};

}  // namespace pocketcnn::gemm
