// Convolution of few channels or filters without a matrix product: the vectors' lanes are pixels
// of a padded image, flattened over its rows, so that every tap of the window is one shifted load
// from where the image lies anyway. Positions between two rows are computed and thrown away.
#include "kernels/rows.h"
#include "kernels/sums.h"
#include "kernels/tile.h"
#include "kernels/topics.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

// Filters of one call, and the vectors of pixels that go with them: as many accumulators as the
// registers hold beside the operands.
// Double, which needs twice as many vectors for a row, has fewer rows in a call.
template <typename T>
inline constexpr int kDirectRows = kVectorRegisters >= 32 && sizeof(T) == sizeof(float) ? 8 : 4;

constexpr int direct_vectors(int rows) {
    constexpr int wide[] = {8, 8, 6, 6, 5, 4, 3, 3}, narrow[] = {8, 6, 4, 3};
    return kVectorRegisters >= 32 ? wide[rows - 1] : narrow[rows - 1];
}

// How far ahead of the tile the cache lines of the result are asked for.
inline constexpr int kTilesAhead = 4;

// What the sums of a tile are added to: vectors `vector` apart, in rows `row` apart. A bias is the
// same vector for all pixels of its row; the other addends are what is in the result.
template <typename T>
struct Addends {
    const T* data;
    index_t row, vector;

    Addends from(index_t pixel) const { return {vector != 0 ? data + pixel : data, row, vector}; }
};

// The sums of all taps and the addends.
template <typename T, int rows, int vectors>
inline void correlate_tile(index_t taps, const index_t* offsets, const T* weights,
                           const Addends<T> addends, const T* source, T* out, index_t out_stride) {
    Vec<T> sum[rows][vectors] = {};
    for (index_t k = 0; k < taps; ++k) {
        const T* from = source + offsets[k];
        Vec<T> x[vectors];
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) x[v] = load(from + v * kLanes<T>);
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r) {
            const Vec<T> w = splat(weights[r]);
#pragma GCC unroll 8
            for (int v = 0; v < vectors; ++v) add_product(sum[r][v], w, x[v]);
        }
        weights += rows;
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) {
            T* to = out + r * out_stride + v * kLanes<T>;
            store(to, sum[r][v] + load(addends.data + r * addends.row + v * addends.vector));
        }
    }
}

// The last pixels, fewer than a tile: whole vectors go where they belong, and the rest of a vector
// by way of a copy, so that nothing past it is touched.
template <typename T, int rows>
inline void correlate_end(index_t pixels, index_t taps, const index_t* offsets, const T* weights,
                          Addends<T> addends, const T* source, T* out, index_t out_stride) {
    constexpr int vectors = direct_vectors(rows);
    const index_t rest = pixels % kLanes<T>;
    index_t p = 0;
    const auto tile = [&]<int few>() {
        correlate_tile<T, rows, few>(taps, offsets, weights, addends.from(p), source + p, out + p,
                                     out_stride);
        p += few * kLanes<T>;
    };
    if constexpr (sizeof(T) == sizeof(float)) {
        dispatch<vectors - 1>(pixels / kLanes<T>, tile);
    } else {
        // Tiles of powers of two, which are fewer functions.
        if constexpr (vectors > 4) {
            if (pixels - p >= 4 * kLanes<T>) tile.template operator()<4>();
        }
        if (pixels - p >= 2 * kLanes<T>) tile.template operator()<2>();
        if (pixels - p >= kLanes<T>) tile.template operator()<1>();
    }
    if (rest == 0) return;
    T last[rows * kLanes<T>];
    source += p;
    out += p;
    if (addends.vector != 0) {
        copy_rests(rows, rest, out, out_stride, last);
        addends = {last, kLanes<T>, kLanes<T>};
    }
    correlate_tile<T, rows, 1>(taps, offsets, weights, addends, source, last, kLanes<T>);
    for (int r = 0; r < rows; ++r) {
        copy_few(rest, last + r * kLanes<T>, out + r * out_stride);
    }
}

// Not inline: beside each other the compiler would keep accumulators on the stack.
template <typename T, int rows>
[[gnu::noinline]] void correlate_rows(index_t pixels, index_t taps, const index_t* offsets,
                                      const T* weights, const T* bias, const T* source, T* out,
                                      index_t out_stride) {
    constexpr int vectors = direct_vectors(rows);
    constexpr index_t width = vectors * kLanes<T>;
    T splats[rows * kLanes<T>];
    for (int r = 0; r < rows && bias != nullptr; ++r) store(splats + r * kLanes<T>, splat(bias[r]));
    const Addends<T> addends =
        bias != nullptr ? Addends<T>{splats, kLanes<T>, 0} : Addends<T>{out, out_stride, kLanes<T>};
    index_t p = 0;
    for (; p + width <= pixels; p += width) {
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
            for (int v = 0; v < vectors; ++v) {
                prefetch_for_writing(out + r * out_stride + p + kTilesAhead * width +
                                     v * kLanes<T>);
            }
        }
        correlate_tile<T, rows, vectors>(taps, offsets, weights, addends.from(p), source + p,
                                         out + p, out_stride);
    }
    correlate_end<T, rows>(pixels - p, taps, offsets, weights, addends.from(p), source + p, out + p,
                           out_stride);
}

// Taps of one sum; of more, sums are added up, for an error grows with the additions that follow
// each other.
inline constexpr index_t kCorrelateTaps = 512;

template <typename T>
void correlate(index_t rows, index_t pixels, index_t taps, const index_t* offsets, const T* weights,
               const T* bias, const T* source, T* out, index_t out_stride) {
    for (index_t k = 0; k < taps; k += kCorrelateTaps, bias = nullptr) {
        const index_t count = taps - k < kCorrelateTaps ? taps - k : kCorrelateTaps;
        dispatch<kDirectRows<T>>(rows, [&]<int r>() {
            correlate_rows<T, r>(pixels, count, offsets + k, weights + k * r, bias, source, out,
                                 out_stride);
        });
    }
}

// The gradient of the weights, lane by lane: rows of dy times shifted rows of the image. Taps that
// go with so many rows.
constexpr int direct_grad_taps(int rows) {
    constexpr int wide[] = {10, 9, 8, 6, 5, 4, 3, 3}, narrow[] = {10, 6, 4, 3};
    return kVectorRegisters >= 32 ? wide[rows - 1] : narrow[rows - 1];
}

template <typename T, int rows, int taps>
inline void correlate_backward_tile(index_t pixels, const T* dy, index_t dy_stride,
                                    const index_t* offsets, const T* source, T* sums,
                                    index_t sums_stride) {
    const index_t whole = pixels / kLanes<T> * kLanes<T>;
    T last[rows * kLanes<T>];
    // Before there are sums: a call would put them on the stack.
    if (whole < pixels) copy_rests(rows, pixels - whole, dy + whole, dy_stride, last);
    Vec<T> sum[rows][taps];
    const T* from[taps];
#pragma GCC unroll 16
    for (int t = 0; t < taps; ++t) {
        from[t] = source + offsets[t];
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r) sum[r][t] = load(sums + r * sums_stride + t * kLanes<T>);
    }
    for (index_t p = 0; p < whole; p += kLanes<T>) {
        add_products<T, rows, taps>(
            sum, [&](int r) { return load(dy + r * dy_stride + p); },
            [&](int t) { return load(from[t] + p); });
    }
    if (whole < pixels) {
        add_products<T, rows, taps>(
            sum, [&](int r) { return load(last + r * kLanes<T>); },
            [&](int t) { return load(from[t] + whole); });
    }
#pragma GCC unroll 16
    for (int t = 0; t < taps; ++t) {
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r) store(sums + r * sums_stride + t * kLanes<T>, sum[r][t]);
    }
}

// All taps, in parts of nearly equal size.
template <typename T, int rows>
[[gnu::noinline]] void correlate_backward_rows(index_t pixels, index_t taps, const T* dy,
                                               index_t dy_stride, const index_t* offsets,
                                               const T* source, T* sums) {
    constexpr int limit = direct_grad_taps(rows);
    const index_t parts = ceil_div(taps, limit);
    for (index_t part = 0; part < parts; ++part) {
        const index_t tap = part * taps / parts, end = (part + 1) * taps / parts;
        dispatch<limit>(end - tap, [&]<int count>() {
            correlate_backward_tile<T, rows, count>(pixels, dy, dy_stride, offsets + tap, source,
                                                    sums + tap * kLanes<T>, taps * kLanes<T>);
        });
    }
}

template <typename T>
void correlate_backward(index_t rows, index_t pixels, index_t taps, const T* dy, index_t dy_stride,
                        const index_t* offsets, const T* source, T* sums) {
    dispatch<kDirectRows<T>>(rows, [&]<int r>() {
        correlate_backward_rows<T, r>(pixels, taps, dy, dy_stride, offsets, source, sums);
    });
}

template <typename T>
void fold_lanes(index_t size, const T* sums, T* to) {
    constexpr index_t lanes = kLanes<T>;
    index_t i = 0;
    for (; i + lanes <= size; i += lanes) store(to + i, lane_sums(sums + i * lanes));
    T vectors[lanes * lanes] = {}, last[lanes];
    for (index_t k = 0; k < size - i; ++k) store(vectors + k * lanes, load(sums + (i + k) * lanes));
    store(last, lane_sums(vectors));
    copy_few(size - i, last, to + i);
}

template <typename T>
constexpr DirectKernels<T> kKernels = {
    .rows = kDirectRows<T>,
    .correlate = correlate<T>,
    .correlate_backward = correlate_backward<T>,
    .fold_lanes = fold_lanes<T>,
};

}  // namespace

const Topic<DirectKernels> direct_kernels = {kKernels<float>, kKernels<double>};

}  // namespace pocketcnn::POCKETCNN_ISA
