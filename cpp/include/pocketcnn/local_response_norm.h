// Local response normalisation across channels and its gradient: Krizhevsky, Sutskever, Hinton,
// "ImageNet Classification with Deep Convolutional Neural Networks", NIPS 2012, section 3.3.
#pragma once

#include <pocketcnn/types.h>

namespace pocketcnn {

/// y[c] = x[c] * s[c]^-beta, s[c] = k + alpha / size * sum of x[i]^2 over the existing channels i
/// from c - size / 2 to c + (size - 1) / 2. The paper's alpha is not divided by the size.
struct LocalResponseNorm {
    index_t size = 5;
    double alpha = 1e-4;
    double beta = 0.75;
    double k = 1;
};

/// Throws std::invalid_argument if the size is not positive or the shapes differ.
template <typename T>
void local_response_norm(ImageView<const T> x, const LocalResponseNorm& norm, ImageView<T> y);

/// dx from dy and x. s is as large as x, so it is computed again instead of stored.
template <typename T>
void local_response_norm_backward(ImageView<const T> dy, ImageView<const T> x,
                                  const LocalResponseNorm& norm, ImageView<T> dx);

}  // namespace pocketcnn
