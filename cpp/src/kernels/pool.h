// Pooling.
#pragma once

#include <pocketcnn/types.h>

#include <cstdint>

#include "kernels/packing.h"

namespace pocketcnn {

/// Blocks of pooling windows, alike in consecutive planes, all of whose taps lie inside the image:
/// tap (ky, kx) of window (row, i) is element row * row_step + i * stride + ky * step_y +
/// kx * step_x, and its result element row * y_step + i; the next plane's are x_plane and y_plane
/// further. From the first of each on, x_room elements of the input may be read and y_room of the
/// result written; what lies between the windows' results is left undefined.
struct PoolBlock {
    index_t planes, x_plane, y_plane;
    index_t rows, count;
    index_t row_step, stride;
    index_t taps_y, taps_x;
    index_t step_y, step_x;
    index_t y_step;
    index_t x_room, y_room;
};

/// One plane (rows, cols) under average pooling's windows: window q along an axis starts at
/// q * stride - pad. Sizes are checked by the caller.
template <typename T>
struct AveragePlane {
    index_t rows, cols, out_rows, out_cols;
    index_t taps_y, taps_x, stride_y, stride_x, pad_y, pad_x;
    const T* row_lengths;  ///< [out_rows]: a window's divisor is the product of its lengths
    const T* col_lengths;  ///< [out_cols], readable kPackSlack further
    T* shares;             ///< scratch for the windows that could cover an element and kPackSlack
                           ///< more; as many windows before it as overlap must be zero
    index_t dy_room, dx_room;  ///< elements that may be read and written from their starts on
};

/// A plane of rows x count windows of 2x2 pixels that cover a plane of 2 rows x 2 count without a
/// gap or an overlap. From their starts on, values_room elements of the windows' arrays may be
/// read and out_room pixels written, in order.
struct HalvedPlane {
    index_t rows, count;
    index_t values_room, out_room;
};

/// The first maximum (or first NaN) of each window and its place in its plane: x is the first
/// window's first tap, whose own place is `place`.
template <typename T, typename Place>
using MaxPool = void (*)(const PoolBlock& block, const T* x, index_t place, T* y, Place* argmax);

/// By the type of places: the narrow ones are for results that stay inside the library, where half
/// of the memory does.
template <typename T>
struct MaxPoolKernels {
    MaxPool<T, index_t> wide;
    MaxPool<T, std::int32_t> narrow;
    /// The index of the largest element (the first of them, or the first NaN); size is at least 1.
    index_t (*first_maximum)(index_t size, const T* x);
};

template <typename T, typename Place>
struct Unpool {
    /// Of each plane: out, zero, then out[places[i]] += values[i] in order. False, leaving the rest
    /// undone, where a place is outside the plane's out_size elements.
    bool (*scatter)(index_t planes, index_t size, const T* values, const Place* places,
                    index_t out_size, T* out);
    /// The same for windows that each have their place inside them. False, leaving the plane
    /// unfinished, where one has not.
    bool (*unpool_halved)(const HalvedPlane& plane, const T* values, const Place* places, T* out);
};

template <typename T>
struct UnpoolKernels {
    Unpool<T, index_t> wide;
    Unpool<T, std::int32_t> narrow;
};

template <typename T>
struct AveragePoolKernels {
    /// Each window's sum divided by the divisor; step_x must be 1.
    void (*windows)(const PoolBlock& block, const T* x, T divisor, T* y);
    /// y[p] = the sum of plane p's `size` elements, divided by the divisor.
    void (*planes)(index_t planes, index_t size, const T* x, T divisor, T* y);
    /// dx[y][x] = the sum over the windows that cover it of dy / divisor.
    void (*backward)(const AveragePlane<T>& plane, const T* dy, T* dx);
};

}  // namespace pocketcnn
