// The forward pass of a 1x1 window without padding: a product of the weights with the image in
// place. Its pixels stay in the lanes, so y is written without a transpose.
#pragma once

#include "conv/call.h"

namespace pocketcnn::conv::pointwise {

/// Why this algorithm cannot take a window, or null.
const char* obstacle(const Window2d& window);
const char* strided_obstacle(const Window2d& window);

template <typename T>
void forward(const ForwardCall<T>& call);

/// The same with weights [taps][filters] of each group, as the gradient of the input takes them;
/// without bias and last step.
template <typename T>
void forward_turned(const Problem& problem, const T* x, const T* weight, T* y,
                    const OutputGrid& grid);

/// Whether the copy below costs less than to read between the pixels for every block of filters.
bool strided_pays(const Problem& problem);

/// The same with a stride, over a copy of the pixels that the window sees.
template <typename T>
void forward_strided(const ForwardCall<T>& call);

}  // namespace pocketcnn::conv::pointwise
