// The choice of algorithm, as one readable function of the shape. docs/benchmarks.md holds the
// measurements that its numbers come from.
#include <pocketcnn/conv2d.h>

#include <stdexcept>

#include "conv/direct.h"

namespace pocketcnn {

ConvPlan conv2d_plan(const Shape4& x, const Conv2d& conv, ConvPass pass) {
    const conv::Problem problem(x, conv);
    if (conv.algorithm == ConvAlgorithm::im2col) return {conv.algorithm, "asked for"};
    if (conv.algorithm == ConvAlgorithm::direct) {
        if (!conv::direct::fits(problem)) {
            throw std::invalid_argument("the window is dilated too far for direct convolution");
        }
        return {conv.algorithm, "asked for"};
    }
    if (conv::direct::suits(problem, pass)) {
        return {ConvAlgorithm::direct, "few channels or filters"};
    }
    return {ConvAlgorithm::im2col, "fits every shape"};
}

}  // namespace pocketcnn
