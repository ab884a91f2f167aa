#include "conv/depthwise.h"

#include "conv/depthwise_planes.h"
#include "runtime/isa.h"

namespace pocketcnn::conv::depthwise {
namespace {

/// Largest number of elements of rows that a tile may see; wider images are left to other
/// algorithms.
constexpr index_t kMostRoom = 1 << 17;

bool has_loops(const Window2d& w, ConvPass pass) {
    if (pass == ConvPass::input_grad) {
        return has_depthwise_tiles(w.kernel_h, w.stride_h, w.stride_h) && w.stride_w <= 2;
    }
    return has_depthwise_tiles(w.kernel_h, w.stride_h, w.stride_w) ||
           has_depthwise_strips(w.kernel_h, w.kernel_w, w.stride_h, w.stride_w,
                                pass == ConvPass::weight_grad);
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

#define POCKETCNN_INSTANTIATE(T)                  \
    template void forward(const ForwardCall<T>&); \
    template void input_grad(const InputGradCall<T>&);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::conv::depthwise
