#include "conv/depthwise.h"

#include <algorithm>
#include <cstring>

#include "gemm/long_sums.h"
#include "runtime/cut.h"
#include "runtime/interrupt.h"
#include "runtime/isa.h"
#include "runtime/memory_pool.h"
#include "runtime/parallel.h"

namespace pocketcnn::conv::depthwise {
namespace {

/// Largest number of elements of rows that a tile may see; wider images are left to other
/// algorithms.
constexpr index_t kMostRoom = 1 << 17;
/// The taps of a row of the kernel are added up in one run.
constexpr index_t kLongestRow = 128;

/// Rows [begin, end).
struct Rows {
    index_t begin, end;
    index_t count() const { return end - begin; }
};

/// The columns of a kernel, and how far they look past a row on both sides.
struct Columns {
    /// For the passes that move the window over x, of whose sums `cols` are computed.
    Columns(const Problem& problem, index_t cols);
    /// For the gradient of x, whose pixels collect their shares of dy: with a stride, the even ones
    /// from some columns and the odd ones from the others.
    static Columns of_gradient(const Problem& problem, index_t cols);

    DepthwiseColumn list[kLongestRow];
    index_t count = 0;
    index_t ends[2] = {0, 0};   ///< of the columns of the even elements, and of the odd ones
    index_t width;              ///< of a row
    index_t low = 0, high = 0;  ///< elements of a row that may be read

  private:
    explicit Columns(index_t row_size) : width(row_size), high(row_size) {}
    void add(index_t offset, index_t weight, index_t read) {
        list[count++] = {offset, weight};
        low = std::min(low, offset);
        high = std::max(high, offset + read);
    }
};

Columns::Columns(const Problem& problem, index_t cols) : Columns(problem.x.w) {
    const Window2d& w = problem.window;
    for (index_t kx = 0; kx < w.kernel_w; ++kx) {
        add(kx * w.dilation_w - w.pad_left, kx, cols * w.stride_w);
    }
    ends[0] = count;
}

Columns Columns::of_gradient(const Problem& problem, index_t cols) {
    const Window2d& w = problem.window;
    Columns columns(problem.y.w);
    for (index_t phase = 0; phase < w.stride_w; ++phase) {
        for (index_t kx = 0; kx < w.kernel_w; ++kx) {
            const index_t at = phase + w.pad_left - kx * w.dilation_w;
            if (at % w.stride_w == 0) columns.add(at / w.stride_w, kx, cols);
        }
        columns.ends[phase] = columns.count;
    }
    return columns;
}

/// A row with all bits set inside and none outside.
template <typename T>
class Inside {
  public:
    explicit Inside(const Columns& columns)
        : low_(columns.low), size_(columns.high - columns.low), bits_(2 * size_) {
        std::memset(bits_.data(), 0, bytes(2 * size_));
        std::memset(bits_.data() - low_, 0xff, bytes(columns.width));
    }
    const T* row() const { return bits_.data() - low_; }
    const T* zeros() const { return row() + size_; }

  private:
    static std::size_t bytes(index_t size) { return static_cast<std::size_t>(size) * sizeof(T); }

    index_t low_, size_;
    Buffer<T> bits_;
};

/// Planes whose rows the kernel reads where they lie. It would read too much before and behind an
/// array: the planes there are copied.
template <typename T>
class Source {
  public:
    Source(const T* data, const Shape4& shape, const Columns& columns)
        : data_(data), shape_(shape), low_(columns.low), high_(columns.high) {}

    /// How many of the planes [plane, end) can be read together, and their rows from the first on.
    index_t take(index_t plane, index_t end, const Rows& rows, const T*& from) {
        from = data_ + plane * shape_.plane() + rows.begin * shape_.w;
        if (rows.count() <= 0) return end - plane;
        const index_t before = plane * shape_.plane() + rows.begin * shape_.w + low_;
        const index_t behind = shape_.size() - (rows.end - 1) * shape_.w - high_;
        const index_t in_place = behind < 0 ? 0 : behind / shape_.plane() + 1;
        if (before >= 0 && plane < in_place) return std::min(end, in_place) - plane;
        from = copy(from, rows.count() * shape_.w);
        return 1;
    }

  private:
    const T* copy(const T* from, index_t size) {
        const index_t behind = high_ - shape_.w;
        copy_ = Buffer<T>(size + behind - low_);
        std::fill_n(copy_.data(), -low_, T{0});
        std::copy_n(from, size, copy_.data() - low_);
        std::fill_n(copy_.data() - low_ + size, behind, T{0});
        return copy_.data() - low_;
    }

    const T* data_;
    Shape4 shape_;
    index_t low_, high_;
    Buffer<T> copy_;
};

/// Rows of the output that a task computes.
struct RowCut {
    static constexpr index_t kElements = 1 << 14;

    RowCut(index_t out_rows, index_t row_size, index_t planes, index_t size = kElements)
        : all(std::max<index_t>(1, out_rows)) {
        const index_t tiles = ceil_div(all, kDepthwiseTile);
        const index_t bands =
            std::max(ceil_div(kEnoughTasks, std::max<index_t>(1, planes)), all * row_size / size);
        rows = ceil_div(tiles, std::min(bands, tiles)) * kDepthwiseTile;
        count = ceil_div(all, rows);
    }
    Rows band(index_t i) const { return {i * rows, std::min(all, (i + 1) * rows)}; }

    index_t all, rows, count;
};

/// Planes that one task takes, so that it is worth its start.
index_t planes_per_task(const Problem& problem, const RowCut& bands) {
    constexpr double worth = 1 << 15;
    const double tasks = static_cast<double>(problem.x.n * problem.groups * bands.count);
    return static_cast<index_t>(worth / (problem.multiply_adds() / std::max(1.0, tasks) + 1)) + 1;
}

/// Calls body(first plane, one past the last, rows) for all groups of all images; the planes
/// belong to one image.
template <typename Body>
void for_bands(const Problem& problem, const RowCut& bands, Body&& body) {
    const index_t planes = problem.x.n * problem.groups;
    const index_t grain = planes_per_task(problem, bands), ranges = ceil_div(planes, grain);
    parallel_for(ranges * bands.count, problem.multiply_adds(), [&](index_t i) {
        const index_t first = i / bands.count * grain, end = std::min(planes, first + grain);
        for (index_t plane = first; plane < end;) {
            const index_t image_end = (plane / problem.groups + 1) * problem.groups;
            body(plane, std::min(end, image_end), bands.band(i % bands.count));
            plane = image_end;
        }
    });
}

bool has_loops(const Window2d& w, ConvPass pass) {
    if (pass == ConvPass::input_grad) {
        return has_depthwise_tiles(w.kernel_h, w.stride_h, w.stride_h) && w.stride_w <= 2;
    }
    return has_depthwise_tiles(w.kernel_h, w.stride_h, w.stride_w) ||
           has_depthwise_strips(w.kernel_h, w.kernel_w, w.stride_h, w.stride_w,
                                pass == ConvPass::weight_grad);
}

/// Rows [first, first + count) of a plane of `height` rows, as far as they exist.
Rows existing(index_t first, index_t count, index_t height) {
    const index_t begin = std::clamp<index_t>(first, 0, height);
    return {begin, std::clamp<index_t>(first + count, begin, height)};
}

}  // namespace

const char* obstacle(const Problem& problem, ConvPass pass) {
    const Window2d& w = problem.window;
    if (problem.channels != 1) return "takes one channel per group";
    if (w.dilation_h != 1) return "takes no dilation of rows";
    if (!has_loops(w, pass) || w.kernel_w > kLongestRow) {
        return "takes kernels of up to 7 rows and 128 columns with strides up to 2, and with 2 "
               "downwards an odd number of rows above 1; with different strides only 3x3, and "
               "forward also 5x5";
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
    const Shape4 &in = problem.x, &out = problem.y;
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const Window2d& w = problem.window;
    const Columns columns(problem, std::max(out.w, kernels.lanes));
    const Inside<T> inside(columns);
    const RowCut bands(out.h, out.w, out.n * out.c);
    for_bands(problem, bands, [&](index_t plane, index_t end, const Rows& band) {
        Source<T> source(call.x, in, columns);
        const index_t above = band.begin * w.stride_h - w.pad_top;
        const Rows seen = existing(above, (band.count() - 1) * w.stride_h + w.kernel_h, in.h);
        DepthwiseRows<T> rows = {.planes = problem.filters,
                                 .rows = band.count(),
                                 .cols = out.w,
                                 .taps_y = w.kernel_h,
                                 .stride_y = w.stride_h,
                                 .stride_x = w.stride_w,
                                 .columns = columns.list,
                                 .inside = inside.row(),
                                 .zeros = inside.zeros(),
                                 .pitch = in.w,
                                 .before = seen.begin - above,
                                 .source_rows = seen.count(),
                                 .weight_step = w.kernel_w,
                                 .step = out.w,
                                 .source_plane = problem.filters == 1 ? in.plane() : 0,
                                 .weight_plane = problem.taps,
                                 .plane = out.plane()};
        // Within a plane's band vectors may run over the ends of rows, and over those of planes
        // too if the task has all of their rows.
        const index_t together = problem.filters == 1 && bands.count == 1 ? end - plane : 1;
        const index_t last = end * problem.filters;
        while (plane < end) {
            const T* from;
            const index_t taken = source.take(plane, std::min(end, plane + together), seen, from);
            if (problem.filters == 1) rows.planes = taken;
            const index_t at = plane * problem.filters, filter = at % out.c;
            const index_t room = bands.count == 1 ? (last - at) * out.plane() : 0;
            const DepthwiseSums<T> sums = {
                .phases = 1,
                .ends = {columns.ends[0], 0},
                .width = out.w,
                .room = room,
                .start = call.bias != nullptr ? call.bias + filter : nullptr,
                .rectify = call.last.is_relu()};
            T* to = call.y + at * out.plane() + band.begin * out.w;
            kernels.depthwise.correlate(rows, sums, call.weight + filter * problem.taps, from, to);
            plane += taken;
            if (call.last.is_none() || call.last.is_relu()) continue;
            for (index_t i = 0; i < taken * problem.filters; ++i) {
                call.last.apply(to + i * out.plane(), band.count() * out.w);
            }
        }
    });
}

namespace {

/// The rows of dx that a task computes, in sweeps: rows a stride apart see the same taps, or with
/// `spreads` all rows in one.
template <typename T>
class InputGradient {
  public:
    InputGradient(const InputGradCall<T>& call)
        : call_(call),
          problem_(call.problem),
          spreads_(spreads(problem_.window)),
          columns_(Columns::of_gradient(
              problem_, std::max(ceil_div(problem_.x.w, w().stride_w), kernels_.lanes))),
          inside_(columns_),
          bands_(ceil_div(problem_.x.h, w().stride_h), problem_.x.w * w().stride_h,
                 problem_.x.n * problem_.x.c) {}

    void run() {
        for_bands(problem_, bands_, [&](index_t plane, index_t end, const Rows& band) {
            const index_t first = band.begin * w().stride_h;
            const Rows rows = {first, std::min(problem_.x.h, band.end * w().stride_h)};
            Source<T> source(call_.dy, problem_.y, columns_);
            for (index_t taken = 1; plane < end; plane += taken) {
                if (spreads_) {
                    taken = spread(source, plane, end, rows);
                    continue;
                }
                for (index_t row = first; row < std::min(rows.end, first + w().stride_h); ++row) {
                    taken = sweep(source, plane, end, {row, rows.end});
                }
            }
        });
    }

  private:
    static bool spreads(const Window2d& w) {
        return w.kernel_h == w.kernel_w && (w.kernel_h == 3 || w.kernel_h == 5) &&
               w.stride_h == 2 && w.stride_w == 2 && w.dilation_w == 1;
    }
    const Window2d& w() const { return problem_.window; }

    index_t spread(Source<T>& source, index_t plane, index_t end, const Rows& band) {
        const index_t reach = w().kernel_h / 2, above = (band.begin + w().pad_top) / 2 - reach;
        const Rows seen = existing(above, ceil_div(band.count(), 2) + 1 + reach, problem_.y.h);
        const T* from;
        const index_t taken = source.take(plane, bands_.count == 1 ? end : plane + 1, seen, from);
        DepthwiseRows<T> rows = rows_of(taken, seen);
        rows.rows = band.count();
        rows.before = band.begin + w().pad_top - 2 * seen.begin;
        kernels_.depthwise.spread(rows, sums_of(bands_.count == 1 ? end - plane : 0),
                                  weight_of(plane), from, to(plane, band));
        return taken;
    }

    /// The last of the taps belongs to the first row of dy.
    index_t sweep(Source<T>& source, index_t plane, index_t end, const Rows& band) {
        const index_t stride = w().stride_h, at = band.begin + w().pad_top, phase = at % stride;
        const index_t taps = ceil_div(w().kernel_h - phase, stride);
        const index_t last_tap = phase + (taps - 1) * stride;
        const index_t above = at / stride - (taps - 1), count = ceil_div(band.count(), stride);
        const bool is_in_order = stride == 1 && bands_.count == 1;
        const Rows seen = existing(above, count - 1 + taps, problem_.y.h);
        const T* from;
        const index_t taken = source.take(plane, is_in_order ? end : plane + 1, seen, from);
        DepthwiseRows<T> rows = rows_of(taken, seen);
        rows.rows = count;
        rows.taps_y = taps;
        rows.before = seen.begin - above;
        rows.weight_step = -stride * w().kernel_w;
        rows.step = stride * problem_.x.w;
        kernels_.depthwise.correlate(rows, sums_of(is_in_order ? end - plane : 0),
                                     weight_of(plane) + last_tap * w().kernel_w, from,
                                     to(plane, band));
        return taken;
    }

    DepthwiseRows<T> rows_of(index_t planes, const Rows& seen) const {
        return {.planes = planes,
                .rows = 0,
                .cols = ceil_div(problem_.x.w, w().stride_w),
                .taps_y = w().kernel_h,
                .stride_y = 1,
                .stride_x = 1,
                .columns = columns_.list,
                .inside = inside_.row(),
                .zeros = inside_.zeros(),
                .pitch = problem_.y.w,
                .before = 0,
                .source_rows = seen.count(),
                .weight_step = w().kernel_w,
                .step = problem_.x.w,
                .source_plane = problem_.y.plane(),
                .weight_plane = problem_.taps,
                .plane = problem_.x.plane()};
    }
    /// For vectors that may run over the ends of rows of so many planes.
    DepthwiseSums<T> sums_of(index_t planes) const {
        return {.phases = w().stride_w,
                .ends = {columns_.ends[0], columns_.ends[1]},
                .width = problem_.x.w,
                .room = planes * problem_.x.plane(),
                .start = nullptr,
                .rectify = false};
    }
    const T* weight_of(index_t plane) const {
        return call_.weight + plane % problem_.groups * problem_.taps;
    }
    T* to(index_t plane, const Rows& band) const {
        return call_.dx + plane * problem_.x.plane() + band.begin * problem_.x.w;
    }

    const InputGradCall<T>& call_;
    const Problem& problem_;
    const Kernels<T>& kernels_ = pocketcnn::kernels<T>();
    bool spreads_;
    Columns columns_;
    Inside<T> inside_;
    RowCut bands_;
};

}  // namespace

template <typename T>
void input_grad(const InputGradCall<T>& call) {
    InputGradient<T>(call).run();
}

namespace {

/// Terms that a lane may add up in succession, about as many as are in a band.
constexpr index_t kLaneTerms = 256;

/// The gradient of the weights of a few groups, image after image, in lanes.
template <typename T>
class GroupGradients {
  public:
    GroupGradients(const Kernels<T>& kernels, const WeightGradCall<T>& call, const Columns& columns,
                   const Inside<T>& inside, const RowCut& bands)
        : kernels_(kernels),
          problem_(call.problem),
          bands_(bands),
          source_(call.x, call.problem.x, columns),
          dy_(call.dy),
          group_size_(call.problem.filters * call.problem.taps * kernels.lanes),
          rows_{.planes = call.problem.filters,
                .rows = 0,
                .cols = call.problem.y.w,
                .taps_y = call.problem.window.kernel_h,
                .stride_y = call.problem.window.stride_h,
                .stride_x = call.problem.window.stride_w,
                .columns = columns.list,
                .inside = inside.row(),
                .zeros = inside.zeros(),
                .pitch = call.problem.x.w,
                .before = 0,
                .source_rows = 0,
                .weight_step = 0,
                .step = call.problem.y.w,
                .source_plane = call.problem.filters == 1 ? call.problem.x.plane() : 0,
                .weight_plane = 0,
                .plane = call.problem.y.plane()} {}

    void compute(index_t group, index_t end, T* dweight) {
        const index_t size = (end - group) * group_size_;
        const Buffer<T> sums(size);
        std::fill_n(sums.data(), size, T{0});
        const index_t terms = bands_.rows * ceil_div(problem_.y.w, kernels_.lanes);
        gemm::LongSums<T> totals(size, problem_.x.n * bands_.count * terms, 2 * kLaneTerms);
        for (index_t n = 0; n < problem_.x.n; ++n) {
            for (index_t band = 0; band < bands_.count; ++band) {
                heed_interrupt();
                totals.make_room(terms, sums.data(), size);
                add_band(n * problem_.groups + group, n * problem_.groups + end, bands_.band(band),
                         sums.data());
            }
        }
        totals.finish(sums.data());
        kernels_.direct.fold_lanes(size / kernels_.lanes, sums.data(),
                                   dweight + group * problem_.filters * problem_.taps);
    }

  private:
    void add_band(index_t plane, index_t end, const Rows& band, T* sums) {
        const Window2d& w = problem_.window;
        const index_t above = band.begin * w.stride_h - w.pad_top;
        const Rows seen =
            existing(above, (band.count() - 1) * w.stride_h + w.kernel_h, problem_.x.h);
        rows_.rows = band.count();
        rows_.before = seen.begin - above;
        rows_.source_rows = seen.count();
        while (plane < end) {
            const T* from;
            const index_t taken =
                source_.take(plane, problem_.filters == 1 ? end : plane + 1, seen, from);
            add_planes(plane, taken, band, from, sums);
            plane += taken;
            sums += taken * group_size_;
        }
    }

    /// The planes of dy that belong to so many of x. Vectors run past the end of a row of dy, which
    /// the last planes of the array must be copied for.
    void add_planes(index_t plane, index_t count, const Rows& band, const T* from, T* sums) {
        const Shape4& out = problem_.y;
        const index_t size = band.count() * out.w;
        index_t i = plane * problem_.filters;
        const index_t end = i + count * problem_.filters;
        const index_t room = out.size() - band.begin * out.w - size - kernels_.lanes;
        const index_t in_place = room < 0 ? 0 : room / out.plane() + 1;
        Buffer<T> copy;
        for (index_t taken; i < end; i += taken) {
            taken = std::max<index_t>(1, std::min(end, in_place) - i);
            const T* dy = dy_ + i * out.plane() + band.begin * out.w;
            if (i >= in_place) {
                copy = Buffer<T>(size + kernels_.lanes);
                std::copy_n(dy, size, copy.data());
                std::fill_n(copy.data() + size, kernels_.lanes, T{0});
                dy = copy.data();
            }
            rows_.planes = taken;
            kernels_.depthwise.correlate_backward(rows_, problem_.window.kernel_w, dy, from, sums);
            from += taken * rows_.source_plane;
            sums += taken * problem_.taps * kernels_.lanes;
        }
    }

    const Kernels<T>& kernels_;
    const Problem& problem_;
    const RowCut& bands_;
    Source<T> source_;
    const T* dy_;
    index_t group_size_;
    DepthwiseRows<T> rows_;
};

}  // namespace

template <typename T>
void weight_grad(const WeightGradCall<T>& call) {
    const Problem& problem = call.problem;
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const Columns columns(problem, round_up(problem.y.w, kernels.lanes));
    const Inside<T> inside(columns);
    const RowCut bands(problem.y.h, problem.y.w, kEnoughTasks, kLaneTerms * kernels.lanes);
    // Groups per task: their planes are adjacent in memory, and their sums stay in the cache.
    const index_t grain = std::clamp<index_t>(problem.groups / kEnoughTasks, 1, 8);
    parallel_ranges(problem.groups, grain,
                    problem.multiply_adds() / static_cast<double>(problem.groups),
                    [&](index_t group, index_t end) {
                        GroupGradients<T>(kernels, call, columns, inside, bands)
                            .compute(group, end, call.dweight);
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
