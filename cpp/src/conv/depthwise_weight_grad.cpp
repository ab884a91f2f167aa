// The gradient of the weights of a depthwise convolution.
#include "conv/depthwise_planes.h"
#include "gemm/long_sums.h"
#include "runtime/interrupt.h"
#include "runtime/isa.h"

namespace pocketcnn::conv::depthwise {
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

template void weight_grad(const WeightGradCall<float>&);
template void weight_grad(const WeightGradCall<double>&);

}  // namespace pocketcnn::conv::depthwise
