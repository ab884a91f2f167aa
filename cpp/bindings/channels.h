// Arrays (N, C, ...) as batches of channels.
#pragma once

#include <pocketcnn/batch_norm.h>

#include "arrays.h"

namespace pocketcnn::bindings {

/// (N, C, ...), whose further axes make the plane.
template <typename T>
ChannelShape channel_shape(const Array<T>& x) {
    if (x.ndim() < 2) throw py::value_error("x must have at least 2 axes");
    ChannelShape shape = {x.shape(0), x.shape(1), 1};
    for (int i = 2; i < x.ndim(); ++i) shape.plane *= x.shape(i);
    return shape;
}

}  // namespace pocketcnn::bindings
