// Convolution of a plane by one kernel. The lanes are pixels of a row; a tile is several rows of
// them, so that a vector of the image, once loaded, serves every row of the kernel that sees it,
// and so does a weight for every row of the tile.
#include "kernels/simd.h"
#include "kernels/topics.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

// Vectors of the image are pinned to a register, for the compiler would load each, across two cache
// lines, once for every tap: 512x14x14, 3x3 took a fifth longer forward.

// Most rows of a tile. 7 divides the feature maps of the usual networks, and with as many taps the
// accumulators, the weights and the image fill 15 registers.
inline constexpr int kDepthwiseRows = 7;

// Calls f<row of the output, tap> for all pairs that row i of the source belongs to.
template <int Rows, int Taps, int Stride, typename F>
[[gnu::always_inline]] inline void for_taps(int i, const F& f) {
#pragma GCC unroll 8
    for (int tap = 0; tap < Taps; ++tap) {
        const int at = i - tap;
        if (at >= 0 && at % Stride == 0 && at / Stride < Rows) f(at / Stride, tap);
    }
}

// The first `count` elements of each row of a tile of vectors.
template <typename T>
[[gnu::noinline]] void copy_short_rows(int rows, index_t count, const T* tile, T* to,
                                       index_t step) {
    for (int r = 0; r < rows; ++r) {
        for (index_t i = 0; i < count; ++i) to[r * step + i] = tile[r * kLanes<T> + i];
    }
}

// Asks for what a tile's column of taps will have used up: a share of the elements that are copied
// for a tile of so many rows, a cache line at each step i.
template <typename T, int Bytes, int Taps, int Stride, int Rows>
[[gnu::always_inline]] inline void prefetch_ahead(int i, const T*& ahead) {
    constexpr int line = 64, lines = Rows * Stride * Stride * Bytes / line / Taps + 1;
    if (i >= lines) return;
    prefetch_to_second_cache(ahead);
    ahead += line / sizeof(T);
}

template <typename T, int Bytes, int Taps, int Stride, int Rows>
inline void depthwise_tile(const DepthwiseRows& w, bool free, const T* weight, T start,
                           const T* source, const T*& ahead, T* y) {
    using P = Pack<T, Bytes>;
    typename P::Vec sum[Rows];
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) sum[r] = P::splat(start);
    for (index_t kx = 0; kx < w.taps_x; ++kx) {
        typename P::Vec k[Taps];
#pragma GCC unroll 8
        for (int t = 0; t < Taps; ++t) k[t] = P::splat(weight[t * w.weight_step + kx]);
        const T* from = source + w.offsets[kx];
#pragma GCC unroll 32
        for (int i = 0; i < (Rows - 1) * Stride + Taps; ++i) {
            const typename P::Vec x = pinned(P::load(from));
            prefetch_ahead<T, Bytes, Taps, Stride, Rows>(i, ahead);
            for_taps<Rows, Taps, Stride>(i, [&](int r, int t) { sum[r] += k[t] * x; });
            from += w.pitch;
        }
    }
    if (free) {
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r) {
            prefetch_for_writing(y + (r + Rows) * w.step);
            P::store(y + r * w.step, sum[r]);
        }
    } else {
        T tile[Rows * kLanes<T>];
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r) P::store(tile + r * kLanes<T>, sum[r]);
        copy_short_rows(Rows, w.cols, tile, y, w.step);
    }
}

// Rows [row, row + Rows): the last vector of a long row overlaps the one before it, that of a
// short one runs over its end.
template <typename T, int Bytes, int Taps, int Stride, int Rows>
void depthwise_tiles(const DepthwiseRows w, index_t row, const T* weight, T start, const T* source,
                     const T*& ahead, T* y) {
    constexpr index_t lanes = Pack<T, Bytes>::lanes;
    source += row * Stride * w.pitch;
    y += row * w.step;
    const bool free = w.cols >= lanes || (row + Rows - 1) * w.step + lanes <= w.room;
    for (index_t col = 0; col < w.cols; col += lanes) {
        if (col > 0 && col + lanes > w.cols) col = w.cols - lanes;
        depthwise_tile<T, Bytes, Taps, Stride, Rows>(w, free, weight, start, source + col, ahead,
                                                     y + col);
    }
}

template <typename T, int Bytes, int Taps, int Stride>
void depthwise_rows(const DepthwiseRows& w, const T* weight, T start, const T* source,
                    const T* ahead, T* y) {
    constexpr int most = kDepthwiseRows, few = 3;
    index_t row = 0;
    const auto tiles = [&]<int rows>(index_t at) {
        depthwise_tiles<T, Bytes, Taps, Stride, rows>(w, at, weight, start, source, ahead, y);
        row = at + rows;
    };
    while (row + most <= w.rows) tiles.template operator()<most>(row);
    // The last tile overlaps the one before it.
    if (w.rows >= most && row + few < w.rows) tiles.template operator()<most>(w.rows - most);
    while (w.rows >= few && row < w.rows) {
        tiles.template operator()<few>(row + few <= w.rows ? row : w.rows - few);
    }
    while (row < w.rows) tiles.template operator()<1>(row);
}

// sums[kx][tap] of all rows. What follows a row of dy does not count.
template <typename T, int Taps, int Stride, int Rows>
inline void depthwise_backward_tiles(const DepthwiseRows& w, const T* dy, const T* source,
                                     const T*& ahead, Vec<T> (&sum)[Taps]) {
    for (index_t col = 0; col < w.cols; col += kLanes<T>) {
        Vec<T> d[Rows];
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r) {
            d[r] = load(dy + r * w.step + col);
            if (w.cols - col < kLanes<T>) d[r] = first_lanes<T>(w.cols - col, d[r]);
        }
        const T* from = source + col;
#pragma GCC unroll 32
        for (int i = 0; i < (Rows - 1) * Stride + Taps; ++i) {
            const Vec<T> x = pinned(load(from));
            prefetch_ahead<T, kVectorBytes, Taps, Stride, Rows>(i, ahead);
            for_taps<Rows, Taps, Stride>(i, [&](int r, int t) { sum[t] += d[r] * x; });
            from += w.pitch;
        }
    }
}

template <typename T, int Taps, int Stride>
void depthwise_backward_rows(const DepthwiseRows& w, const T* dy, const T* source, const T* ahead,
                             T* sums) {
    constexpr int most = kDepthwiseRows, few = 3;
    for (index_t kx = 0; kx < w.taps_x; ++kx, sums += Taps * kLanes<T>) {
        Vec<T> sum[Taps];
#pragma GCC unroll 8
        for (int t = 0; t < Taps; ++t) sum[t] = load(sums + t * kLanes<T>);
        index_t row = 0;
        const auto tiles = [&]<int rows>() {
            depthwise_backward_tiles<T, Taps, Stride, rows>(
                w, dy + row * w.step, source + row * Stride * w.pitch + w.offsets[kx], ahead, sum);
            row += rows;
        };
        while (row + most <= w.rows) tiles.template operator()<most>();
        while (row + few <= w.rows) tiles.template operator()<few>();
        while (row < w.rows) tiles.template operator()<1>();
#pragma GCC unroll 8
        for (int t = 0; t < Taps; ++t) store(sums + t * kLanes<T>, sum[t]);
    }
}

// f<rows of taps, stride>() with those of w.
template <typename F>
inline void for_depthwise(const DepthwiseRows& w, const F& f) {
    dispatch<kDepthwiseTaps>(w.taps_y, [&]<int taps>() {
        if constexpr (has_depthwise(taps, 2)) {
            if (w.stride_y == 2) return f.template operator()<taps, 2>();
        }
        f.template operator()<taps, 1>();
    });
}

// Rows that fill less than half of a vector take narrower ones.
template <typename T, int Bytes>
void depthwise_in(const DepthwiseRows& w, const T* weight, T start, const T* source, const T* ahead,
                  T* y) {
    if constexpr (Bytes > kLeastTileBytes<T>) {
        if (w.cols <= Pack<T, Bytes>::lanes / 2) {
            return depthwise_in<T, Bytes / 2>(w, weight, start, source, ahead, y);
        }
    }
    for_depthwise(w, [&]<int taps, int stride>() {
        depthwise_rows<T, Bytes, taps, stride>(w, weight, start, source, ahead, y);
    });
}

template <typename T>
void depthwise(const DepthwiseRows& w, const T* weight, T start, const T* source, const T* ahead,
               T* y) {
    depthwise_in<T, kVectorBytes>(w, weight, start, source, ahead, y);
}

template <typename T>
void depthwise_backward(const DepthwiseRows& w, const T* dy, const T* source, const T* ahead,
                        T* sums) {
    for_depthwise(w, [&]<int taps, int stride>() {
        depthwise_backward_rows<T, taps, stride>(w, dy, source, ahead, sums);
    });
}

template <typename T>
constexpr DepthwiseKernels<T> kKernels = {
    .correlate = depthwise<T>,
    .correlate_backward = depthwise_backward<T>,
};

}  // namespace

const Topic<DepthwiseKernels> depthwise_kernels = {kKernels<float>, kKernels<double>};

}  // namespace pocketcnn::POCKETCNN_ISA
