// Depthwise convolution by square kernels of three or five rows: down a strip of a plane, as
// wide as a vector, with all of the kernel's weights, or their gradients, in registers or near.
#pragma once

#include "kernels/depthwise_rows.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

// Strips are cut into blocks of about so many bytes of the plane: while one is computed, the next
// is asked for. Half as many were up to 1.3 times as slow on 144x56x56, and a whole plane of
// 112x112 twice.
inline constexpr index_t kBlockBytes = 1 << 14;

struct StripBlocks {
    // For planes of so many rows, of which each uses up so many bytes of the larger array.
    StripBlocks(index_t all, index_t row_bytes) {
        const index_t blocks = all * row_bytes / kBlockBytes + 1;
        rows = (all + blocks - 1) / blocks;
    }
    index_t rows;
};

// Rows [row, end) of a strip from column `col` on; what is asked for in its course.
template <typename T>
struct StripPart {
    index_t row, end, col;
    const T *ahead, *target_ahead;
};

// Calls f(part) for the parts of a plane. `lanes`: columns of a strip; elements of the source, and
// of the target, that each of these uses up.
template <typename T, typename F>
[[gnu::always_inline]] inline void for_parts(const DepthwiseRows<T>& w, index_t lanes, bool overlap,
                                             index_t block_rows, const T* source,
                                             index_t source_share, const T* target,
                                             index_t target_share, const F& f) {
    for (index_t row = 0; row < w.rows; row += block_rows) {
        const index_t end = row + block_rows < w.rows ? row + block_rows : w.rows;
        for (index_t col = 0; col < w.cols; col += lanes) {
            if (overlap && col > 0 && col + lanes > w.cols) col = w.cols - lanes;
            const index_t place = (row + block_rows) * w.cols + col * block_rows;
            f(StripPart<T>{row, end, col, source + place * source_share,
                           target + place * target_share});
        }
    }
}

// What the lanes of a strip see of a row, for each column of the kernel.
template <typename T, int Bytes, int Columns, int Stride>
struct Strip {
    using P = Pack<T, Bytes>;
    using V = typename P::Vec;

    Strip(const DepthwiseRows<T>& w, const DepthwiseColumn* columns, index_t col,
          typename P::Int counted) {
#pragma GCC unroll 8
        for (int i = 0; i < Columns; ++i) {
            offset[i] = columns[i].offset + col * Stride;
            lanes[i] =
                chosen<T, Bytes>(load_bits<T, Bytes, Stride>(w.inside + offset[i]) & counted);
        }
    }
    [[gnu::always_inline]] V load(const T* row, int column) const {
        return load_only<T, Bytes, Stride>(lanes[column], row + offset[column]);
    }

    index_t offset[Columns];
    Chosen<T, Bytes> lanes[Columns];
};

// Rows of the output that a row of the source adds to.
template <int Taps, int Stride>
inline constexpr int kOpenRows = (Taps + Stride - 1) / Stride;

template <typename T, int Bytes, int Taps, int StrideY, int StrideX>
void depthwise_strip(const DepthwiseRows<T>& w, const DepthwiseSums<T>& out, StripPart<T> part,
                     index_t room, const T* weight, T start, const T* source, T* y) {
    using P = Pack<T, Bytes>;
    using V = typename P::Vec;
    constexpr int open = kOpenRows<Taps, StrideY>;
    const Strip<T, Bytes, Taps, StrideX> strip(w, w.columns, part.col, ~typename P::Int{});
    V k[Taps][Taps];
#pragma GCC unroll 8
    for (int t = 0; t < Taps; ++t) {
#pragma GCC unroll 8
        for (int i = 0; i < Taps; ++i) {
            k[t][i] = P::splat(weight[t * w.weight_step + w.columns[i].weight]);
        }
    }
    const V initial = P::splat(start);
    const index_t step = w.step, pitch = w.pitch, rows = w.source_rows;
    const index_t width = out.width - part.col, count = width < P::lanes ? width : P::lanes;
    const bool rectify = out.rectify;
    index_t at = part.row * StrideY - w.before;
    source += at * pitch;
    y += part.row * step + part.col;
    room -= part.row * step;
    V sum[open];
#pragma GCC unroll 8
    for (int j = 0; j < open; ++j) sum[j] = initial;
    // sum[j] is that of the row j rows before.
    for (index_t row = part.row; row < part.end + open - 1; ++row) {
        prefetch<0>(part.ahead, 0, Bytes * StrideY * StrideX);
        part.ahead = placed(part.ahead + P::lanes * StrideY * StrideX);
#pragma GCC unroll 2
        for (int s = 0; s < StrideY; ++s, ++at, source = placed(source + pitch)) {
            if (!is_below(at, rows)) continue;
            // The shares of this row are added up apart where there are registers for them:
            // without, each sum is one long chain.
            V share[Taps];
#pragma GCC unroll 8
            for (int i = 0; i < Taps; ++i) {
                const V x = strip.load(source, i);
#pragma GCC unroll 8
                for (int t = s; t < Taps; t += StrideY) {
                    V& to = kManyRegisters ? share[t] : sum[t / StrideY];
                    to = kManyRegisters && i == 0 ? k[t][i] * x : to + k[t][i] * x;
                }
            }
#pragma GCC unroll 8
            for (int t = s; t < Taps && kManyRegisters; t += StrideY) sum[t / StrideY] += share[t];
        }
        if (row - part.row >= open - 1) {
            V last = sum[open - 1];
            if (rectify) last = last < 0 ? V{} : last;
            if (count == P::lanes || room >= P::lanes) {
                P::store(y, last);
            } else {
                put_part<T, Bytes>(count, last, last, y);
            }
            prefetch<1>(part.target_ahead, 0, Bytes);
            part.target_ahead += P::lanes;
            y += step;
            room -= step;
        }
#pragma GCC unroll 8
        for (int j = open - 1; j > 0; --j) sum[j] = moved(sum[j - 1]);
        sum[0] = initial;
    }
}

template <typename T, int Bytes, int Taps, int StrideY, int StrideX>
void depthwise_strips(const DepthwiseRows<T>& w, const DepthwiseSums<T>& out, const T* weight,
                      const T* source, T* y) {
    constexpr index_t lanes = Pack<T, Bytes>::lanes;
    const StripBlocks blocks(w.rows, w.pitch * StrideY * index_t{sizeof(T)});
    for (index_t plane = 0; plane < w.planes; ++plane) {
        const T start = out.start != nullptr ? out.start[plane] : T{0};
        const index_t room = w.cols < lanes ? out.room - plane * w.plane : 0;
        for_parts(w, lanes, true, blocks.rows, source, StrideY * StrideX, y, 1,
                  [&](const StripPart<T>& part) {
                      depthwise_strip<T, Bytes, Taps, StrideY, StrideX>(w, out, part, room, weight,
                                                                        start, source, y);
                  });
        weight += w.weight_plane;
        source += w.source_plane;
        y += w.plane;
    }
}

// The gradient of what a kernel with strides of two saw. Each row of the source adds to as many
// rows of the output as the kernel has, of which two are then complete. Of the kernel's columns the
// even ones add to every second element, the odd ones to the others.
template <typename T, int Bytes, int Taps>
void depthwise_spread_strip(const DepthwiseRows<T>& w, const DepthwiseSums<T>& out,
                            StripPart<T> part, index_t room, const T* weight, const T* source,
                            T* y) {
    using P = Pack<T, Bytes>;
    using V = typename P::Vec;
    constexpr int evens = (Taps + 1) / 2, odds = Taps / 2;
    const bool even_first = out.ends[0] == evens;
    DepthwiseColumn columns[Taps];
    for (int i = 0; i < Taps; ++i) columns[i] = w.columns[even_first ? i : (i + odds) % Taps];
    const Strip<T, Bytes, Taps, 1> strip(w, columns, part.col, ~typename P::Int{});
    V k[Taps][Taps];
#pragma GCC unroll 8
    for (int t = 0; t < Taps; ++t) {
#pragma GCC unroll 8
        for (int i = 0; i < Taps; ++i) {
            k[t][i] = P::splat(weight[t * w.weight_step + columns[i].weight]);
        }
    }
    const index_t step = w.step, pitch = w.pitch, rows = w.source_rows, before = w.before;
    const index_t width = out.width - 2 * part.col;
    const index_t count = width < 2 * P::lanes ? width : 2 * P::lanes;
    const auto put = [&](index_t row, V even, V odd) {
        if (row < part.row || row >= part.end) return;
        T* to = y + row * step + 2 * part.col;
        const V first = even_first ? even : odd, second = even_first ? odd : even;
        const V lower = interleave_lower(first, second), upper = interleave_upper(first, second);
        prefetch<1>(part.target_ahead, 0, 2 * Bytes);
        part.target_ahead += 2 * P::lanes;
        if (count == 2 * P::lanes || row * step + 2 * P::lanes <= room) {
            P::store(to, lower);
            P::store(to + P::lanes, upper);
        } else {
            put_part<T, Bytes>(count, lower, upper, to);
        }
    };
    // sums[j] are those of the row 2 i + j - before.
    V sum[Taps][2] = {};
    index_t i = (part.row + before) / 2 - (evens - 1);
    source += i * pitch;
    for (; 2 * i - before < part.end; ++i, source = placed(source + pitch)) {
        prefetch<0>(part.ahead, 0, Bytes);
        part.ahead += P::lanes;
        if (is_below(i, rows)) {
#pragma GCC unroll 8
            for (int c = 0; c < Taps; ++c) {
                const V x = strip.load(source, c);
#pragma GCC unroll 8
                for (int t = 0; t < Taps; ++t) sum[t][c >= evens] += k[t][c] * x;
            }
        }
        put(2 * i - before, sum[0][0], sum[0][1]);
        put(2 * i + 1 - before, sum[1][0], sum[1][1]);
#pragma GCC unroll 8
        for (int t = 0; t < Taps; ++t) {
            for (int phase = 0; phase < 2; ++phase) {
                sum[t][phase] = t + 2 < Taps ? moved(sum[t + 2][phase]) : V{};
            }
        }
    }
}

template <typename T, int Bytes, int Taps>
void depthwise_spread_strips(const DepthwiseRows<T>& w, const DepthwiseSums<T>& out,
                             const T* weight, const T* source, T* y) {
    constexpr index_t lanes = Pack<T, Bytes>::lanes;
    // Rows in pairs: a block that begins with a second row would load its source twice.
    const StripBlocks blocks((w.rows + 1) / 2, 2 * w.step * index_t{sizeof(T)});
    for (index_t plane = 0; plane < w.planes; ++plane) {
        const index_t room = w.cols <= lanes ? out.room - plane * w.plane : 0;
        for_parts(w, lanes, true, 2 * blocks.rows, source, 0, y, 2, [&](StripPart<T> part) {
            part.ahead = source + (part.target_ahead - y) / 4;
            depthwise_spread_strip<T, Bytes, Taps>(w, out, part, room, weight, source, y);
        });
        weight += w.weight_plane;
        source += w.source_plane;
        y += w.plane;
    }
}

// sum[tap][column] += those of a part; vectors past the end of a row of dy are cleared.
template <typename T, int Taps, int StrideY, int StrideX>
[[gnu::always_inline]] inline void depthwise_backward_strip(const DepthwiseRows<T>& w,
                                                            StripPart<T> part, const T* dy,
                                                            const T* source,
                                                            Vec<T> (&sum)[Taps][Taps]) {
    using P = Pack<T, kVectorBytes>;
    constexpr int open = kOpenRows<Taps, StrideY>;
    const typename P::Int in_row = P::sequence(0, 1) < static_cast<Whole<T>>(w.cols - part.col);
    const auto seen = chosen<T, kVectorBytes>(in_row);
    const Strip<T, kVectorBytes, Taps, StrideX> strip(w, w.columns, part.col, in_row);
    const index_t step = w.step, pitch = w.pitch, rows = w.source_rows;
    index_t at = part.row * StrideY - w.before;
    source += at * pitch;
    dy += part.row * step + part.col;
    // d[j] is that of the row j rows before.
    Vec<T> d[open] = {};
    for (index_t row = part.row; row < part.end + open - 1; ++row) {
        d[0] = Vec<T>{};
        if (row < part.end) d[0] = load_only<T, kVectorBytes>(seen, dy);
        dy += step;
        prefetch<0>(part.target_ahead, 0, kVectorBytes);
        part.target_ahead += kLanes<T>;
        prefetch<0>(part.ahead, 0, kVectorBytes * StrideY * StrideX);
        part.ahead = placed(part.ahead + kLanes<T> * StrideY * StrideX);
#pragma GCC unroll 2
        for (int s = 0; s < StrideY; ++s, ++at, source = placed(source + pitch)) {
            if (!is_below(at, rows)) continue;
#pragma GCC unroll 8
            for (int i = 0; i < Taps; ++i) {
                const Vec<T> x = strip.load(source, i);
#pragma GCC unroll 8
                for (int t = s; t < Taps; t += StrideY)
                    add_held_product(sum[t][i], d[t / StrideY], x);
            }
        }
#pragma GCC unroll 8
        for (int j = open - 1; j > 0; --j) d[j] = moved(d[j - 1]);
    }
}

template <typename T, int Taps, int StrideY, int StrideX>
void depthwise_backward_strips(const DepthwiseRows<T>& w, const T* dy, const T* source, T* sums) {
    constexpr index_t lanes = kLanes<T>;
    const StripBlocks blocks(w.rows, w.pitch * StrideY * index_t{sizeof(T)});
    for (index_t plane = 0; plane < w.planes; ++plane) {
        Vec<T> sum[Taps][Taps];
#pragma GCC unroll 25
        for (int i = 0; i < Taps * Taps; ++i) sum[i / Taps][i % Taps] = load(sums + i * lanes);
        for_parts(w, lanes, false, blocks.rows, source, StrideY * StrideX, dy, 1,
                  [&](const StripPart<T>& part) {
                      depthwise_backward_strip<T, Taps, StrideY, StrideX>(w, part, dy, source, sum);
                  });
#pragma GCC unroll 25
        for (int i = 0; i < Taps * Taps; ++i) store(sums + i * lanes, sum[i / Taps][i % Taps]);
        dy += w.plane;
        source += w.source_plane;
        sums += Taps * Taps * lanes;
    }
}

}  // namespace
}  // namespace pocketcnn::POCKETCNN_ISA
