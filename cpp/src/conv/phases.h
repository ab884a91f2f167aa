// The gradient of the input, phase by phase: the pixels of dx that are a stride apart see the same
// taps. They are a convolution of dy, with stride 1, with those taps rotated by 180 degrees. No
// zeros are multiplied for pixels that a window skips, and each result is written once.
#pragma once

#include "conv/call.h"

namespace pocketcnn::conv::phases {

/// Why this algorithm cannot compute a gradient, or null.
const char* obstacle(const Problem& problem);

/// Each phase uses the algorithm that the table of the forward pass selects for it.
template <typename T>
void input_grad(const InputGradCall<T>& call);

}  // namespace pocketcnn::conv::phases
