// Max and average pooling over windows, and their gradients.
#pragma once

#include <pocketcnn/types.h>
#include <pocketcnn/window2d.h>

namespace pocketcnn {

struct Pool2d {
    Window2d window;
    /// Rounds output sizes up, but no window starts beyond the input and its leading padding.
    bool ceil_mode = false;
};

/// Throws std::invalid_argument if the sizes do not fit, if the padding is not smaller than the
/// dilated kernel, or (max pooling with dilation) if a window sees only padding.
Shape4 pool2d_output_shape(const Shape4& x, const Pool2d& pool);

/// y = the largest element of each window; argmax its index into the h*w input plane. The first
/// maximum in row-major order wins; padding never wins; NaN wins over every number. Place is
/// index_t, or std::int32_t where it can hold a plane's indices.
template <typename T, typename Place>
void max_pool2d(ImageView<const T> x, const Pool2d& pool, ImageView<T> y, Place* argmax);

/// dx = 0, then dx[argmax] += dy: overlapping windows add up. Throws std::invalid_argument if an
/// index lies outside the plane.
template <typename T, typename Place>
void max_pool2d_backward(ImageView<const T> dy, const Place* argmax, ImageView<T> dx);

/// y = the mean of each window, which must not be dilated (std::invalid_argument). With
/// count_include_pad the divisor counts padding inside the padded input, else only elements of the
/// image.
template <typename T>
void avg_pool2d(ImageView<const T> x, const Pool2d& pool, bool count_include_pad, ImageView<T> y);

template <typename T>
void avg_pool2d_backward(ImageView<const T> dy, const Pool2d& pool, bool count_include_pad,
                         ImageView<T> dx);

}  // namespace pocketcnn
