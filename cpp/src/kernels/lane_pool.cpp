// Pooling of planes that lie side by side, planes in the lanes. Windows that overlap share what
// they can: the maxima of a row, the sums of a column.
#include "kernels/lane_pool.h"

#include "kernels/maxima.h"
#include "kernels/pool_places.h"
#include "kernels/topics.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

template <typename T>
using LaneMaximum = Maxima<T, kVectorBytes>;

template <typename T>
inline void store(const LaneMaxima<T>& maxima, index_t at, const LaneMaximum<T>& best) {
    store(maxima.values + at * kLanes<T>, best.value);
    Pack<T, kVectorBytes>::store_whole(maxima.places + at * kLanes<T>, best.where);
}

/// The first of the largest of tap(position), taken from the last position to the first.
template <typename T, typename Tap>
[[gnu::always_inline]] inline LaneMaximum<T> first_maximum(const PoolTaps& taps, index_t step,
                                                           const Tap& tap) {
    index_t at = taps.first + (taps.count - 1) * step;
    LaneMaximum<T> best = tap(at);
    while (at > taps.first) {
        at -= step;
        best.take(tap(at));
    }
    return best;
}

/// For each row of the planes, and each column of windows, the maximum of the taps in that row.
template <typename T>
void row_maxima(const LanePlanes& planes, const T* x, const LaneMaxima<T>& maxima) {
    using Int = typename Pack<T, kVectorBytes>::Int;
    index_t to = 0;
    for (index_t row = 0; row < planes.in_rows; ++row, x += planes.in_cols * kLanes<T>) {
        const index_t first = (planes.first_row + row) * planes.in_cols;
        for (index_t col = 0; col < planes.cols; ++col, ++to) {
            const auto tap = [&](index_t at) -> LaneMaximum<T> {
                return {load(x + at * kLanes<T>), Int{} + static_cast<Whole<T>>(first + at)};
            };
            store(maxima, to, first_maximum<T>(planes.taps_x[col], planes.step_x, tap));
        }
    }
}

template <typename T>
void lane_maxima(const LanePlanes& planes, const T* x, LaneMaxima<T> scratch, LaneMaxima<T> out) {
    row_maxima(planes, x, scratch);
    index_t to = 0;
    for (index_t row = 0; row < planes.rows; ++row) {
        for (index_t col = 0; col < planes.cols; ++col, ++to) {
            const auto tap = [&](index_t at) -> LaneMaximum<T> {
                const index_t from = ((at - planes.first_row) * planes.cols + col) * kLanes<T>;
                return {load(scratch.values + from),
                        Pack<T, kVectorBytes>::load_whole(scratch.places + from)};
            };
            store(out, to, first_maximum<T>(planes.taps_y[row], planes.step_y, tap));
        }
    }
}

/// sums[col] = the sum of the column's taps, from the first on.
template <typename T>
inline void column_sums(const LanePlanes& planes, const PoolTaps& taps, const T* x, T* sums) {
    const index_t width = planes.in_cols * kLanes<T>;
    x += (taps.first - planes.first_row) * width;
    for (index_t i = 0; i < width; i += kLanes<T>) {
        Vec<T> sum = load(x + i);
        for (index_t k = 1; k < taps.count; ++k) sum += load(x + k * width + i);
        store(sums + i, sum);
    }
}

template <typename T>
void lane_averages(const LanePlanes& planes, const T* x, const T* row_lengths, const T* col_lengths,
                   T* scratch, T* out) {
    for (index_t row = 0; row < planes.rows; ++row) {
        column_sums(planes, planes.taps_y[row], x, scratch);
        for (index_t col = 0; col < planes.cols; ++col, out += kLanes<T>) {
            const PoolTaps taps = planes.taps_x[col];
            const T* from = scratch + taps.first * kLanes<T>;
            Vec<T> sum = load(from);
            for (index_t k = 1; k < taps.count; ++k) sum += load(from + k * kLanes<T>);
            store(out, sum / (row_lengths[row] * col_lengths[col]));
        }
    }
}

/// A row of results: the sum of each one's taps, from the last on. What sees the same is the same.
template <typename T>
inline void sum_row(const LanePlanes& planes, const T* columns, T* out) {
    PoolTaps seen = {0, 0};
    Vec<T> sum{};
    for (index_t col = 0; col < planes.cols; ++col, out += kLanes<T>) {
        const PoolTaps taps = planes.taps_x[col];
        if (taps != seen) {
            sum = Vec<T>{};
            const T* from = columns + taps.first * kLanes<T>;
            for (index_t k = taps.count - 1; k >= 0; --k) sum += load(from + k * kLanes<T>);
            seen = taps;
        }
        store(out, sum);
    }
}

template <typename T>
void lane_shares(const LanePlanes& planes, T* x, const T* row_lengths, const T* col_lengths,
                 T* scratch, T* out) {
    T* share = x;
    for (index_t row = 0; row < planes.in_rows; ++row) {
        for (index_t col = 0; col < planes.in_cols; ++col, share += kLanes<T>) {
            store(share, load(share) / (row_lengths[row] * col_lengths[col]));
        }
    }
    const index_t width = planes.cols * kLanes<T>;
    for (index_t row = 0; row < planes.rows; ++row, out += width) {
        const PoolTaps taps = planes.taps_y[row];
        if (row > 0 && taps == planes.taps_y[row - 1]) {
            for (index_t i = 0; i < width; i += kLanes<T>) store(out + i, load(out + i - width));
        } else if (taps.count == 0) {
            for (index_t i = 0; i < width; i += kLanes<T>) store(out + i, Vec<T>{});
        } else {
            column_sums(planes, taps, x, scratch);
            sum_row(planes, scratch, out);
        }
    }
}

/// A square of places [place][lane], or fewer rows of it, to [lane][place].
template <typename T, typename Place>
inline void store_square(index_t size, index_t planes, const LanePlace<T>* places, Place* out,
                         index_t stride) {
    using P = Pack<T, kVectorBytes>;
    Vec<T> square[kLanes<T>];
    for (int i = 0; i < kLanes<T>; ++i) {
        const auto row = P::load_whole(places + (i < size ? i : 0) * kLanes<T>);
        square[i] = reinterpret_cast<Vec<T>>(row);
    }
    interleave_all<T>(square);
    for (index_t plane = 0; plane < planes; ++plane, out += stride) {
        const auto row = reinterpret_cast<typename P::Int>(square[plane]);
        if (size == kLanes<T>) {
            store_places<T, kVectorBytes>(row, out);
        } else {
            for (index_t i = 0; i < size; ++i) out[i] = static_cast<Place>(row[i]);
        }
    }
}

template <typename T, typename Place>
void store_all_places(index_t size, index_t planes, const LanePlace<T>* places, Place* out,
                      index_t stride) {
    for (index_t i = 0; i < size; i += kLanes<T>) {
        const index_t left = size - i < kLanes<T> ? size - i : kLanes<T>;
        store_square<T>(left, planes, places + i * kLanes<T>, out + i, stride);
    }
}

template <typename T>
constexpr LanePoolKernels<T> kKernels = {
    .maxima = lane_maxima<T>,
    .averages = lane_averages<T>,
    .shares = lane_shares<T>,
    .places = {store_all_places<T, index_t>, store_all_places<T, std::int32_t>},
};

}  // namespace

const Topic<LanePoolKernels> lane_pool_kernels = {kKernels<float>, kKernels<double>};

}  // namespace pocketcnn::POCKETCNN_ISA
