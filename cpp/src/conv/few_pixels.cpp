#include "conv/few_pixels.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "conv/phase.h"
#include "conv/phases.h"
#include "conv/pointwise.h"
#include "gemm/indirect.h"
#include "runtime/cut.h"
#include "runtime/isa.h"
#include "runtime/memory_pool.h"
#include "runtime/parallel.h"

namespace pocketcnn::conv::few_pixels {
namespace {

/// Filters of a task: tiles of every height, and two of the tallest if enough tasks remain to
/// share. 512x14 to 512 takes 0.93 of the time with one.
index_t most_filters(index_t filters) {
    constexpr index_t tall = 2 * kIndirectRowsMultiple;
    return filters >= kEnoughLargeTasks * tall ? tall : kIndirectRowsMultiple;
}

/// The last pixels, if they would fill no more than half of a vector: dot products of their whole
/// columns with the weights take less time than the vector.
index_t dotted_pixels(const Problem& problem, index_t lanes) {
    const index_t rest = problem.pixels() % lanes;
    return problem.pixels() > lanes && rest <= lanes / 2 ? rest : 0;
}

/// Channels whose taps are one slice of the depth: few enough for the threads that pack slices.
index_t slice_channels(index_t channels, index_t area) {
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
std::vector<index_t> row_offsets(index_t rows, index_t step) {
    std::vector<index_t> offsets;
    offsets.reserve(static_cast<std::size_t>(rows + kIndirectRowsMultiple));
    for (index_t row = 0; row < rows + kIndirectRowsMultiple; ++row) {
        offsets.push_back(std::min(row, rows - 1) * step);
    }
    return offsets;
}

/// Weights (filters, channels, kh, kw) of some channels, those of a slice of the filters side by
/// side: in place, each filter's would be on a page of its own.
template <typename T>
class SliceOfWeights {
  public:
    SliceOfWeights(const Problem& problem, index_t channel, index_t channel_end, index_t filters)
        : pitch_(problem.taps),
          first_(channel * problem.window.taps()),
          size_((channel_end - channel) * problem.window.taps()),
          data_(filters * size_) {}

    index_t size() const { return size_; }  ///< of a filter
    const T* data() const { return data_.data(); }
    void load(const T* weight, index_t filter, index_t filter_end) {
        for (index_t f = filter; f < filter_end; ++f) {
            std::copy_n(weight + f * pitch_ + first_, size_, data_.data() + (f - filter) * size_);
        }
    }

  private:
    index_t pitch_, first_, size_;
    Buffer<T> data_;
};

/// A phase of the gradient of the input: its taps, and dy in columns.
template <typename T>
struct PhaseColumns {
    PhaseColumns(const Problem& problem, const Phase& of, const T* dy, index_t step)
        : phase(of), columns(of.part, dy, step) {
        of.for_taps(problem.window, [&](index_t ky, index_t kx) {
            taps.push_back(ky * problem.window.kernel_w + kx);
        });
    }

    /// Where the weights of so many filters are, `pitch` apart.
    std::vector<index_t> depth(index_t filters, index_t pitch) const {
        std::vector<index_t> offsets;
        for (index_t f = 0; f < filters; ++f) {
            for (const index_t tap : taps) offsets.push_back(f * pitch + tap);
        }
        return offsets;
    }

    Phase phase;
    std::vector<index_t> taps;
    PackedColumns<T> columns;
};

/// dx of channels [channel, channel_end): the weights are copied once for all phases.
template <typename T>
void input_grad_block(const InputGradCall<T>& call, const std::vector<PhaseColumns<T>>& phases,
                      index_t channel, index_t channel_end) {
    const Problem& problem = call.problem;
    const PackedColumns<T>& slices = phases.front().columns;
    SliceOfWeights<T> weights(problem, channel, channel_end, slices.channel(1));
    const std::vector<index_t> rows = row_offsets(channel_end - channel, problem.window.taps());
    std::vector<Sums<T>> sums;
    std::vector<std::vector<index_t>> depths;
    for (const PhaseColumns<T>& p : phases) {
        sums.emplace_back(kernels<T>(), p.phase.part, p.columns, channel_end - channel);
        depths.push_back(p.depth(slices.channel(1), weights.size()));
    }
    for (index_t i = 0; i < slices.slices(); ++i) {
        const index_t filter = slices.channel(i), filter_end = slices.channel(i + 1);
        weights.load(call.weight, filter, filter_end);
        for (std::size_t p = 0; p < phases.size(); ++p) {
            const auto taps = static_cast<index_t>(phases[p].taps.size());
            sums[p].add((filter_end - filter) * taps, weights.data(), rows, depths[p],
                        phases[p].columns[i]);
        }
    }
    const T* no_bias = nullptr;
    for (std::size_t p = 0; p < phases.size(); ++p) {
        const Phase& phase = phases[p].phase;
        sums[p].finish();
        write(phases[p].columns, sums[p], channel, channel_end, no_bias,
              Target<T>(phase.part, call.dx + phase.first, phase.grid));
    }
}

constexpr const char* kOneGroup = "takes one group";

/// For few pixels and many weights (docs/measurements.md#few-pixels); with packed weights at hand,
/// for fewer pixels. Windows of one pixel are copied once, and others once for each tap.
bool is_worth(const Problem& problem, index_t pixels, index_t channels, index_t filters,
              bool kept) {
    constexpr index_t most_pixels = 256, fewest_pixels = 64, least_filters = 64;
    constexpr index_t least_taps = 512, least_channels = 256;
    constexpr index_t least_weights = 3 << 14, least_pointwise_weights = 1 << 15;
    const index_t taps = channels * problem.window.taps(), weights = filters * taps;
    if (pixels < 1 || pixels > most_pixels || filters < least_filters) return false;
    if (problem.window.taps() > 1) return taps >= least_taps && weights >= least_weights;
    if (pointwise::is_linear(problem)) return false;
    if (pixels <= fewest_pixels) return channels >= least_filters;
    return !kept && channels >= least_channels && weights >= least_pointwise_weights;
}

}  // namespace

const char* obstacle(const Problem& problem) {
    return problem.groups == 1 ? nullptr : kOneGroup;
}

const char* input_grad_obstacle(const Problem& problem) {
    return problem.groups == 1 ? phases::obstacle(problem) : kOneGroup;
}

/// Single pixels that a stride leaves are too far apart to be copied in vectors.
bool pays(const Problem& problem, bool kept) {
    const Window2d& w = problem.window;
    return (w.taps() > 1 || w.is_pointwise()) &&
           is_worth(problem, problem.pixels(), problem.channels, problem.filters, kept);
}

/// The phases of a stride pack dy four times or more, and results lie apart, which only many
/// weights make up for.
bool input_grad_pays(const Problem& problem) {
    constexpr index_t many_weights = 1 << 19;
    const Window2d& w = problem.window;
    const bool has_phases = w.taps() > 1 && (w.stride_h > 1 || w.stride_w > 1);
    if (has_phases && problem.filters * problem.taps < many_weights) return false;
    const index_t pixels_of_phase =
        problem.x.n * ceil_div(problem.x.h, w.stride_h) * ceil_div(problem.x.w, w.stride_w);
    return is_worth(problem, pixels_of_phase, problem.filters, problem.channels, false);
}

template <typename T>
void forward(const ForwardCall<T>& call) {
    const Problem& problem = call.problem;
    const index_t area = problem.window.taps();
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const PackedColumns<T> columns(problem, call.x, slice_channels(problem.channels, area),
                                   dotted_pixels(problem, kernels.lanes));
    std::vector<index_t> depth(static_cast<std::size_t>(columns.channel(1) * area));
    std::iota(depth.begin(), depth.end(), index_t{0});
    for_blocks(problem.filters, problem.multiply_adds(), [&](index_t filter, index_t filter_end) {
        const index_t filters = filter_end - filter;
        const std::vector<index_t> rows = row_offsets(filters, problem.taps);
        Sums<T> sums(kernels, problem, columns, filters);
        for (index_t i = 0; i < columns.slices(); ++i) {
            const index_t channel = columns.channel(i);
            const index_t length = (columns.channel(i + 1) - channel) * area;
            const T* left = call.weight + filter * problem.taps + channel * area;
            sums.add(length, left, rows, depth, columns[i]);
            kernels.unpacked.dots(
                {columns.dotted(), filters, length, problem.taps, problem.taps, filters},
                columns.dotted_columns(channel), left, sums.dotted.data());
        }
        sums.finish();
        write(columns, sums, filter, filter_end, call.bias, Target<T>(problem, call.y, call.grid));
        call.last.apply(call.y, problem.y, filter, filter_end, 0, problem.pixels());
    });
}

template <typename T>
void input_grad(const InputGradCall<T>& call) {
    const Problem& problem = call.problem;
    clear_skipped(problem, call.dx);
    const std::vector<Phase> all = Phase::all(problem);
    // The slices of all phases are the same filters. There are no dot products, because the weights
    // of a channel are not consecutive.
    index_t most_taps = 1;
    for (const Phase& phase : all) most_taps = std::max(most_taps, phase.part.window.taps());
    const index_t step = slice_channels(problem.filters, most_taps);
    std::vector<PhaseColumns<T>> phases;
    for (const Phase& phase : all) phases.emplace_back(problem, phase, call.dy, step);
    if (phases.empty()) return;
    for_blocks(problem.channels, problem.multiply_adds(),
               [&](index_t channel, index_t end) { input_grad_block(call, phases, channel, end); });
}

#define POCKETCNN_INSTANTIATE(T)                  \
    template void forward(const ForwardCall<T>&); \
    template void input_grad(const InputGradCall<T>&);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::conv::few_pixels
