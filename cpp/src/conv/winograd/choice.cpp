// Which windows tiles can compute, and where they are faster. The numbers come from the tables in
// benchmarks/results and from docs/measurements.md#winograd.
#include <algorithm>

#include "conv/winograd/dilated.h"
#include "conv/winograd/geometry.h"
#include "conv/winograd/parts.h"
#include "conv/winograd/winograd.h"
#include "runtime/isa.h"

namespace pocketcnn::winograd {
namespace {

/// Whether tiles are six positions in a line.
bool is_in_line(const Window2d& window) {
    const Taps taps(window);
    return taps.h == 1 || taps.w == 1;
}

bool is_strided(const Window2d& window) {
    return window.stride_h > 1 || window.stride_w > 1;
}

/// Whether a window without dilation is too short, or longer than `most` taps. Along one axis it
/// may be a single tap, but not with a stride, of whose phases only one would have a tap.
bool is_beyond(const Window2d& window, index_t most) {
    const Taps taps(window);
    return taps.count() == 1 || std::max(taps.h, taps.w) > most ||
           (is_in_line(window) && is_strided(window));
}

/// Whether there are channels (in all phases) and filters enough to make up for the transforms.
/// Where both are few there are better algorithms; parts share the transform of the pixels. Groups
/// make no difference.
bool are_enough(const Window2d& window, ConvPass pass, index_t channels, index_t filters) {
    constexpr index_t many_channels = 32;
    const index_t lanes = kernels<float>().winograd.lanes,
                  least = std::max<index_t>(6, lanes * 3 / 4);
    if (is_in_line(window)) return std::min(channels, filters) >= (is_parted(window) ? 64 : 16);
    if (pass == ConvPass::input_grad && is_strided(window)) {
        return channels >= 4 && filters >= (channels >= 12 ? 6 : 12);
    }
    if (pass == ConvPass::input_grad) {
        return channels >= least && filters >= (channels >= many_channels ? 6 : least);
    }
    if (is_strided(window)) return channels >= least && filters >= 12;
    if (is_parted(window)) return channels >= 2 && filters >= (channels >= 4 ? 12 : 24);
    if (pass == ConvPass::weight_grad) {
        return channels >= (lanes < 16 ? 8 : 10) && filters >= (channels >= many_channels ? 6 : 12);
    }
    return channels >= 8 && filters >= (channels >= 16 ? least : 12);
}

/// The smallest number of tiles that is worth a transform of the weights: more where there are many
/// of these.
index_t fewest_tiles(const conv::Problem& problem, ConvPass pass, bool in_parts, bool kept) {
    constexpr index_t few_weights = index_t{64} * 64, cached_weights = index_t{256} * 256;
    const index_t weights = problem.channels * problem.filters;
    if (is_in_line(problem.window) && !kept) return 32;
    if (in_parts) return weights <= few_weights ? 16 : 24;
    if (weights > 2 * cached_weights) return kept ? 9 : 24;
    if (weights > cached_weights && !kept) return 16;
    if (kept) return weights > few_weights ? 4 : 1;
    return pass == ConvPass::weight_grad ? 8 : 1;
}

/// Whether so many tiles are faster with a stride. `direct` is what the multiplications of a direct
/// sum are, in tiles: they must be so many times as many, and make up for the transform of the
/// weights, which takes as long as some tiles more. The other ways of the gradient of the input
/// waste more, most of all for few channels (docs/measurements.md#tiles-with-strides).
bool strided_pays(const conv::Problem& problem, ConvPass pass, index_t tiles, double direct,
                  bool kept) {
    const auto pay = [&](double times, index_t weights) {
        return direct >= times * static_cast<double>(tiles + (kept ? 0 : weights));
    };
    constexpr index_t few_channels = 12;
    if (pass == ConvPass::forward) return pay(1.85, 8);
    if (pass == ConvPass::weight_grad) return pay(1.9, 14);
    return pay(problem.channels < few_channels ? 1.25 : 1.7, 10);
}

/// What a number of tiles costs, in tiles: products are of whole panels of them, the last of which
/// may be a lower one, and the transform of the weights, if it is to be done, takes about half as
/// long as a panel's products.
index_t cost_in_tiles(index_t tiles, bool kept) {
    const auto& winograd = kernels<float>().winograd;
    const index_t rest = tiles % winograd.rows;
    const auto& heights = winograd.heights;
    const auto lowest = std::lower_bound(std::begin(heights), std::end(heights), rest);
    return tiles - rest + (rest > 0 ? *lowest : 0) + (kept ? 0 : winograd.rows / 2);
}

/// The problem that is computed instead if the window is cut into parts.
conv::Problem as_parts(const conv::Problem& problem, ConvPass pass) {
    return parted(pass == ConvPass::input_grad ? turned(problem) : problem, problem.x.n);
}

/// Whether the copies of an image for a parted window stay within a limit: those of larger images
/// would take more memory than a user expects of a convolution.
bool parts_fit(const conv::Problem& parted) {
    return parted.x.image() * index_t{sizeof(float)} <= kMovedBytes;
}

}  // namespace

const char* tiles_obstacle(const Window2d& window) {
    if (is_dilated(window) && is_strided(window)) {
        return "takes no dilation together with a stride";
    }
    if (is_beyond(window, is_parted(window) ? kMostPartedTaps : kWinogradMostTaps)) {
        return "takes kernels that are 2 to 5 strides long (rounded up), and with stride 1 up to "
               "12, a single tap along one axis";
    }
    if (is_dilated(window)) return "takes no dilation itself";
    return is_parted(window) ? "takes no more than 5 taps itself" : nullptr;
}

const char* parts_obstacle(const Window2d& window) {
    if (is_dilated(window)) return "takes no dilation";
    return is_parted(window) && !is_beyond(window, kMostPartedTaps)
               ? nullptr
               : "takes kernels of up to 12 taps, more than 5 along an axis, with stride 1";
}

const char* dilated_obstacle(const Window2d& window) {
    if (!is_dilated(window)) return "takes a dilation";
    if (is_strided(window)) return "takes no stride";
    return is_beyond(window, kMostPartedTaps) ? "takes kernels of up to 12 taps" : nullptr;
}

/// Whether tiles of six points are faster than a direct sum (docs/measurements.md#winograd):
///  - not with few channels or filters;
///  - with a stride they save less;
///  - with few tiles, a panel of them is not full, and the transform of the weights is much of the
///    work, most of it if they do not fit the caches;
///  - in a line they save at most half, and the transforms, and the copies for parts, are more of
///    the work (docs/measurements.md#windows-of-one-row-or-column);
///  - groups make no difference, nor does a dilation, by the split images.
bool pays(const conv::Problem& dilated, ConvPass pass, bool kept) {
    const conv::Problem whole = undilated(dilated);
    const index_t phases = whole.window.stride_h * whole.window.stride_w;
    const bool in_parts = is_parted(whole.window);
    if (!are_enough(whole.window, pass, whole.channels * phases, whole.filters)) return false;
    const conv::Problem problem = in_parts ? as_parts(whole, pass) : whole;
    if (in_parts && !parts_fit(problem)) return false;
    const Grid grid =
        pass == ConvPass::input_grad && !in_parts ? input_grid(problem) : output_grid(problem);
    // Multiplications of a direct sum divided by those of a tile: incomplete tiles count as whole.
    const index_t products = problem.channels * problem.filters * problem.groups;
    const double of_a_tile =
        static_cast<double>(grid.points() * phases) * static_cast<double>(products);
    const double direct = dilated.multiply_adds() / of_a_tile;
    const bool sums_pixels = pass == ConvPass::weight_grad;
    const index_t cost = sums_pixels ? grid.tiles() : cost_in_tiles(grid.tiles(), kept);
    if (direct < static_cast<double>(cost)) return false;
    if (phases > 1) return strided_pays(problem, pass, grid.tiles(), direct, kept);
    // Each part has as many weights to transform as a kernel that is not cut.
    const index_t parts = in_parts ? WindowParts(whole.window).count() : 1;
    return grid.tiles() >= fewest_tiles(problem, pass, in_parts, kept) * parts &&
           direct >= 1.2 * static_cast<double>(grid.tiles());
}

}  // namespace pocketcnn::winograd
