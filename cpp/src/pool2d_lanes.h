// Pooling with the planes in the lanes: groups of as many planes as a vector has elements are
// transposed, pooled side by side, and their results transposed back. That costs two copies, but no
// window needs any care, whatever its shape, its stride and its clipping: for planes of few windows
// and for odd strides it is many times faster than windows in the lanes
// (docs/measurements.md#pooling).
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "kernels/lane_pool.h"
#include "pool2d_blocks.h"
#include "runtime/isa.h"
#include "runtime/memory_pool.h"

namespace pocketcnn {

/// Whether planes fill half of the lanes, and a band of rows is small enough for a cache and for
/// sums of T.
template <typename T>
bool lanes_fit(const Shape4& x, const PoolAxes& a) {
    constexpr index_t most_taps = 64, most_elements = 1 << 12;
    const index_t span = a.y.dilation * (a.y.kernel - 1) + 1;
    return 2 * x.n * x.c >= kernels<T>().lanes && a.y.kernel <= most_taps &&
           a.x.kernel <= most_taps && span * a.x.size <= most_elements;
}

/// Up to how many results in a row planes in the lanes are faster than windows in the lanes, of
/// which a short row fills few. Vectors of a whole cache line transpose in fewer steps; to gather
/// windows costs least with a stride of two, which takes halves of two vectors.
template <typename T>
index_t short_row(index_t stride) {
    constexpr index_t line = 64, row = 24, long_row = 40, long_strided_row = 48;
    if (stride == 2 || kernels<T>().lanes * index_t{sizeof(T)} < line) return row;
    return stride == 1 ? long_row : long_strided_row;
}

/// Whether planes in the lanes are faster. Where all windows are whole, windows in the lanes need
/// no second block.
template <typename T>
bool lanes_pay(const Shape4& x, const PoolAxes& a) {
    constexpr index_t whole_row = 3;
    const index_t whole = a.x.stride > 2 ? short_row<T>(a.x.stride) / 2 : whole_row;
    return a.x.out <= (clips(a) ? short_row<T>(a.x.stride) : whole) && lanes_fit<T>(x, a);
}

/// The same of the gradient of average pooling. Shares that do not overlap are spread quickly.
template <typename T>
bool lanes_pay_backward(const Shape4& x, const PoolAxes& a) {
    constexpr index_t whole_row = 8;
    const bool overlap = a.y.kernel > a.y.stride || a.x.kernel > a.x.stride;
    const bool spreads_quickly = !clips(a) && !overlap;
    return a.x.out <= (spreads_quickly ? whole_row : short_row<T>(a.x.stride)) &&
           lanes_fit<T>(x, a);
}

/// The taps of each window along an axis.
inline std::vector<PoolTaps> window_taps(const PoolAxis& axis) {
    std::vector<PoolTaps> taps;
    taps.reserve(static_cast<std::size_t>(axis.out));
    for (index_t o = 0; o < axis.out; ++o) {
        const PoolAxis::Range range = axis.inside(o);
        taps.push_back({range.first, ceil_div(range.last - range.first, axis.dilation)});
    }
    return taps;
}

/// The windows along an undilated axis that see each element.
inline std::vector<PoolTaps> covering_windows(const PoolAxis& axis) {
    std::vector<PoolTaps> windows;
    windows.reserve(static_cast<std::size_t>(axis.size));
    for (index_t at = axis.pad; at < axis.pad + axis.size; ++at) {
        const index_t first = std::max<index_t>(0, ceil_div(at - axis.kernel + 1, axis.stride));
        const index_t end = std::min(axis.out, at / axis.stride + 1);
        windows.push_back({first, std::max<index_t>(0, end - first)});
    }
    return windows;
}

/// Rows of results that are computed together, and the rows of the planes that they see.
struct LaneBand {
    index_t row, rows;
    index_t in_row, in_rows;
};

/// The results of one plane, in bands that the first cache holds.
class LaneResults {
  public:
    LaneResults(index_t in_cols, std::vector<PoolTaps> rows, std::vector<PoolTaps> cols,
                index_t step_y = 1, index_t step_x = 1)
        : in_cols_(in_cols),
          rows_(std::move(rows)),
          cols_(std::move(cols)),
          step_y_(step_y),
          step_x_(step_x) {
        cut();
    }

    const std::vector<LaneBand>& bands() const { return bands_; }
    index_t in_cols() const { return in_cols_; }
    index_t cols() const { return static_cast<index_t>(cols_.size()); }
    index_t most_rows() const { return most(&LaneBand::rows); }
    index_t most_in_rows() const { return most(&LaneBand::in_rows); }

    LanePlanes planes(const LaneBand& band) const {
        return {.first_row = band.in_row,
                .in_rows = band.in_rows,
                .in_cols = in_cols_,
                .rows = band.rows,
                .cols = cols(),
                .taps_y = rows_.data() + band.row,
                .taps_x = cols_.data(),
                .step_y = step_y_,
                .step_x = step_x_};
    }

  private:
    /// Elements of a plane that a band may see or give; there are as many vectors of them.
    static constexpr index_t kElements = 256;

    /// The band and one row more. Windows with a dilation need not begin in order.
    LaneBand with_row(const LaneBand& band, index_t row) const {
        const PoolTaps taps = rows_[static_cast<std::size_t>(row)];
        const index_t seen = std::max<index_t>(0, (taps.count - 1) * step_y_ + 1);
        if (band.rows == 0) return {row, 1, taps.first, seen};
        const index_t first = std::min(band.in_row, taps.first);
        const index_t end = std::max(band.in_row + band.in_rows, taps.first + seen);
        return {band.row, band.rows + 1, first, end - first};
    }

    void cut() {
        LaneBand band = {};
        for (index_t row = 0; row < static_cast<index_t>(rows_.size()); ++row) {
            const LaneBand more = with_row(band, row);
            const bool fits =
                more.in_rows * in_cols_ <= kElements && more.rows * cols() <= kElements;
            if (band.rows == 0 || fits) {
                band = more;
            } else {
                bands_.push_back(band);
                band = with_row({}, row);
            }
        }
        bands_.push_back(band);
    }

    index_t most(index_t LaneBand::* member) const {
        index_t most = 0;
        for (const LaneBand& band : bands_) most = std::max(most, band.*member);
        return most;
    }

    index_t in_cols_;
    std::vector<PoolTaps> rows_, cols_;
    index_t step_y_, step_x_;
    std::vector<LaneBand> bands_;
};

/// Where the results of a band go: element (i, plane) of [size][lanes] to at + plane * stride + i.
struct LaneTarget {
    index_t row;  ///< the band's first
    index_t size, planes;
    index_t at, stride;
};

/// Computes results of all planes of `in`, each from its own plane, into `out`. make(lanes) gives a
/// task its function (planes, their rows, what the rows give, target): rows lie side by side as
/// LanePlanes says, and so do the results, which are then stored at the target.
template <typename T, typename Make>
void for_lane_bands(ImageView<const T> in, ImageView<T> out, const LaneResults& results,
                    const Make& make) {
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const index_t lanes = kernels.lanes, planes = in.shape.n * in.shape.c;
    const index_t plane = in.shape.plane(), out_plane = out.shape.plane();
    const index_t work = lanes * (plane + out_plane);
    const auto task = [&](index_t group, index_t end) {
        const Buffer<T> rows(results.most_in_rows() * results.in_cols() * lanes + kPackSlack);
        const Buffer<T> given(results.most_rows() * results.cols() * lanes);
        const auto compute = make(lanes);
        for (; group < end; ++group) {
            const index_t i = group * lanes, count = std::min(lanes, planes - i);
            for (const LaneBand& band : results.bands()) {
                heed_interrupt();
                const T* from = in.data + i * plane + band.in_row * results.in_cols();
                const LaneTarget to = {.row = band.row,
                                       .size = band.rows * results.cols(),
                                       .planes = count,
                                       .at = i * out_plane + band.row * results.cols(),
                                       .stride = out_plane};
                kernels.packing.pack_columns(band.in_rows * results.in_cols(), count, lanes, from,
                                             plane, rows.data());
                compute(results.planes(band), rows.data(), given.data(), to);
                kernels.indirect.store_transposed(to.size, count, given.data(), lanes, nullptr,
                                                  out.data + to.at, to.stride);
            }
        }
    };
    parallel_ranges(ceil_div(planes, lanes), std::max<index_t>(1, kPoolGrain / work),
                    static_cast<double>(work), task);
}

}  // namespace pocketcnn
