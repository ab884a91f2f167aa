#include "conv/depthwise.h"

#include <algorithm>
#include <vector>

#include "gemm/long_sums.h"
#include "runtime/cut.h"
#include "runtime/interrupt.h"
#include "runtime/isa.h"
#include "runtime/memory_pool.h"
#include "runtime/parallel.h"

namespace pocketcnn::conv::depthwise {
namespace {

/// Elements of the padded rows: they stay in the L1 cache while every filter reads them.
constexpr index_t kBandSize = 4096;
/// Largest number of elements of padded rows that a tile may see; wider images are left to other
/// algorithms.
constexpr index_t kMostRoom = 1 << 17;

/// The layout of a plane's rows in the copy that the kernel reads. Element i of a row goes to place
/// left + i; with a stride, to the phase (left + i) % stride of the row, place (left + i) / stride;
/// spread, to place left + i * stride, with zeros in between.
struct Layout {
    enum Form { phases, spread };

    /// For the passes that move the window over x.
    static Layout of_window(const Problem& problem, index_t lanes);
    /// For the gradient of x, whose pixels collect their shares of dy.
    static Layout of_gradient(const Problem& problem, index_t lanes);

    Form form;
    index_t stride;
    index_t left;
    index_t phase_size;
    index_t row_size;              ///< of a row with its phases
    std::vector<index_t> offsets;  ///< of the first element for column kx of the kernel
};

Layout Layout::of_window(const Problem& problem, index_t lanes) {
    const Window2d& w = problem.window;
    const index_t seen = ceil_div(problem.x.w + w.pad_left + w.pad_right, w.stride_w);
    const index_t copied =
        ceil_div(w.pad_left, w.stride_w) + round_up(ceil_div(problem.x.w, w.stride_w), lanes);
    const index_t size = round_up(std::max(seen, copied), lanes);
    Layout layout = {phases, w.stride_w, w.pad_left, size, size * w.stride_w, {}};
    for (index_t kx = 0; kx < w.kernel_w; ++kx) {
        const index_t at = kx * w.dilation_w;
        layout.offsets.push_back(at % w.stride_w * size + at / w.stride_w);
    }
    return layout;
}

Layout Layout::of_gradient(const Problem& problem, index_t lanes) {
    const Window2d& w = problem.window;
    const index_t left = std::max<index_t>(0, w.span_w() - 1 - w.pad_left);
    const index_t seen = problem.x.w + w.pad_left,
                  copied = round_up(problem.y.w, lanes) * w.stride_w;
    const index_t size = round_up(left + std::max(seen, copied), lanes);
    Layout layout = {spread, w.stride_w, left, size, size, {}};
    for (index_t kx = 0; kx < w.kernel_w; ++kx) {
        layout.offsets.push_back(left + w.pad_left - kx * w.dilation_w);
    }
    return layout;
}

/// Rows of the output that are computed from one copy.
struct RowCut {
    /// The first output row sees `taps` rows, each further one `step` more.
    RowCut(const Layout& layout, index_t out_rows, index_t taps, index_t step)
        : all(std::max<index_t>(1, out_rows)) {
        constexpr index_t tile = 7;
        const index_t seen = kBandSize / layout.row_size;
        rows = std::min(all, std::max(tile, (seen - taps) / step / tile * tile));
        source_rows = (rows - 1) * step + taps;
        count = ceil_div(all, rows);
    }
    index_t first(index_t band) const { return band * rows; }
    index_t end(index_t band) const { return std::min(all, first(band) + rows); }

    index_t all, rows, source_rows, count;
};

/// Rows of a plane, arranged by a Layout.
template <typename T>
class PaddedRows {
  public:
    PaddedRows(const Kernels<T>& kernels, const Layout& layout, index_t rows)
        : kernels_(kernels),
          layout_(layout),
          rows_(rows),
          size_(rows * layout.row_size + kPackSlack),
          data_(size_) {}

    /// Copies the rows from `first` on, which may be outside the plane; `room` elements are
    /// readable from the plane's start on.
    /// Returns where the rows after them begin.
    const T* load(const T* plane, index_t height, index_t width, index_t room, index_t first) {
        const index_t begin = std::clamp<index_t>(-first, 0, rows_);
        const index_t end = std::clamp<index_t>(height - first, begin, rows_);
        if (begin != begin_ || end != end_) {
            std::fill_n(data_.data(), size_, T{0});
            begin_ = begin;
            end_ = end;
        }
        const index_t start = (first + begin) * width;
        copy({.rows = end - begin,
              .count = width,
              .step = width,
              .room = room - start,
              .to_step = layout_.row_size},
             plane + start, data_.data() + begin * layout_.row_size);
        return plane + (first + end) * width;
    }

    const T* row(index_t i) const { return data_.data() + i * layout_.row_size; }

  private:
    void copy(const RowCopy& rows, const T* from, T* to) const {
        const index_t left = layout_.left;
        if (layout_.stride == 1) {
            kernels_.copies.copy_plane(rows, from, to + left);
        } else if (layout_.form == Layout::spread) {
            kernels_.copies.spread_plane(rows, from, to + left);
        } else {
            const auto phase = [&](index_t i) { return to + i % 2 * layout_.phase_size + i / 2; };
            kernels_.copies.split_plane(rows, from, phase(left), phase(left + 1));
        }
    }

    const Kernels<T>& kernels_;
    const Layout& layout_;
    index_t rows_, size_;
    index_t begin_ = -1, end_ = -1;  ///< rows that hold pixels, not zeros
    Buffer<T> data_;
};

/// Planes that one task takes, so that it is worth its buffer.
index_t planes_per_task(const Problem& problem, const RowCut& bands) {
    constexpr double worth = 1 << 17;
    const double tasks = static_cast<double>(problem.x.n * problem.groups * bands.count);
    return static_cast<index_t>(worth / (problem.multiply_adds() / std::max(1.0, tasks) + 1)) + 1;
}

/// Calls body(first plane, one past the last, band) for all groups of all images.
template <typename Body>
void for_bands(const Problem& problem, const RowCut& bands, Body&& body) {
    const index_t planes = problem.x.n * problem.groups;
    const index_t grain = planes_per_task(problem, bands), ranges = ceil_div(planes, grain);
    parallel_for(ranges * bands.count, problem.multiply_adds(), [&](index_t i) {
        const index_t first = i / bands.count * grain;
        body(first, std::min(planes, first + grain), i % bands.count);
    });
}

}  // namespace

const char* obstacle(const Problem& problem, ConvPass pass) {
    const Window2d& w = problem.window;
    // The taps of a row of the kernel are added up in one run.
    constexpr index_t longest_row = 128;
    if (problem.channels != 1) return "takes one channel per group";
    if (w.dilation_h != 1) return "takes no dilation of rows";
    if (!has_depthwise(w.kernel_h, w.stride_h) || w.stride_w > 2 || w.kernel_w > longest_row) {
        return "takes kernels of up to 7 rows and 128 columns with strides up to 2, and with 2 "
               "downwards an odd number of rows above 1";
    }
    const index_t widest = problem.x.w + w.pad_left + w.pad_right + w.span_w();
    if (widest * w.stride_w * (kDepthwiseTaps * (w.stride_h + 1)) > kMostRoom) {
        return "takes no rows as long as these";
    }
    if (pass == ConvPass::input_grad && (problem.filters != 1 || w.kernel_h < w.stride_h)) {
        return "takes one filter per group for the gradient of the input, and no stride above the "
               "height of the kernel";
    }
    return nullptr;
}

/// Forward: whether one filter at a time, with rows in registers, is faster than tiles of filters
/// that share the loaded pixels (docs/measurements.md#direct-and-depthwise).
bool pays(const Problem& problem, ConvPass pass) {
    constexpr index_t most_filters = 2;
    switch (pass) {
        case ConvPass::forward:
            return problem.filters <= most_filters;
        case ConvPass::input_grad:
            return true;
        case ConvPass::weight_grad:
            return problem.groups >= kEnoughTasks;  // sums are cut by group only
    }
    return false;
}

template <typename T>
void forward(const ForwardCall<T>& call) {
    const Problem& problem = call.problem;
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const Window2d& w = problem.window;
    const Layout layout = Layout::of_window(problem, kernels.lanes);
    const RowCut bands(layout, problem.y.h, w.kernel_h, w.stride_h);
    for_bands(problem, bands, [&](index_t plane, index_t end, index_t band) {
        PaddedRows<T> source(kernels, layout, bands.source_rows);
        const index_t row = bands.first(band), rows = bands.end(band) - row;
        DepthwiseRows sums = {.rows = rows,
                              .cols = problem.y.w,
                              .taps_y = w.kernel_h,
                              .taps_x = w.kernel_w,
                              .stride_y = w.stride_h,
                              .pitch = layout.row_size,
                              .offsets = layout.offsets.data(),
                              .weight_step = w.kernel_w,
                              .step = problem.y.w,
                              .room = rows * problem.y.w};
        const index_t last = end * problem.filters;
        for (; plane < end; ++plane) {
            const T* ahead = source.load(call.x + plane * problem.x.plane(), problem.x.h,
                                         problem.x.w, problem.x.size() - plane * problem.x.plane(),
                                         row * w.stride_h - w.pad_top);
            for (index_t i = plane * problem.filters; i < (plane + 1) * problem.filters; ++i) {
                if (bands.count == 1) sums.room = (last - i) * problem.y.plane();
                const index_t filter = i % problem.y.c;
                kernels.depthwise.correlate(sums, call.weight + filter * problem.taps,
                                            call.bias != nullptr ? call.bias[filter] : T{0},
                                            source.row(0), ahead,
                                            call.y + i * problem.y.plane() + row * problem.y.w);
            }
        }
    });
}

template <typename T>
void input_grad(const InputGradCall<T>& call) {
    const Problem& problem = call.problem;
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const Window2d& w = problem.window;
    const Layout layout = Layout::of_gradient(problem, kernels.lanes);
    const index_t reach = ceil_div(w.kernel_h, w.stride_h);
    const RowCut bands(layout, ceil_div(problem.x.h, w.stride_h), reach + 2, 1);
    const bool is_in_order = w.stride_h == 1 && bands.count == 1;
    for_bands(problem, bands, [&](index_t plane, index_t end, index_t band) {
        PaddedRows<T> source(kernels, layout, bands.source_rows);
        const index_t first = bands.first(band) * w.stride_h;
        const index_t row_end = std::min(problem.x.h, bands.end(band) * w.stride_h);
        // The first row of dy that the band may see; the quotient is rounded downwards.
        const index_t seen =
            (first + w.pad_top + 1 + (w.stride_h - 1) * w.kernel_h) / w.stride_h - w.kernel_h;
        for (; plane < end; ++plane) {
            const T* ahead =
                source.load(call.dy + plane * problem.y.plane(), problem.y.h, problem.y.w,
                            problem.y.size() - plane * problem.y.plane(), seen);
            const index_t room = (end - plane) * problem.x.plane();
            // Rows a stride apart see the same taps; the last of these belongs to the first row of
            // dy.
            for (index_t row = first; row < std::min(row_end, first + w.stride_h); ++row) {
                const index_t at = row + w.pad_top, phase = at % w.stride_h;
                const index_t taps = ceil_div(w.kernel_h - phase, w.stride_h);
                const index_t last_tap = phase + (taps - 1) * w.stride_h;
                const DepthwiseRows sums = {.rows = ceil_div(row_end - row, w.stride_h),
                                            .cols = problem.x.w,
                                            .taps_y = taps,
                                            .taps_x = w.kernel_w,
                                            .stride_y = 1,
                                            .pitch = layout.row_size,
                                            .offsets = layout.offsets.data(),
                                            .weight_step = -w.stride_h * w.kernel_w,
                                            .step = w.stride_h * problem.x.w,
                                            .room = is_in_order ? room : 0};
                const T* taps_from =
                    call.weight + plane % problem.groups * problem.taps + last_tap * w.kernel_w;
                kernels.depthwise.correlate(
                    sums, taps_from, T{0}, source.row(at / w.stride_h - (taps - 1) - seen), ahead,
                    call.dx + plane * problem.x.plane() + row * problem.x.w);
            }
        }
    });
}

namespace {

/// The gradient of the weights of a few groups, image after image, in lanes.
template <typename T>
class GroupGradients {
  public:
    GroupGradients(const Kernels<T>& kernels, const Problem& problem, const Layout& layout,
                   const Layout& grad_layout, const RowCut& bands)
        : kernels_(kernels),
          problem_(problem),
          bands_(bands),
          source_(kernels, layout, bands.source_rows),
          grad_(kernels, grad_layout, bands.rows),
          grad_step_(grad_layout.row_size),
          rows_{.rows = 0,
                .cols = problem.y.w,
                .taps_y = problem.window.kernel_h,
                .taps_x = problem.window.kernel_w,
                .stride_y = problem.window.stride_h,
                .pitch = layout.row_size,
                .offsets = layout.offsets.data(),
                .weight_step = 0,
                .step = 0,
                .room = 0} {}

    void compute(index_t group, index_t end, const T* dy, const T* x, T* dweight) {
        const index_t filter = group * problem_.filters;
        const index_t size = (end - group) * problem_.filters * problem_.taps;
        const Buffer<T> sums(size * kernels_.lanes);
        std::fill_n(sums.data(), size * kernels_.lanes, T{0});
        // Terms that a lane adds up in succession.
        constexpr index_t lane_terms = 512;
        const index_t group_size = problem_.filters * problem_.taps * kernels_.lanes;
        const index_t terms = bands_.rows * ceil_div(problem_.y.w, kernels_.lanes);
        std::vector<gemm::LongSums<T>> totals;
        for (index_t g = group; g < end; ++g) {
            totals.emplace_back(group_size, problem_.x.n * bands_.count * terms, lane_terms);
        }
        for (index_t n = 0; n < problem_.x.n; ++n) {
            heed_interrupt();
            T* to = sums.data();
            for (index_t g = group; g < end; ++g, to += group_size) {
                gemm::LongSums<T>& total = totals[static_cast<std::size_t>(g - group)];
                for (index_t band = 0; band < bands_.count; ++band) {
                    total.make_room(terms, to, group_size);
                    if (band % 64 == 63) heed_interrupt();
                    add_band(n * problem_.groups + g, band, dy, x, to);
                }
            }
        }
        for (index_t g = group; g < end; ++g) {
            totals[static_cast<std::size_t>(g - group)].finish(sums.data() +
                                                               (g - group) * group_size);
        }
        const index_t kh = problem_.window.kernel_h, kw = problem_.window.kernel_w;
        for (index_t i = 0; i < size; ++i) {
            // The sums of a filter are stored column by column of the kernel.
            const index_t tap = i % problem_.taps, at = i - tap + tap % kw * kh + tap / kw;
            kernels_.direct.fold_lanes(1, sums.data() + at * kernels_.lanes,
                                       dweight + filter * problem_.taps + i);
        }
    }

  private:
    void add_band(index_t plane, index_t band, const T* dy, const T* x, T* sums) {
        const Shape4 &in = problem_.x, &out = problem_.y;
        const index_t row = bands_.first(band);
        const T* ahead =
            source_.load(x + plane * in.plane(), in.h, in.w, in.size() - plane * in.plane(),
                         row * problem_.window.stride_h - problem_.window.pad_top);
        rows_.rows = bands_.end(band) - row;
        for (index_t f = 0; f < problem_.filters; ++f) {
            const index_t at = (plane * problem_.filters + f) * out.plane() + row * out.w;
            const bool in_place = out.size() - at >= rows_.rows * out.w + kernels_.lanes;
            if (!in_place) grad_.load(dy + at, rows_.rows, out.w, out.size() - at, 0);
            rows_.step = in_place ? out.w : grad_step_;
            kernels_.depthwise.correlate_backward(rows_, in_place ? dy + at : grad_.row(0),
                                                  source_.row(0), ahead,
                                                  sums + f * problem_.taps * kernels_.lanes);
        }
    }

    const Kernels<T>& kernels_;
    const Problem& problem_;
    const RowCut& bands_;
    PaddedRows<T> source_, grad_;  ///< grad_: for the end of dy, which vectors would run past
    index_t grad_step_;
    DepthwiseRows rows_;
};

}  // namespace

template <typename T>
void weight_grad(const WeightGradCall<T>& call) {
    const Problem& problem = call.problem;
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const Window2d& w = problem.window;
    const Layout layout = Layout::of_window(problem, kernels.lanes);
    const index_t width = round_up(problem.y.w, kernels.lanes);
    const Layout grad_layout = {Layout::phases, 1, 0, width, width, {}};
    const RowCut bands(layout, problem.y.h, w.kernel_h, w.stride_h);
    // Groups per task: their planes are adjacent in memory, and their sums stay in the cache.
    const index_t grain = std::clamp<index_t>(problem.groups / kEnoughTasks, 1, 8);
    parallel_ranges(problem.groups, grain,
                    problem.multiply_adds() / static_cast<double>(problem.groups),
                    [&](index_t group, index_t end) {
                        GroupGradients<T>(kernels, problem, layout, grad_layout, bands)
                            .compute(group, end, call.dy, call.x, call.dweight);
                    });
}

#define POCKETCNN_INSTANTIATE(T)                       \
    template void forward(const ForwardCall<T>&);      \
    template void input_grad(const InputGradCall<T>&); \
    template void weight_grad(const WeightGradCall<T>&);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::conv::depthwise
