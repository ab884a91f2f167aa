#include "conv/few_pixels.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "conv/few_pixels_product.h"
#include "conv/phases.h"
#include "conv/pointwise.h"

namespace pocketcnn::conv::few_pixels {
namespace {

/// The last pixels, if they would fill no more than half of a vector: dot products of their whole
/// columns with the weights take less time than the vector.
index_t dotted_pixels(const Problem& problem, index_t lanes) {
    const index_t rest = problem.pixels() % lanes;
    return problem.pixels() > lanes && rest <= lanes / 2 ? rest : 0;
}

constexpr const char* kOneGroup = "takes one group";
constexpr index_t kMostPixels = 256;
constexpr index_t kManyWeights = 1 << 19;

/// For few pixels and many weights (docs/measurements.md#few-pixels); with packed weights at hand,
/// for fewer pixels. Windows of one pixel are copied once, and others once for each tap.
bool is_worth(const Problem& problem, index_t pixels, index_t most_pixels, index_t channels,
              index_t filters, bool kept) {
    constexpr index_t fewest_pixels = 64, least_filters = 64;
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

/// Pixels that a stride leaves are too far apart to be copied in vectors: with strides of three and
/// more, they must be very few or the weights many, and single pixels are never worth it.
bool pays(const Problem& problem, bool kept) {
    constexpr index_t long_stride = 3, very_few = 64;
    const Window2d& w = problem.window;
    if (w.taps() == 1 && !w.is_pointwise()) return false;
    const bool is_far = std::max(w.stride_h, w.stride_w) >= long_stride;
    const bool is_one = problem.x.n == 1 && problem.pixels() <= very_few;
    if (is_far && !is_one && problem.filters * problem.taps < kManyWeights) return false;
    return is_worth(problem, problem.pixels(), kMostPixels, problem.channels, problem.filters,
                    kept);
}

/// The phases of a stride pack dy four times or more, and results lie apart, which only many
/// weights make up for; most of all where planes are so small that they fill few tiles of patches.
/// Without padding they see more pixels than dy has, which patches do not
/// (docs/measurements.md#few-pixels).
bool input_grad_pays(const Problem& problem) {
    constexpr index_t most_weights = 1 << 20, small_plane = 49;
    constexpr index_t more_pixels = 2 * kMostPixels;
    const Window2d& w = problem.window;
    if (w.is_pointwise()) {
        const Problem turned({problem.x.n, problem.y.c, problem.x.h, problem.x.w},
                             {w, problem.x.c, problem.groups});
        if (pointwise::in_place_obstacle(turned) == nullptr && pointwise::in_place_pays(turned)) {
            return false;
        }
    }
    const bool has_phases = w.stride_h > 1 || w.stride_w > 1;
    const double seen = static_cast<double>(w.stride_h * w.stride_w * problem.y.plane());
    if (static_cast<double>(problem.x.plane()) > 1.2 * seen) return false;
    const index_t weights = problem.filters * problem.taps;
    if (has_phases && (w.taps() == 1 || weights < kManyWeights)) return false;
    const bool more = has_phases && weights >= most_weights && problem.y.plane() <= small_plane;
    const index_t pixels_of_phase =
        problem.x.n * ceil_div(problem.x.h, w.stride_h) * ceil_div(problem.x.w, w.stride_w);
    return is_worth(problem, pixels_of_phase, more ? more_pixels : kMostPixels, problem.filters,
                    problem.channels, false);
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

template void forward(const ForwardCall<float>&);
template void forward(const ForwardCall<double>&);

}  // namespace pocketcnn::conv::few_pixels
