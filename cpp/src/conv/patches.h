// The gradient of the input, patch by patch: each pixel of dy, times the weights of its filter,
// gives the gradients of the patch of x that it saw, and patches are added where they overlap.
// Nothing is multiplied that lies in the padding of dy or between two steps of a window.
#pragma once

#include "conv/problem.h"

namespace pocketcnn::conv::patches {

/// Whether this is faster than phase by phase (conv/phases.h).
bool suits(const Problem& problem);

/// dx from dy, for every window.
template <typename T>
void input_grad(const Problem& problem, const T* dy, const T* weight, T* dx);

}  // namespace pocketcnn::conv::patches
