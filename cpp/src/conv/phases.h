// The gradient of the input, phase by phase: the pixels of dx that are a stride apart see the same
// taps, and are a convolution of dy with stride 1 by those taps alone, turned by half a turn.
// Nothing is multiplied that a window steps over, and nothing is added twice.
#pragma once

#include "conv/problem.h"

namespace pocketcnn::conv::phases {

/// Whether no phase would have to leave out pixels of dy (negative padding). Not for a
/// dilation together with a stride.
bool fits(const Problem& problem);

/// dx from dy.
template <typename T>
void input_grad(const Problem& problem, ConvAlgorithm algorithm, const T* dy, const T* weight,
                T* dx);

}  // namespace pocketcnn::conv::phases
