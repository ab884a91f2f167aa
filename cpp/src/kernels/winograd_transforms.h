// The transforms of the six-point Winograd convolution. A correlation of m results with r taps,
// m + r - 1 = 6, is the transpose of a product of polynomials, which is evaluated at six points,
// multiplied there and interpolated (Toom and Cook; Winograd, Arithmetic Complexity of
// Computations, 1980). The transform of the input depends on the points alone, so it serves every
// kernel size; taps are evaluated at the points, results collected by the transposed evaluation.
#pragma once

#include "kernels/simd.h"
#include "kernels/winograd.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

// The points are 0, +-3/4, +-3/2 and infinity. Against the textbook's 0, +-1, +-2 they lose three
// to four times less precision at the same cost: their powers stay near 1 and are exact.
inline constexpr double kNear = 0.75, kFar = 1.5;
inline constexpr double kNear2 = kNear * kNear, kFar2 = kFar * kFar;
// One over the product of a point's distances from the other finite points.
inline constexpr double kScaleZero = 1 / (kNear2 * kFar2);
inline constexpr double kScaleNear = 1 / (2 * kNear2 * (kNear2 - kFar2));
inline constexpr double kScaleFar = 1 / (2 * kFar2 * (kFar2 - kNear2));

// Six values times the coefficients of prod (x - other points), one row per point.
template <typename T>
inline void transform_line(const Vec<T> (&d)[6], Vec<T> (&t)[6]) {
    constexpr T both = T(kNear2 + kFar2), product = T(kNear2 * kFar2);
    constexpr T near = T(kNear), far = T(kFar), near2 = T(kNear2), far2 = T(kFar2);
    const Vec<T> even_near = d[4] - far2 * d[2], odd_near = d[3] - far2 * d[1];
    const Vec<T> even_far = d[4] - near2 * d[2], odd_far = d[3] - near2 * d[1];
    t[0] = product * d[0] + (d[4] - both * d[2]);
    t[1] = even_near + near * odd_near;
    t[2] = even_near - near * odd_near;
    t[3] = even_far + far * odd_far;
    t[4] = even_far - far * odd_far;
    t[5] = product * d[1] + (d[5] - both * d[3]);
}

// The polynomial with the coefficients g at the six points, scaled.
template <typename T, int count>
inline void evaluate_line(const Vec<T> (&g)[count], Vec<T> (&u)[6]) {
    const auto pair = [&](double point, double scale, Vec<T>& plus, Vec<T>& minus) {
        Vec<T> even = T(scale) * g[0], odd = T(scale * point) * g[1];
        if constexpr (count > 2) even += T(scale * point * point) * g[2];
        if constexpr (count > 3) odd += T(scale * point * point * point) * g[3];
        if constexpr (count > 4) even += T(scale * point * point * point * point) * g[4];
        plus = even + odd;
        minus = even - odd;
    };
    u[0] = T(kScaleZero) * g[0];
    pair(kNear, kScaleNear, u[1], u[2]);
    pair(kFar, kScaleFar, u[3], u[4]);
    u[5] = g[count - 1];
}

// The sums of the six values times the powers 0 to count - 1 of their points.
template <typename T, int count>
inline void collect_line(const Vec<T> (&v)[6], Vec<T> (&y)[count]) {
    const Vec<T> near_sum = v[1] + v[2], near_difference = v[1] - v[2];
    const Vec<T> far_sum = v[3] + v[4], far_difference = v[3] - v[4];
    y[0] = v[0] + near_sum + far_sum;
    y[1] = T(kNear) * near_difference + T(kFar) * far_difference;
    if constexpr (count > 2) y[2] = T(kNear2) * near_sum + T(kFar2) * far_sum;
    if constexpr (count > 3) {
        y[3] = T(kNear * kNear2) * near_difference + T(kFar * kFar2) * far_difference;
    }
    if constexpr (count > 4) y[4] = T(kNear2 * kNear2) * near_sum + T(kFar2 * kFar2) * far_sum;
    y[count - 1] += v[5];
}

// The kernels below copy the distance of the points, which the compiler would else read again after
// every store, for vectors may alias anything.

// Where one tile after the other puts its points, without a division each.
template <typename T>
struct TileWalk {
    T* at;
    index_t left;
    const index_t panel_tiles, tile, jump;

    TileWalk(T* points, index_t first, const TilePlaces& places)
        : at(points + places.offset(first)),
          left(places.panel_tiles - first % places.panel_tiles),
          panel_tiles(places.panel_tiles),
          tile(places.tile),
          jump(places.panel - places.panel_tiles * places.tile) {}
    T* next() {
        T* const here = at;
        at += tile;
        if (--left == 0) {
            left = panel_tiles;
            at += jump;
        }
        return here;
    }
};

// Neighbouring tiles share columns: the vertical transform is made once a column, into a ring of
// six. With room for all columns of a strip instead, strip, columns and points pushed each other
// out of the first cache: together with the gathering, 16 channels of rows of 7 tiles took 400
// cycles a tile instead of 280. The points miss the first cache and would hold up the stores behind
// them, so the next tile's places are asked for as this one's are stored, and each line is loaded
// once (GCC prefers loads as operands of the multiply-adds): 206 to 172 cycles for the transform
// alone.
template <typename T>
void winograd_transform(index_t tiles, index_t step, index_t pitch, const T* strip, index_t first,
                        const TilePlaces& places, T* points) {
    constexpr int lanes = kLanes<T>;
    const index_t point = places.point;
    TileWalk<T> walk(points, first, places);
    Vec<T> ring[6][6];
    index_t col = 0, slot = 0;
    for (index_t j = 0; j < tiles; ++j) {
        for (; col < j * step + 6; ++col) {
            Vec<T> d[6], t[6];
#pragma GCC unroll 6
            for (int i = 0; i < 6; ++i) d[i] = pinned(load(strip + (i * pitch + col) * lanes));
            transform_line<T>(d, t);
#pragma GCC unroll 6
            for (int i = 0; i < 6; ++i) ring[slot][i] = t[i];
            slot = slot < 5 ? slot + 1 : 0;
        }
        // The slot that is next to be filled holds the oldest column.
        const T* columns[6];
#pragma GCC unroll 6
        for (int k = 0; k < 6; ++k) {
            const index_t from = slot + k < 6 ? slot + k : slot + k - 6;
            columns[k] = reinterpret_cast<const T*>(ring[from]);
        }
        T* to = walk.next();
#pragma GCC unroll 6
        for (int i = 0; i < 6; ++i) {
            Vec<T> d[6], t[6];
#pragma GCC unroll 6
            for (int k = 0; k < 6; ++k) d[k] = pinned(load(columns[k] + i * lanes));
            transform_line<T>(d, t);
#pragma GCC unroll 6
            for (int k = 0; k < 6; ++k) {
                store(to, t[k]);
                prefetch_for_writing(to + walk.tile);
                to += point;
            }
        }
    }
}

template <typename T, int height, int width>
void winograd_evaluate(index_t tiles, index_t step, index_t pitch, const T* strip, index_t first,
                       const TilePlaces& places, T* points) {
    constexpr int lanes = kLanes<T>;
    const index_t point = places.point;
    TileWalk<T> walk(points, first, places);
    for (index_t j = 0; j < tiles; ++j) {
        const T* from = strip + j * step * lanes;
        T* to = walk.next();
        Vec<T> half[6][width];
#pragma GCC unroll 6
        for (int k = 0; k < width; ++k) {
            Vec<T> g[height], u[6];
#pragma GCC unroll 6
            for (int i = 0; i < height; ++i) g[i] = load(from + (i * pitch + k) * lanes);
            evaluate_line<T, height>(g, u);
#pragma GCC unroll 6
            for (int i = 0; i < 6; ++i) half[i][k] = u[i];
        }
#pragma GCC unroll 6
        for (int i = 0; i < 6; ++i) {
            Vec<T> u[6];
            evaluate_line<T, width>(half[i], u);
#pragma GCC unroll 6
            for (int k = 0; k < 6; ++k) {
                store(to, u[k]);
                prefetch_for_writing(to + walk.tile);
                to += point;
            }
        }
    }
}

// A result that is not finite leaves NaN in the sum of all results times zero; so does a sum of a
// row that overflows, which does no harm.
template <typename T, int size>
bool winograd_collect(index_t tiles, index_t step, index_t pitch, const T* points, index_t first,
                      const TilePlaces& places, const T* bias, T* strip) {
    constexpr int lanes = kLanes<T>;
    const index_t point = places.point;
    TileWalk<const T> walk(points, first, places);
    const Vec<T> b = bias != nullptr ? load(bias) : Vec<T>{};
    Vec<T> spoiled = {};
    for (index_t j = 0; j < tiles; ++j) {
        const T* from = walk.next();
        T* to = strip + j * step * lanes;
        Vec<T> half[size][6];
#pragma GCC unroll 6
        for (int k = 0; k < 6; ++k) {
            Vec<T> v[6], y[size];
#pragma GCC unroll 6
            for (int i = 0; i < 6; ++i) v[i] = load(from + (i * 6 + k) * point);
            collect_line<T, size>(v, y);
#pragma GCC unroll 6
            for (int i = 0; i < size; ++i) half[i][k] = y[i];
        }
#pragma GCC unroll 6
        for (int i = 0; i < size; ++i) {
            Vec<T> y[size];
            collect_line<T, size>(half[i], y);
            Vec<T> row = {};
#pragma GCC unroll 6
            for (int k = 0; k < size; ++k) {
                const Vec<T> value = y[k] + b;
                store(to + (i * pitch + k) * lanes, value);
                row = k == 0 ? value : row + value;
            }
            spoiled += row * T{0};
        }
    }
    return sum_of_lanes<T, kVectorBytes>(spoiled) == T{0};
}

}  // namespace
}  // namespace pocketcnn::POCKETCNN_ISA
