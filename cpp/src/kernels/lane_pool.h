// Pooling of planes that lie side by side, each in a lane of its own: a window of any shape, stride
// and clipping is then a matter of whole vectors.
#pragma once

#include <pocketcnn/types.h>

#include <cstdint>
#include <type_traits>

namespace pocketcnn {

/// Positions along an axis: first, and more after it, a step apart.
struct PoolTaps {
    index_t first, count;

    friend bool operator==(const PoolTaps&, const PoolTaps&) = default;
};

/// Rows of planes that lie side by side: element e of plane p is number e * lanes + p. There is a
/// result for each of rows x cols, which sees the rows of taps_y[row] and the columns of
/// taps_x[col].
struct LanePlanes {
    index_t first_row;  ///< that the memory begins with
    index_t in_rows, in_cols;
    index_t rows, cols;
    const PoolTaps* taps_y;  ///< [rows]
    const PoolTaps* taps_x;  ///< [cols]
    index_t step_y, step_x;
};

/// The place of an element in its plane, as wide as the element.
template <typename T>
using LanePlace = std::conditional_t<sizeof(T) == sizeof(float), std::int32_t, std::int64_t>;

/// Values with their places.
template <typename T>
struct LaneMaxima {
    T* values;
    LanePlace<T>* places;
};

/// out[plane * stride + i] = places[i][plane], i < size.
template <typename T, typename Place>
using StorePlaces = void (*)(index_t size, index_t planes, const LanePlace<T>* places, Place* out,
                             index_t stride);

template <typename T>
struct LanePoolKernels {
    /// The first maximum (or first NaN) of each result's taps. `scratch` is for the maxima of each
    /// row: [in_rows][cols][lanes].
    void (*maxima)(const LanePlanes& planes, const T* x, LaneMaxima<T> scratch, LaneMaxima<T> out);
    /// The sum of each result's taps, divided by the product of its lengths ([rows], [cols]);
    /// `scratch` is [in_cols][lanes].
    void (*averages)(const LanePlanes& planes, const T* x, const T* row_lengths,
                     const T* col_lengths, T* scratch, T* out);
    /// The sum of each result's taps, of which each is first divided by the product of the lengths
    /// of its row and column ([in_rows], [in_cols]). Leaves the quotients in x.
    void (*shares)(const LanePlanes& planes, T* x, const T* row_lengths, const T* col_lengths,
                   T* scratch, T* out);
    /// How places leave the lanes, by the type that they get.
    struct {
        StorePlaces<T, index_t> wide;
        StorePlaces<T, std::int32_t> narrow;
    } places;
};

}  // namespace pocketcnn
