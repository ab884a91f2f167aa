// The geometry of a sliding window: kernel, stride, padding, dilation, and the sizes that follow.
#pragma once

#include <pocketcnn/types.h>

namespace pocketcnn {

/// A window that slides over the last two axes of an image batch.
struct Window2d {
    index_t kernel_h = 1, kernel_w = 1;
    index_t stride_h = 1, stride_w = 1;
    index_t pad_top = 0, pad_bottom = 0, pad_left = 0, pad_right = 0;
    index_t dilation_h = 1, dilation_w = 1;

    /// As high as wide, padded alike on all sides.
    static constexpr Window2d square(index_t kernel, index_t stride = 1, index_t pad = 0) {
        return {kernel, kernel, stride, stride, pad, pad, pad, pad};
    }

    bool operator==(const Window2d&) const = default;

    constexpr index_t taps() const { return kernel_h * kernel_w; }
    /// Height and width that the dilated kernel covers.
    constexpr index_t span_h() const { return dilation_h * (kernel_h - 1) + 1; }
    constexpr index_t span_w() const { return dilation_w * (kernel_w - 1) + 1; }
    /// floor((in + pad - span) / stride) + 1; call validate() first.
    constexpr index_t out_h(index_t h) const {
        return (h + pad_top + pad_bottom - span_h()) / stride_h + 1;
    }
    constexpr index_t out_w(index_t w) const {
        return (w + pad_left + pad_right - span_w()) / stride_w + 1;
    }
    /// True where every output pixel is one input pixel: the window is a 1x1 copy.
    constexpr bool is_pointwise() const {
        return taps() == 1 && stride_h == 1 && stride_w == 1 && pad_top == 0 && pad_bottom == 0 &&
               pad_left == 0 && pad_right == 0;
    }
};

/// Throws std::invalid_argument unless the window is well formed and fits the padded (h, w). In
/// ceil mode it may reach past the lower and right edges by less than its stride.
void validate(const Window2d& window, index_t h, index_t w, bool ceil_mode = false);

/// Throws std::invalid_argument if a size is negative, or the array's bytes do not fit 63 bits;
/// `what` names the array in the message.
void validate(const Shape4& shape, const char* what);

}  // namespace pocketcnn
