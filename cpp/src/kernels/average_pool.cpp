// Average pooling and its gradient.
#include "kernels/pool_columns.h"
#include "kernels/pool_windows.h"
#include "kernels/rows.h"
#include "kernels/sums.h"
#include "kernels/topics.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

// Every way of averaging adds the taps of a column first and then the columns from left to right,
// so that all give the same bits.
template <typename T>
struct AveragePoolBlock {
    static constexpr bool kKnowsStride2 = false;
    PoolBlock block;
    const T* x;
    T divisor;
    T* y;

    void next_plane() {
        x = placed(x + block.x_plane);
        y = placed(y + block.y_plane);
    }

    [[gnu::always_inline]] void prefetch_results(index_t at, index_t size) const {
        prefetch<1>(y + at, kWriteAhead, size * index_t{sizeof(T)});
    }

    template <int Bytes>
    [[gnu::always_inline]] typename Pack<T, Bytes>::Vec column_sums(const T* from) const {
        return tap_sums<Bytes, 1>(from, false);
    }
    /// One tap of consecutive windows, added up over the rows.
    template <int Bytes, int Stride>
    [[gnu::always_inline]] typename Pack<T, Bytes>::Vec tap_sums(const T* from, bool first) const {
        auto sum = load_tap<T, Bytes, Stride>(from, block.stride, first);
        // Clang would take four at a time, here and below, where there are one or two.
#pragma GCC unroll 1
        for (index_t ky = 1; ky < block.taps_y; ++ky) {
            sum += load_tap<T, Bytes, Stride>(from + ky * block.step_y, block.stride, first);
        }
        return sum;
    }

    template <int Bytes, int Stride, int Taps>
    [[gnu::always_inline]] void tile(index_t row, index_t window) const {
        using P = Pack<T, Bytes>;
        const T* from = placed(x + row * block.row_step + window * block.stride);
        typename P::Vec sum;
        if constexpr (Stride == 2 && Taps != 0) {
            const auto low = column_sums<Bytes>(from), high = column_sums<Bytes>(from + P::lanes);
            sum = even_elements(low, high) + odd_elements(low, high);
            if constexpr (Taps == 3) {
                sum += odd_elements(column_sums<Bytes>(from + 1),
                                    column_sums<Bytes>(from + 1 + P::lanes));
            }
        } else {
            sum = tap_sums<Bytes, Stride>(from, true);
            const index_t taps = Taps != 0 ? Taps : block.taps_x;
#pragma GCC unroll 4
            for (index_t kx = 1; kx < taps; ++kx) sum += tap_sums<Bytes, Stride>(from + kx, false);
        }
        P::store(y + row * block.y_step + window, sum / divisor);
    }

    [[gnu::always_inline]] void window(index_t row, index_t window) const {
        const T* from = x + row * block.row_step + window * block.stride;
        T total = column_sum(from);
#pragma GCC unroll 1
        for (index_t kx = 1; kx < block.taps_x; ++kx) total += column_sum(from + kx);
        y[row * block.y_step + window] = total / divisor;
    }

    [[gnu::always_inline]] T column_sum(const T* from) const {
        T sum = *from;
#pragma GCC unroll 1
        for (index_t ky = 1; ky < block.taps_y; ++ky) sum += from[ky * block.step_y];
        return sum;
    }
};

/// Elements that are added up in a row; of more, such sums are: errors grow with the additions that
/// follow each other.
inline constexpr index_t kAverageRun = 64;

/// element(0) + element(1) + ..., in runs if there are many.
template <bool many, typename Element>
[[gnu::always_inline]] inline auto sum_of_elements(index_t count, const Element& element) {
    auto total = element(0);
    if constexpr (!many) {
        for (index_t k = 1; k < count; ++k) total += element(k);
        return total;
    }
    for (index_t begin = 0; begin < count; begin += kAverageRun) {
        const index_t end = count - begin < kAverageRun ? count : begin + kAverageRun;
        auto part = element(begin);
        for (index_t k = begin + 1; k < end; ++k) part += element(k);
        total = begin == 0 ? part : total + part;
    }
    return total;
}

template <typename T, bool many>
[[gnu::noinline]] void average_pool_by_columns(const PoolBlock block, const T* x, T divisor, T* y) {
    T sums[kPoolColumns];
    for_parts(
        block, [&](index_t plane, index_t row, index_t first, index_t windows, index_t columns) {
            const T* from = x + plane * block.x_plane + row * block.row_step + first * block.stride;
            for_columns<T, kVectorBytes>(
                columns,
                [&]<int Bytes>(index_t i) {
                    using P = Pack<T, Bytes>;
                    P::store(sums + i, sum_of_elements<many>(block.taps_y, [&](index_t k) {
                                 prefetch<0>(from + i + k * block.step_y, kReadAhead, Bytes);
                                 return P::load(from + i + k * block.step_y);
                             }));
                },
                [&](index_t i) {
                    sums[i] = sum_of_elements<many>(
                        block.taps_y, [&](index_t k) { return from[i + k * block.step_y]; });
                });
            T* to = y + plane * block.y_plane + row * block.y_step + first;
            const auto single = [&](index_t i) {
                const T* columns = sums + i * block.stride;
                // for_columns has written them, by vectors, which the analyzer does not see.
                // NOLINTNEXTLINE(clang-analyzer-core.uninitialized.UndefReturn)
                to[i] = sum_of_elements<many>(block.taps_x, [&](index_t k) { return columns[k]; }) /
                        divisor;
            };
            if (block.stride > 1) {
                for (index_t i = 0; i < windows; ++i) single(i);
                return;
            }
            for_columns<T, kVectorBytes>(
                windows,
                [&]<int Bytes>(index_t i) {
                    using P = Pack<T, Bytes>;
                    const auto total = sum_of_elements<many>(
                        block.taps_x, [&](index_t k) { return P::load(sums + i + k); });
                    P::store(to + i, total / divisor);
                },
                single);
        });
}

/// The sum of elements that follow each other, few enough for sums of T.
template <typename T>
inline T sum_few(index_t size, const T* x) {
    constexpr index_t lanes = kLanes<T>;
    T total = 0;
    if (size < lanes) {
        for (index_t i = 0; i < size; ++i) total += x[i];
        return total;
    }
    Vec<T> sums = load(x);
    for (index_t i = lanes; i + lanes <= size; i += lanes) sums += load(x + i);
    // The last vector's elements that have not been added yet.
    const auto is_new =
        Pack<T, kVectorBytes>::sequence(0, 1) >= static_cast<Whole<T>>(lanes - size % lanes);
    sums += is_new ? load(x + size - lanes) : Vec<T>{};
    return sum_of_lanes<T, kVectorBytes>(sums);
}

template <typename T>
void average_planes(index_t planes, index_t size, const T* x, T divisor, T* y) {
    constexpr index_t few = 256;
    for (index_t p = 0; p < planes; ++p, x += size) {
        y[p] = size <= few ? sum_few(size, x) / divisor
                           : static_cast<T>(sum(size, x) / static_cast<double>(divisor));
    }
}

/// Windows whose rows are so long that each is worth a sum of its own.
template <typename T>
[[gnu::noinline]] void average_pool_by_rows(const PoolBlock block, const T* x, T divisor, T* y) {
    for (index_t plane = 0; plane < block.planes; ++plane) {
        for (index_t row = 0; row < block.rows; ++row) {
            for (index_t i = 0; i < block.count; ++i) {
                const T* from = x + plane * block.x_plane + row * block.row_step + i * block.stride;
                double total = 0;
                for (index_t k = 0; k < block.taps_y; ++k) {
                    total += sum(block.taps_x, from + k * block.step_y);
                }
                y[plane * block.y_plane + row * block.y_step + i] =
                    static_cast<T>(total / static_cast<double>(divisor));
            }
        }
    }
}

template <typename T>
void average_pool(const PoolBlock& block, const T* x, T divisor, T* y) {
    if (block.taps_x > kPoolColumns / 2) {
        average_pool_by_rows(block, x, divisor, y);
    } else if (is_large(block) && (block.taps_y > kAverageRun || block.taps_x > kAverageRun)) {
        average_pool_by_columns<T, true>(block, x, divisor, y);
    } else if (is_large(block)) {
        average_pool_by_columns<T, false>(block, x, divisor, y);
    } else {
        for_tiles<T>(block, AveragePoolBlock<T>{block, x, divisor, y});
    }
}

/// shares[i] (+)= values[i] / (rows * cols[i]). Where `free`, whole vectors run over the end.
template <typename T>
inline void add_shares(index_t size, bool free, bool accumulate, const T* values, T rows,
                       const T* cols, T* shares) {
    constexpr index_t lanes = kLanes<T>;
    index_t i = 0;
    for (; i + (free ? 1 : lanes) <= size; i += lanes) {
        const Vec<T> share = load(values + i) / (rows * load(cols + i));
        store(shares + i, accumulate ? load(shares + i) + share : share);
    }
    for (; i < size; ++i) {
        shares[i] = (accumulate ? shares[i] : T{0}) + values[i] / (rows * cols[i]);
    }
}

/// Stride * lanes elements of a row, from one of phase 0 on; shares stands at its window.
template <typename T, int Bytes, int Stride, int Taps>
inline void spread_tile(index_t taps, const T* shares, T* out) {
    using P = Pack<T, Bytes>;
    if constexpr (Taps != 0) taps = Taps;
    typename P::Vec even{}, odd{};
    if constexpr (Stride == 1) {
#pragma GCC unroll 1
        for (index_t k = 0; k < taps; ++k) even += P::load(shares - k);
        P::store(out, even);
    } else {
        for (index_t phase = 0; phase < taps; phase += 2, --shares) {
            const typename P::Vec value = P::load(shares);
            even += value;
            if (phase + 1 < taps) odd += value;
        }
        P::store(out, interleave_lower(even, odd));
        P::store(out + P::lanes, interleave_upper(even, odd));
    }
}

/// Tiles of elements from x on; returns the first element not done. Where the row is free, tiles
/// run over its end.
template <typename T, int Bytes, int Stride, int Taps>
inline index_t spread_tiles(const AveragePlane<T>& plane, bool free, index_t x, const T* shares,
                            T* out) {
    constexpr index_t step = Stride * Pack<T, Bytes>::lanes;
    constexpr index_t least = Bytes > kLeastTileBytes<T> ? step / 2 + 1 : 1;
    // Of the plane itself they would be read for each tile: it might lie where `out` does.
    const index_t taps = plane.taps_x, cols = plane.cols, pad = plane.pad_x;
    for (; x + (free ? least : step) <= cols; x += step) {
        spread_tile<T, Bytes, Stride, Taps>(taps, shares + (x + pad) / Stride, out + x);
    }
    if constexpr (Bytes > kLeastTileBytes<T>) {
        return spread_tiles<T, Bytes / 2, Stride, Taps>(plane, free, x, shares, out);
    }
    return x;
}

/// out[x] = the sum of the shares of the windows that cover x.
template <typename T, int Stride, int Taps>
void spread_row(const AveragePlane<T>& plane, bool free, const T* shares, T* out) {
    const index_t stride = Stride != 0 ? Stride : plane.stride_x;
    index_t x = 0, q = plane.pad_x / stride, phase = plane.pad_x % stride;
    const auto single = [&] {
        T total = 0;
        index_t window = q;
        for (index_t k = phase; k < plane.taps_x; k += stride) total += shares[window--];
        out[x++] = total;
        if (++phase == stride) {
            phase = 0;
            ++q;
        }
    };
    if constexpr (Stride != 0) {
        if (phase != 0) single();
        x = spread_tiles<T, kVectorBytes, Stride, Taps>(plane, free, x, shares, out);
        q = (x + plane.pad_x) / stride;
        phase = (x + plane.pad_x) % stride;
    }
    while (x < plane.cols) single();
}

/// The gradient row by row, each by way of `spread`. One function for all of them: the call takes
/// no time beside the row.
template <typename T, typename SpreadRow>
[[gnu::noinline, gnu::noclone]] void spread_rows(const AveragePlane<T>& plane, SpreadRow* spread,
                                                 const T* dy, T* dx) {
    const index_t covering = (plane.cols - 1 + plane.pad_x) / plane.stride_x + 1;
    index_t first = 0, end = 0;
    for (index_t row = 0; row < plane.rows; ++row, dx += plane.cols) {
        // The output rows [first, end) have windows [oy * stride - pad, + taps) that hold this one.
        const index_t at = row + plane.pad_y;
        bool changed = row == 0;
        for (; first * plane.stride_y + plane.taps_y <= at; ++first) changed = true;
        for (; end < plane.out_rows && end * plane.stride_y <= at; ++end) changed = true;
        if (changed) {
            for (index_t oy = first; oy < end; ++oy) {
                const bool free = (oy + 1) * plane.out_cols + kPackSlack <= plane.dy_room;
                add_shares(plane.out_cols, free, oy > first, dy + oy * plane.out_cols,
                           plane.row_lengths[oy], plane.col_lengths, plane.shares);
            }
            // What stands behind the last window: nothing, or what whole vectors left there.
            const index_t windows = first < end ? plane.out_cols : 0;
            for (index_t i = windows; i < covering; ++i) plane.shares[i] = 0;
        }
        if (!changed) {
            copy_row(plane.cols, 1, dx - plane.cols, dx);
            continue;
        }
        const bool free = (row + 1) * plane.cols + kPackSlack <= plane.dx_room;
        prefetch<1>(dx, kReadAhead, plane.cols * index_t{sizeof(T)});
        spread(plane, free, plane.shares, dx);
    }
}

/// out[2 i] = out[2 i + 1] = values[i] / 4. Where `free`, whole vectors run over the end.
template <typename T>
inline void spread_quarters(index_t count, bool free, const T* values, T* out) {
    constexpr index_t lanes = kLanes<T>;
    index_t i = 0;
    for (; i + (free ? 1 : lanes) <= count; i += lanes) {
        const Vec<T> quarter = load(values + i) * T{0.25};
        store(out + 2 * i, interleave_lower(quarter, quarter));
        if (count - i > lanes / 2) {
            store(out + 2 * i + lanes, interleave_upper(quarter, quarter));
        }
    }
    for (; i < count; ++i) out[2 * i] = out[2 * i + 1] = values[i] * T{0.25};
}

/// Whether windows of 2x2 cover the plane without a gap or an overlap: then a quarter of each
/// gradient goes to four elements.
template <typename T>
inline bool is_quartered(const AveragePlane<T>& plane) {
    return plane.taps_y == 2 && plane.taps_x == 2 && plane.stride_y == 2 && plane.stride_x == 2 &&
           plane.rows == 2 * plane.out_rows && plane.cols == 2 * plane.out_cols &&
           plane.pad_y == 0 && plane.pad_x == 0;
}

template <typename T>
void quarter_backward(const AveragePlane<T>& plane, const T* dy, T* dx) {
    for (index_t row = 0; row < plane.rows; ++row, dx += plane.cols) {
        const T* values = dy + row / 2 * plane.out_cols;
        const bool free = (row / 2 + 1) * plane.out_cols + kPackSlack <= plane.dy_room &&
                          (row + 1) * plane.cols + kPackSlack <= plane.dx_room;
        prefetch<1>(dx, kReadAhead, plane.cols * index_t{sizeof(T)});
        spread_quarters(plane.out_cols, free, values, dx);
    }
}

template <typename T>
void average_pool_backward(const AveragePlane<T>& plane, const T* dy, T* dx) {
    if (is_quartered(plane)) {
        quarter_backward(plane, dy, dx);
    } else if (plane.stride_x == 2 && plane.taps_x == 2) {
        spread_rows(plane, spread_row<T, 2, 2>, dy, dx);
    } else if (plane.stride_x == 2 && plane.taps_x == 3) {
        spread_rows(plane, spread_row<T, 2, 3>, dy, dx);
    } else if (plane.stride_x == 2) {
        spread_rows(plane, spread_row<T, 2, 0>, dy, dx);
    } else if (plane.stride_x == 1) {
        spread_rows(plane, spread_row<T, 1, 0>, dy, dx);
    } else {
        spread_rows(plane, spread_row<T, 0, 0>, dy, dx);
    }
}

template <typename T>
constexpr AveragePoolKernels<T> kKernels = {
    .windows = average_pool<T>,
    .planes = average_planes<T>,
    .backward = average_pool_backward<T>,
};

}  // namespace

const Topic<AveragePoolKernels> average_pool_kernels = {kKernels<float>, kKernels<double>};

}  // namespace pocketcnn::POCKETCNN_ISA
