// The forward product turned around, for a few pixels and many weights, as in the last layers of a
// network that sees one image: the columns of im2col are packed, pixels in the lanes, and the
// weights are broadcast from where they lie. Packing the weights instead, to use each of them for
// so few pixels, takes longer than the product.
#pragma once

#include "conv/call.h"

namespace pocketcnn::conv::few_pixels {

/// Why a convolution is not computed this way, or null.
const char* obstacle(const Problem& problem);
bool pays(const Problem& problem);

template <typename T>
void forward(const ForwardCall<T>& call);

/// The same with weights (channels, filters, kh, kw) that are turned by half a turn: the gradient
/// of the input of a convolution with stride 1 is this with dy as x.
template <typename T>
void forward_turned(const Problem& problem, const T* x, const T* weight, T* y);

}  // namespace pocketcnn::conv::few_pixels
