// The gradient of the input, patch by patch: each pixel of dy, times the weights of its filter,
// gives the gradients of the patch of x that its window saw. Patches are added where they overlap.
// No zeros are multiplied, neither of padding nor between two steps of a window.
#pragma once

#include "conv/call.h"

namespace pocketcnn::conv::patches {

/// Whether this is faster than phase by phase (conv/phases.h).
bool pays(const Problem& problem);

template <typename T>
void input_grad(const InputGradCall<T>& call);

}  // namespace pocketcnn::conv::patches
