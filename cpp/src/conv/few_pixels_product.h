// What the product of few pixels consists of: packed columns, blocks of filters and their sums, and
// where results go.
#pragma once

#include <algorithm>
#include <vector>

#include "conv/call.h"
#include "gemm/indirect.h"
#include "runtime/cut.h"
#include "runtime/isa.h"
#include "runtime/memory_pool.h"
#include "runtime/parallel.h"

namespace pocketcnn::conv::few_pixels {

/// Filters of a task: tiles of every height, and two of the tallest if enough tasks remain to
/// share. 512x14 to 512 takes 0.93 of the time with one.
inline index_t most_filters(index_t filters) {
    constexpr index_t tall = 2 * kIndirectRowsMultiple;
    return filters >= kEnoughLargeTasks * tall ? tall : kIndirectRowsMultiple;
}

/// Channels whose taps are one slice of the depth: few enough for the threads that pack slices.
inline index_t slice_channels(index_t channels, index_t area) {
    constexpr index_t least = 4;
    const index_t most = std::max<index_t>(1, gemm::kDepthBlock / area);
    return ceil_div(channels, std::max(least, ceil_div(channels, most)));
}

/// The columns of im2col, with pixels in the lanes, cut along the depth into slices of whole
/// channels. The columns of the last `dotted` pixels are stored one by one.
template <typename T>
class PackedColumns {
  public:
    /// `step` channels are a slice.
    PackedColumns(const Problem& problem, const T* x, index_t step, index_t dotted = 0);

    index_t dotted() const { return dotted_; }
    /// From a channel on; the next dotted pixel's column is problem.taps further.
    const T* dotted_columns(index_t channel) const { return columns_.data() + channel * area_; }
    index_t slices() const { return static_cast<index_t>(slices_.size()); }
    index_t channel(index_t slice) const { return std::min(channels_, slice * step_); }
    const gemm::Panels& panels() const { return panels_; }
    const gemm::PackedPanels<T>& operator[](index_t slice) const {
        return slices_[static_cast<std::size_t>(slice)];
    }

  private:
    void pack(gemm::Slab<T>& slab, index_t depth, const gemm::PackedPanels<T>& to) const;

    const Kernels<T>& kernels_;
    index_t dotted_;
    gemm::Panels panels_;
    index_t channels_, area_, step_;
    std::vector<gemm::PackedPanels<T>> slices_;
    Buffer<T> columns_;
};

template <typename T>
PackedColumns<T>::PackedColumns(const Problem& problem, const T* x, index_t step, index_t dotted)
    : kernels_(kernels<T>()),
      dotted_(dotted),
      panels_(kernels_, problem.pixels() - dotted),
      channels_(problem.channels),
      area_(problem.window.taps()),
      step_(step),
      columns_(dotted * problem.taps) {
    const index_t count = ceil_div(channels_, step_);
    for (index_t i = 0; i < count; ++i) {
        slices_.emplace_back(panels_, (channel(i + 1) - channel(i)) * area_);
    }
    // An element is copied twice, in short pieces.
    constexpr double cost = 4;
    const double elements =
        static_cast<double>(problem.taps) * static_cast<double>(panels_.padded_cols());
    parallel_for(count, cost * elements, [&](index_t i) {
        const index_t begin = channel(i) * area_, depth = channel(i + 1) * area_ - begin;
        gemm::Slab<T> slab(kernels_, problem.windows(x, 0), gemm::SlabReading::in_phases);
        slab.load(begin, begin + depth, 0, problem.pixels());
        pack(slab, depth, (*this)[i]);
        const index_t* pixel = slab.pixel_offsets() + problem.pixels() - dotted_;
        for (index_t d = 0; d < dotted_; ++d) {
            T* column = columns_.data() + d * problem.taps + begin;
            const T* from = slab.data() + pixel[d];
            for (index_t k = 0; k < depth; ++k) column[k] = from[slab.tap_offsets()[k]];
        }
    });
}

template <typename T>
void PackedColumns<T>::pack(gemm::Slab<T>& slab, index_t depth,
                            const gemm::PackedPanels<T>& to) const {
    const index_t* pixel = slab.pixel_offsets();
    std::vector<LaneRun> runs;
    for (index_t p = 0; p < panels_.count(); ++p) {
        runs.clear();
        for (index_t lane = 0; lane < panels_.length(p); ++lane, ++pixel) {
            if (lane > 0 && *pixel == pixel[-1] + 1) {
                ++runs.back().count;
            } else {
                runs.push_back({*pixel, lane, 1});
            }
        }
        kernels_.packing.pack_runs(depth, slab.tap_offsets(), runs.data(),
                                   static_cast<index_t>(runs.size()), panels_.width(p), slab.data(),
                                   to.data(p));
        // Lanes without a pixel are multiplied too, and denormals there would take long.
        const index_t width = panels_.width(p), length = panels_.length(p);
        for (index_t k = 0; k < depth && length < width; ++k) {
            std::fill(to.data(p, k) + length, to.data(p, k) + width, T{0});
        }
    }
}

/// What a task computes: the sums of some filters for the pixels in lanes and for the dotted
/// pixels.
template <typename T>
struct Sums {
    Sums(const Kernels<T>& kernels, const Problem& problem, const PackedColumns<T>& columns,
         index_t filters)
        : filters(filters),
          panels(kernels, columns.panels(), 0, columns.panels().count(), filters, problem.taps),
          dotted_size(columns.dotted() * filters),
          dotted(dotted_size),
          dotted_totals(dotted_size, problem.taps) {}

    /// Adds `length` of the depth: rows of weights times columns. Element k of a row is at the
    /// row's offset plus depth_offsets[k].
    void add(index_t length, const T* left, const std::vector<index_t>& rows,
             const std::vector<index_t>& depth_offsets, const gemm::PackedPanels<T>& columns) {
        const bool anew = panels.begin_anew(length);
        for (index_t k = 0; k < length; k += gemm::kDepthBlock) {
            panels.add(std::min(gemm::kDepthBlock, length - k), left, rows.data(), 0, filters,
                       depth_offsets.data() + k, columns, k, !anew || k > 0);
        }
        dotted_totals.make_room(length, dotted.data(), dotted_size);
    }
    void finish() const {
        panels.finish();
        dotted_totals.finish(dotted.data());
    }

    index_t filters;
    gemm::IndirectSums<T> panels;
    index_t dotted_size;
    Buffer<T> dotted;  ///< [dotted][filters]
    gemm::LongSums<T> dotted_totals;
};

/// Where results belong.
template <typename T>
class Target {
  public:
    Target(const Problem& problem, T* y, const OutputGrid& grid)
        : y_(y),
          grid_(grid),
          width_(grid.is_dense(problem.y) ? problem.y.plane() : problem.y.w),
          height_(grid.is_dense(problem.y) ? 1 : problem.y.h) {}

    /// Stores the values of a filter at pixels [pixel, end) plus the bias.
    void put(index_t filter, index_t pixel, index_t end, const T* values, T bias) const {
        while (pixel < end) {
            const index_t line = pixel / width_, x = pixel % width_;
            const index_t stop = std::min(end, pixel - x + width_);
            T* to = y_ + line / height_ * grid_.image + filter * grid_.plane +
                    line % height_ * grid_.row + x * grid_.col;
            put(stop - pixel, values, bias, to);
            values += stop - pixel;
            pixel = stop;
        }
    }

  private:
    void put(index_t count, const T* values, T bias, T* to) const {
        if (grid_.col == 1) {
            // As a tile of one row: in vectors of whatever width there is.
            return kernels<T>().product.store_tile(1, count, values, &bias, to, 0);
        }
        for (index_t i = 0; i < count; ++i) to[i * grid_.col] = values[i] + bias;
    }

    T* y_;
    OutputGrid grid_;
    index_t width_, height_;  ///< of the part that is consecutive: a plane or a row
};

/// Results of filters [filter, filter_end) from their sums.
template <typename T>
void write(const PackedColumns<T>& columns, const Sums<T>& sums, index_t filter, index_t filter_end,
           const T* bias, const Target<T>& target) {
    const gemm::Panels& panels = columns.panels();
    const auto bias_of = [&](index_t f) { return bias != nullptr ? bias[f] : T{0}; };
    for (index_t p = 0; p < panels.count(); ++p) {
        const index_t begin = panels.begin(p), end = begin + panels.length(p);
        for (index_t f = filter; f < filter_end; ++f) {
            const T* values = sums.panels.data(p) + (f - filter) * panels.width(p);
            target.put(f, begin, end, values, bias_of(f));
        }
    }
    const T* value = sums.dotted.data();
    const index_t first = panels.begin(panels.count() - 1) + panels.length(panels.count() - 1);
    for (index_t d = first; d < first + columns.dotted(); ++d) {
        for (index_t f = filter; f < filter_end; ++f) target.put(f, d, d + 1, value++, bias_of(f));
    }
}

/// Runs over blocks of filters, all of nearly equal size (docs/measurements.md#few-tasks):
/// body(filter, filter_end).
template <typename Body>
void for_blocks(index_t filters, double work, const Body& body) {
    constexpr index_t unit = 8;
    const Split blocks = {ceil_div(filters, unit),
                          even_count(ceil_div(filters, most_filters(filters)))};
    parallel_for(blocks.count, work, [&](index_t i) {
        body(blocks.begin(i) * unit, std::min(filters, blocks.end(i) * unit));
    });
}

/// Offsets of rows `step` apart. The last is repeated, because a tile may have more rows.
inline std::vector<index_t> row_offsets(index_t rows, index_t step) {
    std::vector<index_t> offsets;
    offsets.reserve(static_cast<std::size_t>(rows + kIndirectRowsMultiple));
    for (index_t row = 0; row < rows + kIndirectRowsMultiple; ++row) {
        offsets.push_back(std::min(row, rows - 1) * step);
    }
    return offsets;
}

}  // namespace pocketcnn::conv::few_pixels
