// The forward product with the operands exchanged, for a few pixels and many weights, as in the
// last layers of a network that sees one image. The columns of im2col are packed, with pixels in
// the lanes, and the weights are broadcast without being copied. Packing the weights, to use each
// of them for so few pixels, would take longer than the product.
#pragma once

#include "conv/call.h"

namespace pocketcnn::conv::few_pixels {

/// Why this algorithm cannot compute a convolution, or null.
const char* obstacle(const Problem& problem);
/// `kept` says that other algorithms have packed weights at hand.
bool pays(const Problem& problem, bool kept);

template <typename T>
void forward(const ForwardCall<T>& call);

/// The same of the gradient of the input: each phase of the stride (phase.h) is such a product.
const char* input_grad_obstacle(const Problem& problem);
bool input_grad_pays(const Problem& problem);

template <typename T>
void input_grad(const InputGradCall<T>& call);

}  // namespace pocketcnn::conv::few_pixels
