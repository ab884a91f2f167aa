// Softmax along one axis of an array seen as (outer, classes, inner), and the cross-entropy of
// logits. All exponentials are taken relative to the largest entry, so none overflows.
#pragma once

#include <pocketcnn/types.h>

namespace pocketcnn {

/// The axis in the middle is the one that is normalised; size = outer * classes * inner.
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
void softmax_grad(const T* dy, const T* y, const AxisShape& shape, T* dx);
/// dx from dy and y = log_softmax(x): dx = dy - exp(y) sum(dy).
template <typename T>
void log_softmax_grad(const T* dy, const T* y, const AxisShape& shape, T* dx);

/// Mean over rows of -log softmax(logits)[label], and its gradient with respect to the logits.
/// Labels must lie in [0, cols): throws std::invalid_argument otherwise. With label smoothing e
/// the target distribution is (1 - e) onehot + e / cols. rows must be positive.
template <typename T>
double cross_entropy(MatrixView<const T> logits, const index_t* labels, double label_smoothing,
                     T* dlogits);

/// The same against rows of target weights (not required to sum to one).
template <typename T>
double cross_entropy(MatrixView<const T> logits, const T* targets, double label_smoothing,
                     T* dlogits);

}  // namespace pocketcnn
