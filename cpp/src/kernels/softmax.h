// What softmax and the cross-entropies make of a row.
#pragma once

#include <pocketcnn/types.h>

namespace pocketcnn {

template <typename T>
struct SoftmaxKernels {
    void (*exp)(index_t size, const T* x, T* y);
    /// y[i] = exp(x[i] - shift); gives the sum of y.
    double (*exp_minus)(index_t size, const T* x, T shift, T* y);
    /// The largest element, NaN where there is one; size is at least 1.
    T (*largest)(index_t size, const T* x);
    /// The sum of x[i] * y[i], accumulated like sum.
    double (*dot)(index_t size, const T* x, const T* y);
    /// y[i] = x[i] * factor
    void (*scale)(index_t size, const T* x, T factor, T* y);
    /// y[i] = x[i] - first - second
    void (*subtract)(index_t size, const T* x, T first, T second, T* y);
    /// dx[i] = y[i] * (dy[i] - mean)
    void (*scale_centred)(index_t size, const T* dy, const T* y, T mean, T* dx);
};

}  // namespace pocketcnn
