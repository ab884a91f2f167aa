// Convolution with pixels in the lanes of the vectors, straight from a padded copy of the image,
// without packing a column matrix: for few channels or filters, also per group.
#pragma once

#include "conv/call.h"

namespace pocketcnn::conv::direct {

/// Why this algorithm cannot compute a convolution, or null. The copy of a block of the image must
/// be small, which it is not if the window is dilated far beyond its kernel.
const char* obstacle(const Problem& problem);
/// For the forward pass and the gradient of the weights.
bool pays(const Problem& problem, ConvPass pass);

template <typename T>
void forward(const ForwardCall<T>& call);

/// Also dbias, from the planes of dy while they are in the cache.
template <typename T>
void weight_grad(const WeightGradCall<T>& call);

}  // namespace pocketcnn::conv::direct
