// The gradient of the input, phase by phase: the pixels of dx that are a stride apart see the same
// taps, and are a convolution of dy with stride 1 by those taps alone, turned by half a turn.
// Nothing is multiplied that a window steps over, and nothing is added twice.
#pragma once

#include "conv/call.h"

namespace pocketcnn::conv::phases {

/// Why a convolution's gradient is not computed this way, or null.
const char* obstacle(const Problem& problem);

/// Asks the table of the forward pass for the way of each phase.
template <typename T>
void input_grad(const InputGradCall<T>& call);

}  // namespace pocketcnn::conv::phases
