// Small planes with their padding written out. Blocks of windows that are clipped alike would be
// many for few windows, and each costs a call: with nine blocks the windows of a small plane took
// ten times as long (docs/measurements.md#pooling).
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "pool2d_blocks.h"
#include "runtime/memory_pool.h"

namespace pocketcnn {

template <typename T>
class PaddedPlanes {
  public:
    /// Whether the copy costs less than the calls.
    static bool pay(const PoolAxes& a) {
        const index_t few_windows = a.x.stride <= 2 ? 256 : 64;
        const InsideWindows rows(a.y), cols(a.x);
        const bool clips =
            rows.first > 0 || rows.last < a.y.out || cols.first > 0 || cols.last < a.x.out;
        return clips && a.y.out * a.x.out <= few_windows && a.y.dilation == 1 &&
               a.x.dilation == 1 && reach(a.y) * reach(a.x) <= kElements;
    }

    /// `padding` is what the padding consists of.
    PaddedPlanes(const PoolAxes& a, T padding)
        : axes_(a),
          rows_(reach(a.y)),
          cols_(reach(a.x)),
          most_(std::max<index_t>(1, kElements / plane())),
          data_(most_ * plane() + kPackSlack) {
        std::fill_n(data_.data(), most_ * plane() + kPackSlack, padding);
    }

    /// How many are copied at a time.
    index_t most() const { return most_; }
    index_t plane() const { return rows_ * cols_; }
    const T* data() const { return data_.data(); }

    void copy(const T* planes, index_t count) {
        const PoolAxis &y = axes_.y, &x = axes_.x;
        const index_t rows = std::min(y.size, rows_ - y.pad);
        const index_t cols = std::min(x.size, cols_ - x.pad);
        for (index_t i = 0; i < count; ++i, planes += y.size * x.size) {
            T* to = data_.data() + i * plane() + y.pad * cols_ + x.pad;
            for (index_t row = 0; row < rows; ++row) {
                std::copy_n(planes + row * x.size, cols, to + row * cols_);
            }
        }
    }

    /// All windows of so many planes; y_room is as in PoolBlock.
    PoolBlock windows(index_t count, index_t y_room) const {
        const PoolAxis &y = axes_.y, &x = axes_.x;
        return {.planes = count,
                .x_plane = plane(),
                .y_plane = y.out * x.out,
                .rows = y.out,
                .count = x.out,
                .row_step = y.stride * cols_,
                .stride = x.stride,
                .taps_y = y.kernel,
                .taps_x = x.kernel,
                .step_y = cols_,
                .step_x = 1,
                .y_step = x.out,
                .x_room = most_ * plane() + kPackSlack,
                .y_room = y_room};
    }

    /// For each place of a padded plane the one in the plane itself, or -1 for padding.
    std::vector<index_t> places() const {
        const PoolAxis &y = axes_.y, &x = axes_.x;
        std::vector<index_t> places;
        places.reserve(static_cast<std::size_t>(plane()));
        for (index_t row = -y.pad; row < rows_ - y.pad; ++row) {
            for (index_t col = -x.pad; col < cols_ - x.pad; ++col) {
                const bool inside = row >= 0 && row < y.size && col >= 0 && col < x.size;
                places.push_back(inside ? row * x.size + col : -1);
            }
        }
        return places;
    }

  private:
    /// Elements that are copied at a time: they stay in the first cache.
    static constexpr index_t kElements = 1 << 12;

    /// From the first tap of the first window to the last of the last.
    static index_t reach(const PoolAxis& axis) {
        return (axis.out - 1) * axis.stride + axis.kernel;
    }

    PoolAxes axes_;
    index_t rows_, cols_, most_;
    Buffer<T> data_;
};

}  // namespace pocketcnn
