// The transforms of windows that have a single tap along one axis: tiles are six positions in a
// row or in a column, and their points as many.
#pragma once

#include "kernels/winograd_transforms.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

// The functions below take the distance between a tile's positions, `along`, which is one in a row
// and the pitch of the strip in a column.

template <typename T>
inline void store_line(const Vec<T> (&line)[6], index_t point, index_t tile, T* to) {
#pragma GCC unroll 6
    for (int k = 0; k < 6; ++k) {
        store(to, line[k]);
        prefetch_for_writing(to + tile);
        to += point;
    }
}

template <typename T>
inline void transform_lines(index_t tiles, index_t step, index_t along, const T* strip,
                            index_t first, const TilePlaces& places, T* points) {
    const index_t point = places.point;
    TileWalk<T> walk(points, first, places);
    for (index_t j = 0; j < tiles; ++j) {
        const T* from = strip + j * step * kLanes<T>;
        Vec<T> d[6], t[6];
#pragma GCC unroll 6
        for (int i = 0; i < 6; ++i) d[i] = load(from + i * along * kLanes<T>);
        transform_line<T>(d, t);
        store_line<T>(t, point, walk.tile, walk.next());
    }
}

template <typename T, int count>
inline void evaluate_lines(index_t tiles, index_t step, index_t along, const T* strip,
                           index_t first, const TilePlaces& places, T* points) {
    const index_t point = places.point;
    TileWalk<T> walk(points, first, places);
    for (index_t j = 0; j < tiles; ++j) {
        const T* from = strip + j * step * kLanes<T>;
        Vec<T> g[count], u[6];
#pragma GCC unroll 6
        for (int i = 0; i < count; ++i) g[i] = load(from + i * along * kLanes<T>);
        evaluate_line<T, count>(g, u);
        store_line<T>(u, point, walk.tile, walk.next());
    }
}

// What is not finite is noticed as in winograd_collect.
template <typename T, int count>
inline bool collect_lines(index_t tiles, index_t step, index_t along, const T* points,
                          index_t first, const TilePlaces& places, const T* bias, T* strip) {
    const index_t point = places.point;
    TileWalk<const T> walk(points, first, places);
    const Vec<T> b = bias != nullptr ? load(bias) : Vec<T>{};
    Vec<T> spoiled = {};
    for (index_t j = 0; j < tiles; ++j) {
        const T* from = walk.next();
        T* to = strip + j * step * kLanes<T>;
        Vec<T> v[6], y[count], sum = {};
#pragma GCC unroll 6
        for (int k = 0; k < 6; ++k) v[k] = load(from + k * point);
        collect_line<T, count>(v, y);
#pragma GCC unroll 6
        for (int i = 0; i < count; ++i) {
            const Vec<T> value = y[i] + b;
            store(to + i * along * kLanes<T>, value);
            sum = i == 0 ? value : sum + value;
        }
        spoiled += sum * T{0};
    }
    return sum_of_lanes<T, kVectorBytes>(spoiled) == T{0};
}

template <typename T>
void transform_row(index_t tiles, index_t step, index_t /*pitch*/, const T* strip, index_t first,
                   const TilePlaces& places, T* points) {
    transform_lines<T>(tiles, step, 1, strip, first, places, points);
}

template <typename T>
void transform_column(index_t tiles, index_t step, index_t pitch, const T* strip, index_t first,
                      const TilePlaces& places, T* points) {
    transform_lines<T>(tiles, step, pitch, strip, first, places, points);
}

template <typename T, int count>
void evaluate_row(index_t tiles, index_t step, index_t /*pitch*/, const T* strip, index_t first,
                  const TilePlaces& places, T* points) {
    evaluate_lines<T, count>(tiles, step, 1, strip, first, places, points);
}

template <typename T, int count>
void evaluate_column(index_t tiles, index_t step, index_t pitch, const T* strip, index_t first,
                     const TilePlaces& places, T* points) {
    evaluate_lines<T, count>(tiles, step, pitch, strip, first, places, points);
}

template <typename T, int count>
bool collect_row(index_t tiles, index_t step, index_t /*pitch*/, const T* points, index_t first,
                 const TilePlaces& places, const T* bias, T* strip) {
    return collect_lines<T, count>(tiles, step, 1, points, first, places, bias, strip);
}

template <typename T, int count>
bool collect_column(index_t tiles, index_t step, index_t pitch, const T* points, index_t first,
                    const TilePlaces& places, const T* bias, T* strip) {
    return collect_lines<T, count>(tiles, step, pitch, points, first, places, bias, strip);
}

}  // namespace
}  // namespace pocketcnn::POCKETCNN_ISA
