// Convolution where every filter sees one channel: depthwise convolution, and images of one
// channel. Pixels of a row in the lanes, several rows of the output at once, read from a copy of
// the rows with zeros around them.
#pragma once

#include "conv/problem.h"

namespace pocketcnn::conv::depthwise {

/// Whether this way computes a pass: one channel a filter, not dilated downwards, strides of 1
/// or 2.
bool fits(const Problem& problem, ConvPass pass);

/// y = conv2d(x) + bias; bias may be null.
template <typename T>
void forward(const Problem& problem, const T* x, const T* weight, const T* bias, T* y);

template <typename T>
void input_grad(const Problem& problem, const T* dy, const T* weight, T* dx);

template <typename T>
void weight_grad(const Problem& problem, const T* dy, const T* x, T* dweight);

}  // namespace pocketcnn::conv::depthwise
