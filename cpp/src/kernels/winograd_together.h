// Between images whose channels lie together and strips: copies, where planes need transposes.
#pragma once

#include "kernels/sums_end.h"
#include "kernels/winograd_lanes.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

// Calls body(pixel in the image, position in the strip, pixels) for each row of a region inside the
// image.
template <typename T, typename Body>
inline void for_rows_inside(const LaneImages<T>& images, const Region& region, Inside rows,
                            Inside cols, const Body& body) {
    const index_t width = cols.end - cols.begin;
    for (index_t row = rows.begin; row < rows.end; ++row) {
        const index_t y = region.y + row - images.top;
        body(y * images.w + region.x + cols.begin - images.left, row * region.cols + cols.begin,
             width);
    }
}

template <typename T>
void winograd_gather_together(const LaneImages<const T>& images, index_t n, index_t lane,
                              const Region& region, T* strip) {
    const Inside rows = inside(region.y, region.rows, images.top, images.h);
    const Inside cols = inside(region.x, region.cols, images.left, images.w);
    clear_outside(region, rows, cols, strip);
    const T* image = images.data + n * images.image + lane;
    const index_t pitch = images.pitch;
    for_rows_inside(images, region, rows, cols,
                    [&](index_t pixel, index_t position, index_t count) {
                        const T* from = image + pixel * pitch;
                        T* to = strip + position * kLanes<T>;
                        for (index_t i = 0; i < count; ++i)
                            store(to + i * kLanes<T>, load(from + i * pitch));
                    });
}

template <typename T>
void winograd_scatter_together(const LaneImages<T>& images, index_t n, index_t lane,
                               const Region& region, const SumsEnd<T>& end, const T* strip) {
    const Inside rows = inside(region.y, region.rows, images.top, images.h);
    const Inside cols = inside(region.x, region.cols, images.left, images.w);
    const Ending<T> ending(end);
    const index_t pitch = images.pitch, first = n * images.image + lane;
    for_rows_inside(images, region, rows, cols,
                    [&](index_t pixel, index_t position, index_t count) {
                        const index_t at = first + pixel * pitch;
                        T* to = images.data + at;
                        const T* from = strip + position * kLanes<T>;
                        const T* addend = end.addend != nullptr ? end.addend + at : nullptr;
                        for (index_t i = 0; i < count; ++i) {
                            Vec<T> value = load(from + i * kLanes<T>);
                            if (addend != nullptr) value += load(addend + i * pitch);
                            store(to + i * pitch, ending.of(value));
                        }
                    });
}

template <typename T>
void winograd_scatter_maxima(const LaneImages<T>& images, index_t n, index_t lane,
                             const Region& region, const SumsEnd<T>& end, const T* strip) {
    const Region maxima = halved(region);
    const Inside rows = inside(maxima.y, maxima.rows, images.top, images.h);
    const Inside cols = inside(maxima.x, maxima.cols, images.left, images.w);
    const Ending<T> ending(end);
    const index_t pitch = images.pitch, below = region.cols * kLanes<T>;
    T* image = images.data + n * images.image + lane;
    for (index_t row = rows.begin; row < rows.end; ++row) {
        const T* from = strip + (2 * row * region.cols + 2 * cols.begin) * kLanes<T>;
        T* to = image + ((maxima.y + row) * images.w + maxima.x + cols.begin) * pitch;
        for (index_t i = cols.begin; i < cols.end; ++i, from += 2 * kLanes<T>, to += pitch) {
            const Vec<T> upper = larger<T>(load(from), load(from + kLanes<T>));
            const Vec<T> lower = larger<T>(load(from + below), load(from + below + kLanes<T>));
            store(to, ending.of(larger<T>(upper, lower)));
        }
    }
}

template <typename T>
void winograd_prefetch_together(const LaneImages<T>& images, index_t n, index_t lane,
                                index_t lane_end, const Region& region) {
    const Inside rows = inside(region.y, region.rows, images.top, images.h);
    const Inside cols = inside(region.x, region.cols, images.left, images.w);
    T* image = images.data + n * images.image;
    for_rows_inside(images, region, rows, cols, [&](index_t pixel, index_t, index_t count) {
        for (index_t i = pixel; i < pixel + count; ++i) {
            for (index_t k = lane; k < lane_end; k += kLanes<T>) {
                __builtin_prefetch(image + i * images.pitch + k, 1);
            }
        }
    });
}

}  // namespace
}  // namespace pocketcnn::POCKETCNN_ISA
