// Dropout: Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting",
// JMLR 15 (2014), in the form that needs no factor in inference ("inverted", section 10).
#pragma once

#include <pocketcnn/types.h>

namespace pocketcnn {

/// y = x * scale and mask = scale where draws >= p, and both zero elsewhere, whatever x is there.
/// With draws from [0, 1) p is the probability that an element is dropped. The arrays do not
/// overlap.
template <typename T>
void dropout(const T* x, const float* draws, float p, T scale, T* y, T* mask, index_t size);

}  // namespace pocketcnn
