// Batch normalisation of one channel, and local response normalisation of a strip of pixels.
#pragma once

#include <pocketcnn/types.h>

namespace pocketcnn {

/// A mean, and the sum of the squared deviations from it.
struct Moments {
    double mean, squares;
};

struct TwoSums {
    double first, second;
};

/// y = (x - mean) * scale + shift. With `rectify`, zero takes the place of what is negative, and
/// the ceiling that of what is larger.
template <typename T>
struct ChannelNorm {
    T mean, scale, shift;
    bool rectify;
    T ceiling;
};

/// dx = dy * dy' + x * (x' - mean) + constant, where dy' is the gradient, zero where the output is
/// a bound of the rectifying, and x' the input.
template <typename T>
struct ChannelGrad {
    T dy, x, constant;
};

/// Local response normalisation of some consecutive pixels of all channels, which lie `plane`
/// apart: s = k + share * sum of x^2 over a window of channels, those from `before` ahead of a
/// channel to `after` behind it.
template <typename T>
struct ResponseStrip {
    index_t channels, plane, pixels;
    index_t before, after;
    T k, share, beta;
};

/// Loops over a channel, and over all channels.
template <typename T>
struct NormalizationKernels {
    /// size is at least 1.
    Moments (*moments)(index_t size, const T* x);
    /// y may be x.
    void (*normalize)(const ChannelNorm<T>& norm, index_t size, const T* x, T* y);
    /// Sums of dy and of dy * (x - mean); dy counts as zero where the output is a bound.
    TwoSums (*normalize_sums)(const ChannelNorm<T>& norm, index_t size, const T* dy, const T* x);
    /// dx may be dy or x.
    void (*normalize_backward)(const ChannelNorm<T>& norm, const ChannelGrad<T>& grad, index_t size,
                               const T* dy, const T* x, T* dx);
    /// y = x * s^-beta. False where an s is not finite, as of values whose squares overflow.
    bool (*response_norm)(const ResponseStrip<T>& strip, const T* x, T* y);
    /// `recent` is scratch for as many rows of pixels, each rounded up to whole vectors, as the
    /// window has channels. False where an s is not finite.
    bool (*response_norm_backward)(const ResponseStrip<T>& strip, const T* dy, const T* x,
                                   T* recent, T* dx);
};

}  // namespace pocketcnn
