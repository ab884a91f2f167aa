// Resizing of feature maps, by the nearest pixel or by bilinear interpolation, and its gradient.
#pragma once

#include <pocketcnn/types.h>

namespace pocketcnn {

enum class UpsampleMode { nearest, bilinear };

/// Output pixel o is input floor(o / scale) in nearest mode, or lies on the input at
/// (o + 1/2) / scale - 1/2, or at o (in - 1) / (out - 1) with align_corners, in bilinear mode. A
/// place outside the input counts as the edge. As PyTorch has it, nearest mode divides in single
/// precision where the scale is not whole, and an output of the input's size or twice that takes
/// every pixel once or twice, whatever the scale.
struct Upsample2d {
    double scale_h = 1, scale_w = 1;
    UpsampleMode mode = UpsampleMode::nearest;
    bool align_corners = false;
};

/// floor(in * scale) along each axis; throws std::invalid_argument if a scale is not positive, if
/// there are no pixels, or if the result fits no memory.
Shape4 upsample2d_output_shape(const Shape4& x, const Upsample2d& upsample);

/// Overwrites y, which must have upsample2d_output_shape(x.shape, upsample). A pixel that is not
/// finite reaches the outputs that have a share of it and no others.
template <typename T>
void upsample2d(ImageView<const T> x, const Upsample2d& upsample, ImageView<T> y);

/// dx = the gradient of sum(dy * upsample2d(x)). Overwrites dx.
template <typename T>
void upsample2d_backward(ImageView<const T> dy, const Upsample2d& upsample, ImageView<T> dx);

}  // namespace pocketcnn
