// Copies of rows of images into and out of padded bands and planes.
#pragma once

#include <pocketcnn/types.h>

#include "kernels/packing.h"

namespace pocketcnn {

/// Rows of `count` elements, `step` apart, of which `room` elements may be read from the first on,
/// and where they go: rows `to_step` apart, zeros behind them up to a vector or two.
struct RowCopy {
    index_t rows, count, step, room, to_step;
};

template <typename T>
struct CopyKernels {
    /// to[r * to_stride + i * step] = from[r * from_stride + i] for r < rows, i < count.
    void (*copy_rows)(index_t rows, index_t count, const T* from, index_t from_stride, T* to,
                      index_t to_stride, index_t step);
    /// Rows of `width` elements, one after the other: `before` zeros, then `count` elements of a
    /// row of the source, every stride-th, then zeros. Writes up to kPackSlack elements past them.
    void (*pad_rows)(index_t rows, index_t before, index_t count, index_t width, const T* from,
                     index_t from_stride, index_t stride, T* to);
    /// Element i of a row goes to place i.
    void (*copy_plane)(const RowCopy& copy, const T* from, T* to);
    /// Elements 2 i go to even[i], elements 2 i + 1 to odd[i].
    void (*split_plane)(const RowCopy& copy, const T* from, T* even, T* odd);
    /// Element i goes to place 2 i, between zeros.
    void (*spread_plane)(const RowCopy& copy, const T* from, T* to);
};

}  // namespace pocketcnn
