// Convolution and its gradients with fewer multiplications, by tiles of six points (Winograd,
// Toom and Cook): a stride or a dilation but not both, two to five taps a phase along both axes, or
// with stride 1 up to twelve. Errors are a few times those of a direct sum of values as large as
// the largest of a tile. Images whose results are not all finite are computed again by another way,
// and so are such gradients of the weights: nothing that is not finite, or that overflowed in a
// transform, reaches results whose windows do not see it.
#pragma once

#include "conv/problem.h"

namespace pocketcnn::winograd {

/// Why a convolution cannot be computed this way; null where it can.
const char* obstacle(const Conv2d& conv);

/// y = conv2d(x) + bias, and zero where that is negative if `rectify`; bias may be null.
template <typename T>
void forward(const conv::Problem& problem, const T* x, const T* weight, const T* bias, bool rectify,
             T* y);

/// Whether input_grad takes a gate.
bool takes_gate(const conv::Problem& problem);

/// dx, and zero where the gate, of dx's shape, is zero or below; the gate may be null.
template <typename T>
void input_grad(const conv::Problem& problem, const T* dy, const T* weight, const T* gate, T* dx);

template <typename T>
void weight_grad(const conv::Problem& problem, const T* dy, const T* x, T* dweight);

}  // namespace pocketcnn::winograd
