// Copies of rows of images into and out of padded bands and planes.
#pragma once

#include <pocketcnn/types.h>

#include "kernels/normalization.h"
#include "kernels/packing.h"

namespace pocketcnn {

template <typename T>
struct CopyKernels {
    /// to[r * to_stride + i * step] = from[r * from_stride + i] for r < rows, i < count.
    void (*copy_rows)(index_t rows, index_t count, const T* from, index_t from_stride, T* to,
                      index_t to_stride, index_t step);
    /// The same with step 1, from numbers of 16 bits; only for float.
    void (*widen_rows)(index_t rows, index_t count, const BFloat16* from, index_t from_stride,
                       T* to, index_t to_stride);
    /// Rows of `width` elements, one after the other: `before` zeros, then `count` elements of a
    /// row of the source, every stride-th, then zeros. Writes up to kPackSlack elements past them.
    /// With a norm, which may be null, what is copied is normalised, but not by its bounds.
    void (*pad_rows)(index_t rows, index_t before, index_t count, index_t width, const T* from,
                     index_t from_stride, index_t stride, T* to, const ChannelNorm<T>* norm);
};

}  // namespace pocketcnn
