// The choice of algorithm, as one readable function of the shape. docs/benchmarks.md holds the
// measurements that its numbers come from.
#include <pocketcnn/conv2d.h>

#include <stdexcept>

#include "winograd/winograd.h"

namespace pocketcnn {

ConvPlan conv2d_plan(const Shape4& x, const Conv2d& conv, ConvPass /*pass*/) {
    conv2d_output_shape(x, conv);
    const char* const obstacle = winograd::obstacle(conv);
    switch (conv.algorithm) {
        case ConvAlgorithm::im2col:
            return {conv.algorithm, "asked for"};
        case ConvAlgorithm::winograd:
            if (obstacle != nullptr) throw std::invalid_argument(obstacle);
            return {conv.algorithm, "asked for"};
        case ConvAlgorithm::automatic:
            break;
    }
    return {ConvAlgorithm::im2col, "fits every shape"};
}

}  // namespace pocketcnn
