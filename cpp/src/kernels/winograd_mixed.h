// The transforms of winograd_transforms.h for windows that are not square, and for double: a
// function for each height and one for each width, with memory between them, where a function for
// each pair would be most of the code of the topic and rarely run.
#pragma once

#include "kernels/winograd_transforms.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

// Values of one tile between the two passes, a line of six after the other.
template <typename T>
using HalfTile = Vec<T>[kWinogradPoints];

template <typename T, int height>
void evaluate_columns(index_t width, index_t pitch, const T* from, HalfTile<T>& half) {
#pragma GCC unroll 1
    for (index_t k = 0; k < width; ++k) {
        Vec<T> g[height], u[6];
#pragma GCC unroll 6
        for (int i = 0; i < height; ++i) g[i] = load(from + (i * pitch + k) * kLanes<T>);
        evaluate_line<T, height>(g, u);
#pragma GCC unroll 6
        for (int i = 0; i < 6; ++i) half[k * 6 + i] = u[i];
    }
}

template <typename T, int width>
void evaluate_rows(const HalfTile<T>& half, index_t point, index_t tile, T* to) {
#pragma GCC unroll 1
    for (int i = 0; i < 6; ++i) {
        Vec<T> g[width], u[6];
#pragma GCC unroll 6
        for (int k = 0; k < width; ++k) g[k] = half[k * 6 + i];
        evaluate_line<T, width>(g, u);
#pragma GCC unroll 6
        for (int k = 0; k < 6; ++k) {
            store(to, u[k]);
            prefetch_for_writing(to + tile);
            to += point;
        }
    }
}

template <typename T, int height>
void collect_columns(const T* from, index_t point, HalfTile<T>& half) {
#pragma GCC unroll 1
    for (int k = 0; k < 6; ++k) {
        Vec<T> v[6], y[height];
#pragma GCC unroll 6
        for (int i = 0; i < 6; ++i) v[i] = load(from + (i * 6 + k) * point);
        collect_line<T, height>(v, y);
#pragma GCC unroll 6
        for (int i = 0; i < height; ++i) half[i * 6 + k] = y[i];
    }
}

// What is not finite leaves NaN in `spoiled`.
template <typename T, int width>
void collect_rows(const HalfTile<T>& half, index_t height, index_t pitch, const T* bias,
                  Vec<T>& spoiled, T* to) {
    const Vec<T> b = bias != nullptr ? load(bias) : Vec<T>{};
#pragma GCC unroll 1
    for (index_t i = 0; i < height; ++i) {
        Vec<T> v[6], y[width];
#pragma GCC unroll 6
        for (int k = 0; k < 6; ++k) v[k] = half[i * 6 + k];
        collect_line<T, width>(v, y);
        Vec<T> row = {};
#pragma GCC unroll 6
        for (int k = 0; k < width; ++k) {
            const Vec<T> value = y[k] + b;
            store(to + (i * pitch + k) * kLanes<T>, value);
            row = k == 0 ? value : row + value;
        }
        spoiled += row * T{0};
    }
}

// A row of tiles, as winograd_evaluate takes it.
template <typename T>
void evaluate_passes(decltype(&evaluate_columns<T, 2>) columns, decltype(&evaluate_rows<T, 2>) rows,
                     index_t width, index_t tiles, index_t step, index_t pitch, const T* strip,
                     index_t first, const TilePlaces& places, T* points) {
    TileWalk<T> walk(points, first, places);
    HalfTile<T> half;
    for (index_t j = 0; j < tiles; ++j) {
        columns(width, pitch, strip + j * step * kLanes<T>, half);
        rows(half, places.point, places.tile, walk.next());
    }
}

// The same as winograd_collect takes it.
template <typename T>
bool collect_passes(decltype(&collect_columns<T, 2>) columns, decltype(&collect_rows<T, 2>) rows,
                    index_t height, index_t tiles, index_t step, index_t pitch, const T* points,
                    index_t first, const TilePlaces& places, const T* bias, T* strip) {
    TileWalk<const T> walk(points, first, places);
    HalfTile<T> half;
    Vec<T> spoiled = {};
    for (index_t j = 0; j < tiles; ++j) {
        columns(walk.next(), places.point, half);
        rows(half, height, pitch, bias, spoiled, strip + j * step * kLanes<T>);
    }
    return sum_of_lanes<T, kVectorBytes>(spoiled) == T{0};
}

// Which transforms are one function, with most values in registers.
template <typename T, int height, int width>
inline constexpr bool kIsFused = height == width && sizeof(T) == sizeof(float);

// Of two rows the compiler would choose other multiply-adds, and so round otherwise, in passes.
template <typename T, int height, int width>
inline constexpr bool kIsFusedEvaluation =
    kIsFused<T, height, width> || (height == 2 && width != 2);

template <typename T, int height, int width>
void evaluate_any(index_t tiles, index_t step, index_t pitch, const T* strip, index_t first,
                  const TilePlaces& places, T* points) {
    if constexpr (kIsFusedEvaluation<T, height, width>) {
        winograd_evaluate<T, height, width>(tiles, step, pitch, strip, first, places, points);
    } else {
        evaluate_passes<T>(evaluate_columns<T, height>, evaluate_rows<T, width>, width, tiles, step,
                           pitch, strip, first, places, points);
    }
}

template <typename T, int height, int width>
bool collect_any(index_t tiles, index_t step, index_t pitch, const T* points, index_t first,
                 const TilePlaces& places, const T* bias, T* strip) {
    if constexpr (kIsFused<T, height, width>) {
        return winograd_collect<T, height>(tiles, step, pitch, points, first, places, bias, strip);
    } else {
        return collect_passes<T>(collect_columns<T, height>, collect_rows<T, width>, height, tiles,
                                 step, pitch, points, first, places, bias, strip);
    }
}

}  // namespace
}  // namespace pocketcnn::POCKETCNN_ISA
