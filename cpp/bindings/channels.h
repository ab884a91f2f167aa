// Arrays (N, C, ...) as batches of channels.
#pragma once

#include <pocketcnn/batch_norm.h>

#include "arrays.h"

namespace pocketcnn::bindings {

/// (N, C, ...), whose further axes make the plane.
inline ChannelShape channel_shape(const Floats& x) {
    if (x.ndim() < 2) throw py::value_error("x must have at least 2 axes");
    ChannelShape shape = {x.shape(0), x.shape(1), 1};
    for (int i = 2; i < x.ndim(); ++i) shape.plane *= x.shape(i);
    return shape;
}

/// The scales and the shifts of a normalisation: an element per channel.
inline void require_affine(const Floats& gamma, const Floats& beta, const ChannelShape& shape) {
    require_shape(gamma, Shape{shape.channels}, "gamma");
    require_shape(beta, Shape{shape.channels}, "beta");
}

/// `wanted` is the shape of both.
inline ChannelStatistics statistics_of(const Array<double>& mean, const Array<double>& variance,
                                       const Shape& wanted) {
    require_shape(mean, wanted, "mean");
    require_shape(variance, wanted, "variance");
    return {mean.data(), variance.data()};
}

}  // namespace pocketcnn::bindings
