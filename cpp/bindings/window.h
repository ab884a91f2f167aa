// The tuples in which Python hands over a window's geometry.
#pragma once

#include <pocketcnn/conv2d.h>

#include <array>

#include "arrays.h"

namespace pocketcnn::bindings {

using Pair = std::array<index_t, 2>;     ///< (h, w)
using Padding = std::array<index_t, 4>;  ///< (top, bottom, left, right)

inline Window2d window2d(Pair kernel, Pair stride, Padding padding, Pair dilation) {
    return {kernel[0],  kernel[1],  stride[0],  stride[1],   padding[0],
            padding[1], padding[2], padding[3], dilation[0], dilation[1]};
}

/// The convolution of images by filters; throws where their shapes do not fit each other.
inline Conv2d convolution(const Shape4& x, const Shape4& weight, Pair stride, Padding padding,
                          Pair dilation, index_t groups,
                          ConvAlgorithm algorithm = ConvAlgorithm::automatic) {
    const Conv2d conv = {window2d({weight.h, weight.w}, stride, padding, dilation), weight.n,
                         groups, algorithm};
    conv2d_output_shape(x, conv);
    if (weight.c != x.c / groups) {
        throw py::value_error("x has " + std::to_string(x.c) + " channels, but weight " +
                              text_of(weight) + " takes " + std::to_string(weight.c) +
                              " in each of " + std::to_string(groups) + " groups");
    }
    return conv;
}

}  // namespace pocketcnn::bindings
