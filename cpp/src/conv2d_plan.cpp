// The choice of algorithm, as one readable function of the shape. docs/benchmarks.md holds the
// measurements that its numbers come from.
#include <pocketcnn/conv2d.h>

#include <stdexcept>

#include "conv/direct.h"
#include "winograd/winograd.h"

namespace pocketcnn {
namespace {

/// A matrix product would pack and pad more than it multiplies.
bool has_few_channels(const conv::Problem& problem) {
    return (problem.channels <= 3 || problem.filters <= 8) && conv::direct::fits(problem);
}

}  // namespace

ConvPlan conv2d_plan(const Shape4& x, const Conv2d& conv, ConvPass /*pass*/) {
    const conv::Problem problem(x, conv);
    const char* const obstacle = winograd::obstacle(conv);
    switch (conv.algorithm) {
        case ConvAlgorithm::im2col:
            return {conv.algorithm, "asked for"};
        case ConvAlgorithm::winograd:
            if (obstacle != nullptr) throw std::invalid_argument(obstacle);
            return {conv.algorithm, "asked for"};
        case ConvAlgorithm::direct:
        case ConvAlgorithm::automatic:
            break;
    }
    if (has_few_channels(problem)) return {ConvAlgorithm::direct, "few channels or filters"};
    return {ConvAlgorithm::im2col, "fits every shape"};
}

}  // namespace pocketcnn
