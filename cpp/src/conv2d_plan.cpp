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
#include "winograd/winograd.h"

namespace pocketcnn {
namespace {

/// Whether tiles of six points are faster than a direct sum. Measured against im2col on one core
/// with AVX-512 and AVX2, as ratios of forward, input_grad and weight_grad:
///  - 3x3: 16x28x28 to 16 filters 2.9, 3.0, 3.4; 64 to 64 2.4, 3.0, 2.3; 5x5: 2.4 to 3.0;
///  - with 8 channels or filters 1.0 to 2.0, below the algorithms for few channels where a vector
///    has 16 lanes; with 8 lanes, 1.0 to 1.5 times as fast as those from 6 channels on, 0.6 at 4;
///  - 3x3 stride 2, that saves a third of the multiplications: 0.74 to 1.0, but input_grad, whose
///    phases are read again and again by im2col, 1.2 to 1.4 at 64x56 and 128x28, 0.7 at 256x14;
///  - where tiles are few, the transform of the weights is most of the work. 16 tiles, 256x14x14 to
///    256 of one image: 0.9, 0.8, 0.7, 512x7x7 to 512 of four 1.0, 0.8, 0.5; 32 tiles 1.2, 1.0,
///    1.0; 49 tiles 2.0 to 2.4;
///  - groups, and dilation by way of the split images: as without.
bool winograd_pays(const conv::Problem& dilated, ConvPass pass) {
    const conv::Problem problem = winograd::undilated(dilated);
    const Window2d& w = problem.window;
    const index_t phases = w.stride_h * w.stride_w;
    const index_t least = std::max<index_t>(6, kernels<float>().winograd.lanes * 3 / 4);
    if (std::min(problem.channels * phases, problem.filters) < least) return false;
    const winograd::Grid grid = pass == ConvPass::input_grad ? winograd::input_grid(problem)
                                                             : winograd::output_grid(problem);
    if (grid.tiles() < 24) return false;
    // Multiplications of a direct sum over those of the tiles, with their ragged edges.
    const double saving =
        dilated.multiply_adds() / (static_cast<double>(grid.tiles()) * kWinogradPoints * phases *
                                   problem.channels * problem.filters * problem.groups);
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
