// The tuples in which Python hands over a window's geometry.
#pragma once

#include <pocketcnn/window2d.h>

#include <array>

namespace pocketcnn::bindings {

using Pair = std::array<index_t, 2>;     ///< (h, w)
using Padding = std::array<index_t, 4>;  ///< (top, bottom, left, right)

inline Window2d window2d(Pair kernel, Pair stride, Padding padding, Pair dilation) {
    return {kernel[0],  kernel[1],  stride[0],  stride[1],   padding[0],
            padding[1], padding[2], padding[3], dilation[0], dilation[1]};
}

}  // namespace pocketcnn::bindings
