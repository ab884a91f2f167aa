// Convolution and its gradients with fewer multiplications, by tiles of six points (Winograd, Toom
// and Cook). A stride or a dilation but not both; two to five taps per phase along both axes, or
// with stride 1 up to twelve and a single one along one axis. Errors are a few times those of a
// direct sum of values as large as the largest of a tile. Images whose results are not all finite
// are computed again by another algorithm, and so are such gradients of the weights. So no value
// that is not finite, or that overflowed in a transform, reaches results whose windows do not see
// it.
#pragma once

#include "conv/call.h"

namespace pocketcnn::winograd {

/// Why tiles (of a window, of its parts, of split images) cannot compute a convolution, or null.
const char* tiles_obstacle(const Window2d& window);
const char* parts_obstacle(const Window2d& window);
const char* dilated_obstacle(const Window2d& window);

/// Whether tiles are faster than a direct sum, in whichever of the three forms fits. `kept` says
/// that the weights are transformed already.
bool pays(const conv::Problem& problem, ConvPass pass, bool kept);

/// All of them apply the ReLU of a forward pass themselves; only the first applies the gate of a
/// gradient.
template <typename T>
void forward(const conv::ForwardCall<T>& call);
template <typename T>
void forward_in_parts(const conv::ForwardCall<T>& call);
template <typename T>
void forward_dilated(const conv::ForwardCall<T>& call);

template <typename T>
void input_grad(const conv::InputGradCall<T>& call);
template <typename T>
void input_grad_in_parts(const conv::InputGradCall<T>& call);
template <typename T>
void input_grad_dilated(const conv::InputGradCall<T>& call);

template <typename T>
void weight_grad(const conv::WeightGradCall<T>& call);
template <typename T>
void weight_grad_in_parts(const conv::WeightGradCall<T>& call);
template <typename T>
void weight_grad_dilated(const conv::WeightGradCall<T>& call);

}  // namespace pocketcnn::winograd
