#include "conv/few_pixels.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "conv/pointwise.h"
#include "gemm/indirect.h"
#include "runtime/cut.h"
#include "runtime/isa.h"
#include "runtime/memory_pool.h"
#include "runtime/parallel.h"

namespace pocketcnn::conv::few_pixels {
namespace {

/// Filters per task: whole tiles of every height, and two of the tallest if enough tasks remain to
/// share. 512x14 to 512 takes 0.93 of the time with one.
index_t task_filters(const Problem& problem) {
    constexpr index_t tall = 2 * kIndirectRowsMultiple;
    return problem.filters >= kEnoughLargeTasks * tall ? tall : kIndirectRowsMultiple;
}

/// The last pixels, if they would fill no more than half of a vector: dot products of their whole
/// columns with the weights take less time than the vector.
index_t dotted_pixels(const Problem& problem, index_t lanes) {
    const index_t rest = problem.pixels() % lanes;
    return problem.pixels() > lanes && rest <= lanes / 2 ? rest : 0;
}

/// The columns of im2col, with pixels in the lanes, cut along the depth into slices of whole
/// channels. The columns of the last `dotted` pixels are stored one by one.
template <typename T>
class PackedColumns {
  public:
    PackedColumns(const Problem& problem, const T* x, index_t dotted);

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
PackedColumns<T>::PackedColumns(const Problem& problem, const T* x, index_t dotted)
    : kernels_(kernels<T>()),
      dotted_(dotted),
      panels_(kernels_, problem.pixels() - dotted),
      channels_(problem.channels),
      area_(problem.window.taps()),
      columns_(dotted * problem.taps) {
    // Enough slices for the threads that pack them.
    constexpr index_t least = 4;
    const index_t most = std::max<index_t>(1, gemm::kDepthBlock / area_);
    step_ = ceil_div(channels_, std::max(least, ceil_div(channels_, most)));
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
        gemm::Slab<T> slab(kernels_, problem.windows(x, 0), gemm::SlabReading::copied);
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

/// y of filters [filter, filter_end) from their sums.
template <typename T>
void write(const Problem& problem, const PackedColumns<T>& columns, const Sums<T>& sums,
           index_t filter, index_t filter_end, const T* bias, T* y) {
    const index_t plane = problem.y.plane();
    const auto result = [&](index_t f, index_t pixel) -> T* {
        return y + pixel / plane * problem.y.image() + f * plane + pixel % plane;
    };
    const gemm::Panels& panels = columns.panels();
    for (index_t p = 0; p < panels.count(); ++p) {
        const index_t begin = panels.begin(p), end = begin + panels.length(p);
        for (index_t f = filter; f < filter_end; ++f) {
            const T* values = sums.panels.data(p) + (f - filter) * panels.width(p);
            const T b = bias != nullptr ? bias[f] : T{0};
            for (index_t pixel = begin; pixel < end;) {
                const index_t stop = std::min(end, (pixel / plane + 1) * plane);
                for (T* to = result(f, pixel); pixel < stop; ++pixel) *to++ = *values++ + b;
            }
        }
    }
    const T* value = sums.dotted.data();
    for (index_t d = problem.pixels() - columns.dotted(); d < problem.pixels(); ++d) {
        for (index_t f = filter; f < filter_end; ++f) {
            *result(f, d) = *value++ + (bias != nullptr ? bias[f] : T{0});
        }
    }
}

/// Runs over blocks of filters: add(sums, filter, filters) computes the sums of one.
template <typename T, typename Add>
void for_blocks(const Problem& problem, const PackedColumns<T>& columns, const T* bias, T* y,
                const LastStep<T>& last, const Add& add) {
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const index_t step = task_filters(problem);
    parallel_for(ceil_div(problem.filters, step), problem.multiply_adds(), [&](index_t i) {
        const index_t filter = i * step;
        const index_t filter_end = std::min(problem.filters, filter + step);
        const index_t filters = filter_end - filter;
        Sums<T> sums(kernels, problem, columns, filters);
        add(sums, filter, filters);
        sums.finish();
        write(problem, columns, sums, filter, filter_end, bias, y);
        last.apply(y, problem.y, filter, filter_end, 0, problem.pixels());
    });
}

/// Offsets of rows `step` apart. The last is repeated, because a tile may have more rows.
std::vector<index_t> row_offsets(index_t rows, index_t step) {
    std::vector<index_t> offsets;
    offsets.reserve(static_cast<std::size_t>(rows + kIndirectRowsMultiple));
    for (index_t row = 0; row < rows + kIndirectRowsMultiple; ++row) {
        offsets.push_back(std::min(row, rows - 1) * step);
    }
    return offsets;
}

}  // namespace

const char* obstacle(const Problem& problem) {
    if (problem.groups != 1) return "takes one group";
    return problem.window.stride_w == 1 ? nullptr : "takes no stride to the right";
}

/// For few pixels and many weights (docs/measurements.md#few-pixels); with packed weights at hand,
/// for fewer pixels. Windows of one pixel are copied once, and others once for each tap.
bool pays(const Problem& problem, bool kept) {
    constexpr index_t most_pixels = 256, fewest_pixels = 64, least_filters = 64;
    constexpr index_t least_taps = 512, least_channels = 256;
    constexpr index_t least_weights = 3 << 14, least_pointwise_weights = 1 << 15;
    const index_t pixels = problem.pixels(), weights = problem.filters * problem.taps;
    if (pixels < 1 || pixels > most_pixels || problem.filters < least_filters) return false;
    if (!problem.window.is_pointwise()) {
        return problem.taps >= least_taps && weights >= least_weights;
    }
    if (pointwise::is_linear(problem)) return false;
    if (pixels <= fewest_pixels) return problem.channels >= least_filters;
    return !kept && problem.channels >= least_channels && weights >= least_pointwise_weights;
}

template <typename T>
void forward(const ForwardCall<T>& call) {
    const Problem& problem = call.problem;
    const index_t area = problem.window.taps();
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const PackedColumns<T> columns(problem, call.x, dotted_pixels(problem, kernels.lanes));
    std::vector<index_t> depth(static_cast<std::size_t>(columns.channel(1) * area));
    std::iota(depth.begin(), depth.end(), index_t{0});
    const auto add = [&](Sums<T>& sums, index_t filter, index_t filters) {
        const std::vector<index_t> rows = row_offsets(filters, problem.taps);
        for (index_t i = 0; i < columns.slices(); ++i) {
            const index_t channel = columns.channel(i);
            const index_t length = (columns.channel(i + 1) - channel) * area;
            const T* left = call.weight + filter * problem.taps + channel * area;
            sums.add(length, left, rows, depth, columns[i]);
            kernels.unpacked.dots(
                {columns.dotted(), filters, length, problem.taps, problem.taps, filters},
                columns.dotted_columns(channel), left, sums.dotted.data());
        }
    };
    for_blocks(problem, columns, call.bias, call.y, call.last, add);
}

template <typename T>
void forward_turned(const Problem& problem, const T* x, const T* weight, T* y) {
    const index_t area = problem.window.taps();
    // The weights of a filter are not consecutive, so there are no dot products.
    const PackedColumns<T> columns(problem, x, 0);
    const T* no_bias = nullptr;
    for_blocks(problem, columns, no_bias, y, LastStep<T>(),
               [&](Sums<T>& sums, index_t filter, index_t filters) {
                   // A slice's weights, copied together: in place, each channel's would be on a
                   // page of its own.
                   const Buffer<T> left(columns.channel(1) * filters * area);
                   const std::vector<index_t> rows = row_offsets(filters, area);
                   std::vector<index_t> depth;
                   for (index_t c = 0; c < columns.channel(1); ++c) {
                       for (index_t tap = area - 1; tap >= 0; --tap) {
                           depth.push_back(c * filters * area + tap);
                       }
                   }
                   for (index_t i = 0; i < columns.slices(); ++i) {
                       const index_t channel = columns.channel(i);
                       const index_t channels = columns.channel(i + 1) - channel;
                       for (index_t c = 0; c < channels; ++c) {
                           std::copy_n(weight + ((channel + c) * problem.filters + filter) * area,
                                       filters * area, left.data() + c * filters * area);
                       }
                       sums.add(channels * area, left.data(), rows, depth, columns[i]);
                   }
               });
}

#define POCKETCNN_INSTANTIATE(T)                  \
    template void forward(const ForwardCall<T>&); \
    template void forward_turned(const Problem&, const T*, const T*, T*);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::conv::few_pixels
