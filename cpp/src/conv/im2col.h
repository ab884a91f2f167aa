// Convolution and its gradients as matrix products over packed blocks of the column matrix. This
// fits every shape and has the smallest rounding error. These functions say which operands are
// multiplied and how the work is cut; gemm/ does the rest.
#pragma once

#include <vector>

#include "conv/call.h"
#include "gemm/indirect.h"

namespace pocketcnn::conv::im2col {

template <typename T>
void forward(const ForwardCall<T>& call);

/// The same from packed weights: for each group, columns are filters and depth is taps.
template <typename T>
void forward_packed(const Problem& problem, const T* x,
                    const std::vector<gemm::PackedPanels<T>>& weights, const T* bias, T* y,
                    const OutputGrid& grid, const LastStep<T>& last = {},
                    const ChannelNorm<T>* units = nullptr);

template <typename T>
void weight_grad(const WeightGradCall<T>& call);

}  // namespace pocketcnn::conv::im2col
