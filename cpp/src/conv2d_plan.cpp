// The choice of algorithm, as one readable function of the shape. docs/benchmarks.md holds the
// measurements that its numbers come from.
#include <pocketcnn/conv2d.h>

#include <algorithm>
#include <stdexcept>

#include "conv/direct.h"
#include "conv/problem.h"
#include "runtime/isa.h"
#include "winograd/dilated.h"
#include "winograd/geometry.h"
#include "winograd/parts.h"
#include "winograd/winograd.h"

namespace pocketcnn {
namespace {

/// Tiles that are worth a transform of the weights.
index_t fewest_tiles(const conv::Problem& problem, ConvPass pass) {
    constexpr index_t few_weights = index_t{64} * 64;
    const Window2d& w = problem.window;
    if (pass == ConvPass::input_grad && w.stride_h * w.stride_w > 1) return 200;
    return problem.channels * problem.filters <= few_weights ? 16 : 24;
}

/// What is computed instead where the window is cut into parts.
conv::Problem as_parts(const conv::Problem& problem, ConvPass pass) {
    return winograd::parted(pass == ConvPass::input_grad ? winograd::turned(problem) : problem,
                            problem.x.n);
}

/// Whether the copies of an image that a parted window needs are bounded: those of larger ones
/// would take more memory than anybody expects of a convolution.
bool parts_fit(const conv::Problem& parted) {
    return parted.x.image() * index_t{sizeof(float)} <= winograd::kMovedBytes;
}

/// Whether tiles of six points are faster than a direct sum. Measured against im2col on one core
/// with AVX-512 and AVX2, as ratios of forward, input_grad and weight_grad:
///  - 3x3: 16x28x28 to 16 filters 2.9, 3.0, 3.4; 64 to 64 2.4, 3.0, 2.3; 5x5: 2.4 to 3.0;
///  - with 8 channels or filters 1.0 to 2.0, below the algorithms for few channels where a vector
///    has 16 lanes; with 8 lanes, 1.0 to 1.5 times as fast as those from 6 channels on, 0.6 at 4;
///  - strides save less, and im2col's gradient of the input wastes nothing with them (milliseconds
///    of Winograd and of patches): 3x3/2, 576 tiles, 64x56x56 to 128 13.1, 14.1; 144 tiles,
///    128x28x28 to 256 15.7, 14.3; 36 tiles, 64x56x56 1.4, 0.9; 19x43x43 to 41, 200 tiles 0.65,
///    0.84; forward and weight_grad 0.74 to 1.0;
///  - where tiles are few, the transform of the weights is most of the work, the more the less of
///    it the caches hold: 16 tiles, 16x14x14 to 32 1.4, 1.8, 1.3, 256x14x14 to 256 1.07, 1.1, 1.25,
///    but half as fast on two cores, which do not share so few tiles; 512x14x14 to 512 0.9; 4
///    tiles, 64x8x8 to 64 0.9, 1.0, 1.3; 49 tiles 2.0 to 2.4;
///  - groups, and dilation by way of the split images: as without.
bool winograd_pays(const conv::Problem& dilated, ConvPass pass) {
    const conv::Problem whole = winograd::undilated(dilated);
    const index_t phases = whole.window.stride_h * whole.window.stride_w;
    const index_t least = std::max<index_t>(6, kernels<float>().winograd.lanes * 3 / 4);
    if (std::min(whole.channels * phases, whole.filters) < least) return false;
    const bool is_parted = winograd::is_parted(whole.window);
    const conv::Problem problem = is_parted ? as_parts(whole, pass) : whole;
    if (is_parted && !parts_fit(problem)) return false;
    const winograd::Grid grid = pass == ConvPass::input_grad && !is_parted
                                    ? winograd::input_grid(problem)
                                    : winograd::output_grid(problem);
    // A part is as many weights to transform as a kernel that is not cut: one image of 512x14x14 to
    // 512, 7x7, 25 tiles, took 1.7 times as long as by im2col.
    const index_t parts = is_parted ? winograd::Parts(whole.window).count() : 1;
    if (grid.tiles() < fewest_tiles(problem, pass) * parts) return false;
    // Multiplications of a direct sum over those of the tiles, with their ragged edges.
    const index_t products = problem.channels * problem.filters * problem.groups;
    const double saving =
        dilated.multiply_adds() / (static_cast<double>(grid.tiles() * kWinogradPoints * phases) *
                                   static_cast<double>(products));
    return saving >= (phases > 1 && pass != ConvPass::input_grad ? 2.0 : 1.2);
}

}  // namespace

ConvPlan conv2d_plan(const Shape4& x, const Conv2d& conv, ConvPass pass) {
    const conv::Problem problem(x, conv);
    const char* const obstacle = winograd::obstacle(conv);
    switch (conv.algorithm) {
        case ConvAlgorithm::im2col:
            return {conv.algorithm, "asked for"};
        case ConvAlgorithm::winograd:
            if (obstacle != nullptr) throw std::invalid_argument(obstacle);
            return {conv.algorithm, "asked for"};
        case ConvAlgorithm::direct:
            if (!conv::direct::fits(problem)) {
                throw std::invalid_argument("the window is dilated too far for direct convolution");
            }
            return {conv.algorithm, "asked for"};
        case ConvAlgorithm::automatic:
            break;
    }
    if (obstacle == nullptr && winograd_pays(problem, pass)) {
        return {ConvAlgorithm::winograd, "fewer multiplications"};
    }
    if (conv::direct::suits(problem, pass)) {
        return {ConvAlgorithm::direct, "few channels or filters"};
    }
    return {ConvAlgorithm::im2col, "fits every shape"};
}

}  // namespace pocketcnn
