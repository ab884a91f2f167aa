// The cross-entropy of logits. All exponentials are taken relative to the largest entry of a row,
// so none overflows.
#pragma once

#include <pocketcnn/types.h>

namespace pocketcnn {

/// Mean over rows of -log softmax(logits)[label], and its gradient with respect to the logits.
/// Labels must lie in [0, cols): throws std::invalid_argument otherwise. With label smoothing e
/// the target distribution is (1 - e) onehot + e / cols. rows must be positive.
template <typename T>
double cross_entropy(MatrixView<const T> logits, const index_t* labels, double label_smoothing,
                     T* dlogits);

/// The same against target weights, one row per row of logits (they need not sum to one).
template <typename T>
double cross_entropy(MatrixView<const T> logits, const T* targets, double label_smoothing,
                     T* dlogits);

}  // namespace pocketcnn
