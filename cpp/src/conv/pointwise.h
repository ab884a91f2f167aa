// The forward pass of a 1x1 window without padding: a product of the weights with the image in
// place. Its pixels stay in the lanes, so y is written without a transpose.
#pragma once

#include "conv/call.h"
#include "runtime/memory_pool.h"

namespace pocketcnn::conv::pointwise {

/// Why this algorithm cannot take a window, or null.
const char* obstacle(const Window2d& window);
const char* strided_obstacle(const Window2d& window);

/// Whether images are vectors, whose convolution is the fully connected layer.
bool is_linear(const Problem& problem);

template <typename T>
void forward(const ForwardCall<T>& call);

/// The product without packing: pixels are read where they lie, images one by one.
const char* in_place_obstacle(const Problem& problem);
bool in_place_pays(const Problem& problem);
template <typename T>
void forward_in_place(const ForwardCall<T>& call);

/// The same with weights [taps][filters] of each group, as the gradient of the input takes them;
/// without bias and last step.
template <typename T>
void forward_turned(const Problem& problem, const T* x, const T* weight, T* y,
                    const OutputGrid& grid, bool in_place);

/// The pixels that a window of one tap without padding sees, as images of the result's size.
template <typename T>
Buffer<T> seen_pixels(const Problem& problem, const T* x);
/// The convolution of these, by a window of one pixel without a stride.
Problem of_seen_pixels(const Problem& problem);

/// Whether their copy costs less than to read between the pixels for every block of filters.
bool strided_pays(const Problem& problem);

/// The same as `forward` with a stride, over this copy.
template <typename T>
void forward_strided(const ForwardCall<T>& call);

}  // namespace pocketcnn::conv::pointwise
