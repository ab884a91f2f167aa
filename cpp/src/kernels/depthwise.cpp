// Depthwise convolution. The lanes are pixels of a row, which is read where it lies: what a vector
// sees of the row before or behind is cleared. Square kernels of usual sizes go down strips; others
// take tiles of several rows, so that a vector of the image, once loaded, serves every row of the
// kernel that sees it, and so does a weight for every row of the tile.
#include "kernels/depthwise_strips.h"
#include "kernels/topics.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

// Calls f<row of the output, tap> for all pairs that row i of the source belongs to.
template <int Rows, int Taps, int Stride, typename F>
[[gnu::always_inline]] inline void for_taps(int i, const F& f) {
#pragma GCC unroll 8
    for (int tap = 0; tap < Taps; ++tap) {
        const int at = i - tap;
        if (at >= 0 && at % Stride == 0 && at / Stride < Rows) f(at / Stride, tap);
    }
}

// Where the rows of the source begin that a tile sees.
template <typename T>
[[gnu::noinline]] void find_rows(const DepthwiseRows<T>& w, index_t row, int count, const T* source,
                                 const T** begins) {
    for (int i = 0; i < count; ++i, ++row) {
        begins[i] = row >= 0 && row < w.source_rows ? source + row * w.pitch : w.zeros;
    }
}

template <int Taps, int Stride, int Rows>
inline constexpr int kSeen = (Rows - 1) * Stride + Taps;

// Asks for a tile's share of what follows: planes are read in order, but with several streams.
template <int Stride, int Rows, typename T>
[[gnu::always_inline]] inline void prefetch_share(const T* rows, index_t col) {
    prefetch<0>(rows + col * Rows * Stride, kReadAhead, Rows * Stride * Stride * kVectorBytes);
}

// The first `rows` rows of a tile's sums: `phases` vectors of each, whose elements come in turn.
template <typename T>
[[gnu::noinline]] void put_rows(index_t rows, index_t distance, const DepthwiseSums<T>& out,
                                const T* sums, index_t col, T* to, index_t step) {
    constexpr index_t lanes = kLanes<T>;
    const index_t left = out.width - col * out.phases;
    for (index_t r = 0; r < rows; ++r, sums += lanes, to += step) {
        Vec<T> first = load(sums), second = first;
        prefetch<1>(to, kWriteAhead, out.phases * kVectorBytes);
        if (out.phases == 2) {
            const Vec<T> odd = load(sums + distance);
            second = interleave_upper(first, odd);
            first = interleave_lower(first, odd);
        }
        if (left < lanes * out.phases) {
            put_part<T, kVectorBytes>(left, first, second, to);
            continue;
        }
        store(to, first);
        if (out.phases == 2) store(to + lanes, second);
    }
}

template <typename T, int Taps, int Stride, int Rows>
[[gnu::noinline]] void depthwise_tile(const DepthwiseRows<T>& w, const DepthwiseSums<T>& out,
                                      index_t col, bool whole, const T* weight, T start,
                                      const T* const* begins, T* sums, T* y) {
    index_t column = 0;
    for (index_t phase = 0; phase < out.phases; ++phase, sums += Rows * kLanes<T>) {
        Vec<T> sum[Rows];
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r) sum[r] = splat(start);
        for (; column < out.ends[phase]; ++column) {
            const index_t offset = w.columns[column].offset + col * Stride;
            const T* from = weight + w.columns[column].weight;
            Vec<T> k[Taps];
#pragma GCC unroll 8
            for (int t = 0; t < Taps; ++t) k[t] = splat(from[t * w.weight_step]);
            const auto lanes =
                chosen<T, kVectorBytes>(load_bits<T, kVectorBytes, Stride>(w.inside + offset));
#pragma GCC unroll 32
            for (int i = 0; i < kSeen<Taps, Stride, Rows>; ++i) {
                const auto x = load_only<T, kVectorBytes, Stride>(lanes, begins[i] + offset);
                for_taps<Rows, Taps, Stride>(i, [&](int r, int t) { sum[r] += k[t] * x; });
            }
        }
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r) {
            if (out.rectify) sum[r] = sum[r] < 0 ? Vec<T>{} : sum[r];
        }
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r) {
            if (whole) prefetch<1>(y + r * w.step, kWriteAhead, kVectorBytes);
            store(whole ? y + r * w.step : sums + r * kLanes<T>, sum[r]);
        }
    }
}

// Rows [row, row + Rows), as far as they exist; the last vector of a long row overlaps the one
// before it.
template <typename T, int Taps, int Stride, int Rows>
void depthwise_tiles(const DepthwiseRows<T>& w, const DepthwiseSums<T>& out, index_t row,
                     const T* weight, T start, const T* source, T* y) {
    constexpr index_t lanes = kLanes<T>;
    const T* begins[kSeen<Taps, Stride, Rows>];
    T sums[2 * Rows * lanes];
    find_rows(w, row * Stride - w.before, kSeen<Taps, Stride, Rows>, source, begins);
    const index_t rows = w.rows - row < Rows ? w.rows - row : Rows;
    for (index_t col = 0; col < w.cols; col += lanes) {
        if (col > 0 && col + lanes > w.cols) col = w.cols - lanes;
        prefetch_share<Stride, Rows>(source + row * Stride * w.pitch, col);
        T* to = y + row * w.step + col * out.phases;
        const bool whole = rows == Rows && out.phases == 1 && col + lanes <= w.cols;
        depthwise_tile<T, Taps, Stride, Rows>(w, out, col, whole, weight, start, begins, sums, to);
        if (!whole) put_rows(rows, Rows * lanes, out, sums, col, to, w.step);
    }
}

// Planes of one row are signals, with kernels of one row: these have tiles of one row too.
template <typename T, int Taps, int Stride>
void depthwise_planes(const DepthwiseRows<T>& w, const DepthwiseSums<T>& out, const T* weight,
                      const T* source, T* y) {
    for (index_t plane = 0; plane < w.planes; ++plane) {
        const T start = out.start != nullptr ? out.start[plane] : T{0};
        const auto tiles = [&]<int rows>() {
            for (index_t row = 0; row < w.rows; row += rows) {
                depthwise_tiles<T, Taps, Stride, rows>(w, out, row, weight, start, source, y);
            }
        };
        if constexpr (Taps == 1) {
            if (w.rows == 1) tiles.template operator()<1>();
        }
        if (Taps > 1 || w.rows > 1) tiles.template operator()<kDepthwiseTile>();
        weight += w.weight_plane;
        source += w.source_plane;
        y += w.plane;
    }
}

// sums[tap][column] += those of rows [row, row + Rows), as far as they exist. What follows a row
// of dy does not count.
template <typename T, int Taps, int Stride, int Rows>
void depthwise_backward_tiles(const DepthwiseRows<T>& w, index_t columns, index_t row, const T* dy,
                              const T* source, T* sums) {
    using P = Pack<T, kVectorBytes>;
    constexpr index_t lanes = kLanes<T>;
    const T* begins[kSeen<Taps, Stride, Rows>];
    find_rows(w, row * Stride - w.before, kSeen<Taps, Stride, Rows>, source, begins);
    dy += row * w.step;
    const index_t rows = w.rows - row;
    for (index_t col = 0; col < w.cols; col += lanes) {
        prefetch_share<Stride, Rows>(source + row * Stride * w.pitch, col);
        prefetch_share<1, Rows>(dy, col);
        const typename P::Int in_row = P::sequence(0, 1) < static_cast<Whole<T>>(w.cols - col);
        const auto seen = chosen<T, kVectorBytes>(in_row);
        Vec<T> d[Rows];
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r) {
            d[r] = Vec<T>{};
            if (r < rows) d[r] = load_only<T, kVectorBytes>(seen, dy + r * w.step + col);
        }
        for (index_t column = 0; column < columns; ++column) {
            const index_t offset = w.columns[column].offset + col * Stride;
            const auto bits = load_bits<T, kVectorBytes, Stride>(w.inside + offset);
            const auto inside = chosen<T, kVectorBytes>(bits & in_row);
            Vec<T> sum[Taps] = {};
#pragma GCC unroll 32
            for (int i = 0; i < kSeen<Taps, Stride, Rows>; ++i) {
                const auto x = load_only<T, kVectorBytes, Stride>(inside, begins[i] + offset);
                for_taps<Rows, Taps, Stride>(i, [&](int r, int t) { sum[t] += d[r] * x; });
            }
            T* to = sums + column * lanes;
#pragma GCC unroll 8
            for (int t = 0; t < Taps; ++t, to += columns * lanes) store(to, load(to) + sum[t]);
        }
    }
}

template <typename T, int Taps, int Stride>
void depthwise_backward_planes(const DepthwiseRows<T>& w, index_t columns, const T* dy,
                               const T* source, T* sums) {
    for (index_t plane = 0; plane < w.planes; ++plane) {
        const auto tiles = [&]<int rows>() {
            for (index_t row = 0; row < w.rows; row += rows) {
                depthwise_backward_tiles<T, Taps, Stride, rows>(w, columns, row, dy, source, sums);
            }
        };
        if constexpr (Taps == 1) {
            if (w.rows == 1) tiles.template operator()<1>();
        }
        if (Taps > 1 || w.rows > 1) tiles.template operator()<kDepthwiseTile>();
        dy += w.plane;
        source += w.source_plane;
        sums += Taps * columns * kLanes<T>;
    }
}

// f<rows of taps, stride>() with those of w.
template <typename T, typename F>
inline void for_tiles(const DepthwiseRows<T>& w, const F& f) {
    dispatch<kDepthwiseTaps>(w.taps_y, [&]<int taps>() {
        if constexpr (has_depthwise_tiles(taps, 2, 2)) {
            if (w.stride_y == 2) return f.template operator()<taps, 2>();
        }
        f.template operator()<taps, 1>();
    });
}

// Rows that fill less than half of a vector take narrower ones.
template <typename T, int Bytes = kVectorBytes, typename F>
inline void for_width(index_t cols, const F& f) {
    if constexpr (Bytes > kLeastTileBytes<T>) {
        if (cols <= Pack<T, Bytes>::lanes / 2) return for_width<T, Bytes / 2>(cols, f);
    }
    f.template operator()<Bytes>();
}

template <typename T, int Taps>
void depthwise_by_strips(const DepthwiseRows<T>& w, const DepthwiseSums<T>& out, const T* weight,
                         const T* source, T* y) {
    if (w.stride_y != w.stride_x) {
        auto* strips = w.stride_y == 1 ? depthwise_strips<T, kVectorBytes, Taps, 1, 2>
                                       : depthwise_strips<T, kVectorBytes, Taps, 2, 1>;
        return strips(w, out, weight, source, y);
    }
    for_width<T>(w.cols, [&]<int bytes>() {
        auto* strips = w.stride_y == 1 ? depthwise_strips<T, bytes, Taps, 1, 1>
                                       : depthwise_strips<T, bytes, Taps, 2, 2>;
        strips(w, out, weight, source, y);
    });
}

template <typename T>
void depthwise(const DepthwiseRows<T>& w, const DepthwiseSums<T>& out, const T* weight,
               const T* source, T* y) {
    const bool is_square = out.phases == 1 && out.ends[0] == w.taps_y;
    if (is_square && w.taps_y == 3) return depthwise_by_strips<T, 3>(w, out, weight, source, y);
    // With few registers weights come from memory: tiles of 5x5 are 1.4 times as fast with AVX2.
    if (is_square && w.taps_y == 5 && (kManyRegisters || w.stride_y != w.stride_x)) {
        return depthwise_by_strips<T, 5>(w, out, weight, source, y);
    }
    for_tiles(w, [&]<int taps, int stride>() {
        depthwise_planes<T, taps, stride>(w, out, weight, source, y);
    });
}

template <typename T>
void depthwise_spread(const DepthwiseRows<T>& w, const DepthwiseSums<T>& out, const T* weight,
                      const T* source, T* y) {
    for_width<T>(w.cols, [&]<int bytes>() {
        auto* strips = w.taps_y == 3 ? depthwise_spread_strips<T, bytes, 3>
                                     : depthwise_spread_strips<T, bytes, 5>;
        strips(w, out, weight, source, y);
    });
}

template <typename T>
void depthwise_backward(const DepthwiseRows<T>& w, index_t columns, const T* dy, const T* source,
                        T* sums) {
    if (w.taps_y == 3 && columns == 3) {
        auto* strips = w.stride_y == 1   ? w.stride_x == 1 ? depthwise_backward_strips<T, 3, 1, 1>
                                                           : depthwise_backward_strips<T, 3, 1, 2>
                         : w.stride_x == 1 ? depthwise_backward_strips<T, 3, 2, 1>
                                         : depthwise_backward_strips<T, 3, 2, 2>;
        return strips(w, dy, source, sums);
    }
    for_tiles(w, [&]<int taps, int stride>() {
        depthwise_backward_planes<T, taps, stride>(w, columns, dy, source, sums);
    });
}

template <typename T>
constexpr DepthwiseKernels<T> kKernels = {
    .correlate = depthwise<T>,
    .spread = depthwise_spread<T>,
    .correlate_backward = depthwise_backward<T>,
};

}  // namespace

const Topic<DepthwiseKernels> depthwise_kernels = {kKernels<float>, kKernels<double>};

}  // namespace pocketcnn::POCKETCNN_ISA
