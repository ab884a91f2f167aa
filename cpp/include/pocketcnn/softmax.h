// Softmax and its logarithm along one axis of an array, viewed as (outer, classes, inner). All
// exponentials are taken relative to the largest entry, so none overflows.
#pragma once

#include <pocketcnn/types.h>

namespace pocketcnn {

/// The middle axis is normalised; size = outer * classes * inner.
struct AxisShape {
    index_t outer = 1;
    index_t classes = 1;
    index_t inner = 1;
};

template <typename T>
void softmax(const T* x, const AxisShape& shape, T* y);
template <typename T>
void log_softmax(const T* x, const AxisShape& shape, T* y);

/// dx from dy and y = softmax(x): dx = y (dy - sum(dy y)).
template <typename T>
void softmax_backward(const T* dy, const T* y, const AxisShape& shape, T* dx);
/// dx from dy and y = log_softmax(x): dx = dy - exp(y) sum(dy).
template <typename T>
void log_softmax_backward(const T* dy, const T* y, const AxisShape& shape, T* dx);

}  // namespace pocketcnn
