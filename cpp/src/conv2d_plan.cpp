// The choice of algorithm, as one readable function of the shape. docs/benchmarks.md holds the
// measurements that its numbers come from.
#include <pocketcnn/conv2d.h>

#include <algorithm>
#include <stdexcept>

#include "conv/direct.h"
#include "conv/problem.h"
#include "winograd/geometry.h"
#include "winograd/winograd.h"

namespace pocketcnn {
namespace {

/// Whether tiles of six points are faster than a direct sum. Measured against im2col on one core
/// with AVX-512 and AVX2, as ratios of forward, input_grad and weight_grad:
///  - 3x3: 16x28x28 to 16 filters 2.9, 3.0, 3.4; 64 to 64 2.4, 3.0, 2.3; 5x5: 2.4 to 3.0;
///  - with 8 channels or filters 1.0 to 2.0, below the algorithms for few channels, except for
///    5x5: 6x14x14 to 16 filters with AVX2 1.16, 1.37, 1.52 times as fast as the direct sum;
///  - 3x3 stride 2, that saves a third of the multiplications: 0.74 to 1.0, but 1.2 to 1.5 for
///    input_grad, for which im2col has to add overlapping columns;
///  - 512x4x4 to 512 of one image, one tile: 0.9, 1.9, 0.2, for the transform of the weights is
///    most of the work; from 4 tiles on (weight_grad: 16) 1.0 to 2.4.
bool winograd_pays(const conv::Problem& problem, ConvPass pass) {
    const Window2d& w = problem.window;
    const index_t phases = w.stride_h * w.stride_w;
    const index_t least = phases == 1 && w.taps() >= 25 ? 6 : 12;
    if (std::min(problem.channels * phases, problem.filters) < least) return false;
    const winograd::Grid grid = pass == ConvPass::input_grad ? winograd::input_grid(problem)
                                                             : winograd::output_grid(problem);
    if (grid.tiles() < (pass == ConvPass::weight_grad ? 16 : 4)) return false;
    // Multiplications of a direct sum over those of the tiles, with their ragged edges.
    const double saving =
        problem.multiply_adds() / (static_cast<double>(grid.tiles()) * kWinogradPoints * phases *
                                   problem.channels * problem.filters);
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
