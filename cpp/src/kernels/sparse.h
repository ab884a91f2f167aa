// The gradient of the weights where few results have a gradient.
#pragma once

#include <pocketcnn/types.h>

#include <cstdint>

#include "kernels/packing.h"

namespace pocketcnn {

/// Patches are copied in pieces of so many elements, or of a vector where that is shorter.
inline constexpr index_t kPatchPiece = 8;

/// Gradients of some results of some filters: value i of filter f, at f * stride + i, belongs to
/// the patch that begins at places[f * stride + i]. Patches and sums have `width` elements, whole
/// vectors.
template <typename T>
struct SparseGrad {
    index_t filters, count, stride, width;
    const T* values;
    const std::int32_t* places;
};

template <typename T>
struct SparseKernels {
    /// to[i * width + r * length + j] = source[i * step + offsets[r] + j] for i < count, r < rows
    /// and j < length, and one behind them. Up to a piece is written past j = length - 1, which
    /// must not reach the next patch; reads up to kPackSlack elements past the last.
    void (*copy_patches)(index_t count, index_t step, index_t rows, index_t length,
                         const index_t* offsets, const T* source, index_t width, T* to);
    /// to[i] = (places[i] - firsts[i]) * factor. False where a difference is not in
    /// [0, limits[i]).
    bool (*relative_places)(index_t count, const std::int32_t* places, const std::int32_t* firsts,
                            const std::int32_t* limits, std::int32_t factor, std::int32_t* to);
    /// sums[f] += the sum over the values of filter f of each times its patch.
    void (*sparse_backward)(const SparseGrad<T>& grad, const T* patches, T* sums);
};

}  // namespace pocketcnn
