// Convolution and its gradients as matrix products over packed blocks of the column matrix: fits
// every shape, and rounds least. These functions say which operands are multiplied and how the
// work is cut; gemm/ does the rest.
#pragma once

#include <vector>

#include "conv/problem.h"
#include "gemm/indirect.h"

namespace pocketcnn::conv::im2col {

/// y = conv2d(x) + bias; bias may be null.
template <typename T>
void forward(const Problem& problem, const T* x, const T* weight, const T* bias, T* y,
             const OutputGrid& grid);

/// The same from weights that are packed: for each group, columns are filters and depth is taps.
template <typename T>
void forward(const Problem& problem, const T* x, const std::vector<gemm::PackedPanels<T>>& weights,
             const T* bias, T* y, const OutputGrid& grid);

template <typename T>
void weight_grad(const Problem& problem, const T* dy, const T* x, T* dweight);

}  // namespace pocketcnn::conv::im2col
