// Checks of matrix sizes, and the work of a product, for the fully connected layer and its
// gradients.
#pragma once

#include <pocketcnn/linear.h>

#include <stdexcept>

namespace pocketcnn {

template <typename... Views>
void require(bool fits, const Views&... views) {
    const bool negative = ((views.rows < 0 || views.cols < 0) || ...);
    if (negative) throw std::invalid_argument("a matrix has a negative size");
    if (!fits) throw std::invalid_argument("the sizes of x, weight and y do not fit each other");
}

inline double product_work(index_t rows, index_t cols, index_t depth) {
    return static_cast<double>(rows) * static_cast<double>(cols) * static_cast<double>(depth);
}

}  // namespace pocketcnn
