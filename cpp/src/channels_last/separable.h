// A depthwise convolution with the 1x1 convolutions before and behind it, as one operation: what
// the first gives goes to no memory but a task's own, in bands of rows and panels of channels.
#pragma once

#include <pocketcnn/types.h>
#include <pocketcnn/window2d.h>

#include <memory>

#include "channels_last/filters.h"

namespace pocketcnn::channels_last {

template <typename T>
struct Separable {
    Shape4 image;  ///< one, of what goes in
    Window2d window;
    std::shared_ptr<const Filters<T>> expand = {};     ///< may be null
    std::shared_ptr<const Filters<T>> depthwise = {};  ///< taps are their depth
    std::shared_ptr<const Filters<T>> project = {};    ///< may be null
    bool from_planes = false;                          ///< where there is no `expand`: how x lies
};

/// Computes n images. The addend, which may be null, is one of `project`, and lies as y does.
template <typename T>
void separable(const Separable<T>& layers, const T* x, index_t n, const T* addend, T* y);

}  // namespace pocketcnn::channels_last
