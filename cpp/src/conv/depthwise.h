// Convolution where every filter sees one channel: depthwise convolution, and images of one
// channel. Pixels of a row are in the lanes. Planes are read where they lie; those at the ends of
// an array, past which vectors would read, are copied.
#pragma once

#include "conv/call.h"

namespace pocketcnn::conv::depthwise {

/// Why this algorithm cannot compute a pass, or null.
const char* obstacle(const Problem& problem, ConvPass pass);
bool pays(const Problem& problem, ConvPass pass);

template <typename T>
void forward(const ForwardCall<T>& call);

template <typename T>
void input_grad(const InputGradCall<T>& call);

template <typename T>
void weight_grad(const WeightGradCall<T>& call);

}  // namespace pocketcnn::conv::depthwise
