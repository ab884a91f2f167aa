// The fully connected layer: x (n, in), weight (out, in), y (n, out).
#pragma once

#include <pocketcnn/bfloat16.h>
#include <pocketcnn/optimizer.h>
#include <pocketcnn/types.h>

namespace pocketcnn {

/// y = x * transpose(weight) + bias; bias may be null. Overwrites y.
template <typename T>
void linear(MatrixView<const T> x, MatrixView<const T> weight, const T* bias, MatrixView<T> y);

/// The same with weights in half of the memory, which many weights and few rows wait for.
void linear(MatrixView<const float> x, MatrixView<const BFloat16> weight, const float* bias,
            MatrixView<float> y);

/// dx = dy * weight. Overwrites dx.
template <typename T>
void linear_backward_input(MatrixView<const T> dy, MatrixView<const T> weight, MatrixView<T> dx);

/// dweight = transpose(dy) * x. Overwrites dweight.
template <typename T>
void linear_backward_weight(MatrixView<const T> dy, MatrixView<const T> x, MatrixView<T> dweight);

/// Computes the gradient of the weight and makes the optimiser's step, without ever holding the
/// whole gradient in memory. Same bits as linear_backward_weight followed by update.
template <typename T>
void linear_weight_update(MatrixView<const T> dy, MatrixView<const T> x, const UpdateStep<T>& step);

/// dbias = the sum of dy over rows. Overwrites dbias.
template <typename T>
void linear_backward_bias(MatrixView<const T> dy, T* dbias);

}  // namespace pocketcnn
