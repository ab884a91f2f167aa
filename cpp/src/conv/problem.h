// What every convolution algorithm derives from the shapes, per group.
#pragma once

#include <pocketcnn/conv2d.h>

#include "gemm/windows.h"

namespace pocketcnn::conv {

struct Problem {
    /// Throws std::invalid_argument where the sizes do not fit.
    Problem(const Shape4& input, const Conv2d& conv)
        : x(input),
          y(conv2d_output_shape(input, conv)),
          window(conv.window),
          groups(conv.groups),
          channels(input.c / conv.groups),
          filters(conv.filters / conv.groups),
          taps(channels * conv.window.taps()) {}

    index_t pixels() const { return y.n * y.plane(); }
    double multiply_adds() const {
        return static_cast<double>(y.size()) * static_cast<double>(taps);
    }

    template <typename T>
    gemm::WindowedImages<T> windows(const T* data, index_t group,
                                    const ChannelNorm<T>* units = nullptr) const {
        return {data + group * channels * x.plane(),
                x.n,
                channels,
                x.image(),
                x.h,
                x.w,
                window,
                y.h,
                y.w,
                units != nullptr ? units + group * channels : nullptr};
    }

    Shape4 x, y;
    Window2d window;
    index_t groups;
    index_t channels;  ///< per group
    index_t filters;   ///< per group
    index_t taps;      ///< per group: channels * kh * kw, the depth of the forward sums
};

/// Where the elements of a result are: pixel (n, f, y, x) is at n * image + f * plane + y * row + x
/// * col.
struct OutputGrid {
    explicit OutputGrid(const Shape4& y) : image(y.image()), plane(y.plane()), row(y.w), col(1) {}

    /// Whether the pixels of a plane are consecutive.
    bool is_dense(const Shape4& y) const { return col == 1 && row == y.w; }

    index_t image, plane, row, col;
};

}  // namespace pocketcnn::conv
