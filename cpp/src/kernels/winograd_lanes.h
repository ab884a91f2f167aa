// Between images, whose pixels are contiguous, and strips, whose lanes are: transposes where a
// lane is a channel, short copies where the lanes are phases of a strided convolution.
#pragma once

#include "kernels/simd.h"
#include "kernels/winograd.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

inline index_t clamp_index(index_t value, index_t low, index_t high) {
    return value < low ? low : value > high ? high : value;
}

// The rows (or columns) [begin, end) of a region that lie inside an image.
struct Inside {
    index_t begin, end;
};

inline Inside inside(index_t start, index_t count, index_t offset, index_t size) {
    const index_t begin = clamp_index(offset - start, 0, count);
    return {begin, clamp_index(size + offset - start, begin, count)};
}

// Pixels of a plane that are consecutive there: `count` of them, that fill `width` columns of the
// strip and then go on in its next row.
struct PixelRun {
    index_t pixel, count;
    index_t position;
};

// Calls body(run, width) for the part of the region inside the image. Where it has the image's
// full width its rows are one run.
template <typename T, typename Body>
inline void for_pixel_runs(const LaneImages<T>& images, const Region& region, Inside rows,
                           Inside cols, Body body) {
    const index_t width = cols.end - cols.begin, height = rows.end - rows.begin;
    if (width <= 0 || height <= 0) return;
    const index_t pixel =
        (region.y + rows.begin - images.top) * images.w + region.x + cols.begin - images.left;
    const index_t position = rows.begin * region.cols + cols.begin;
    if (width == images.w) {
        body(PixelRun{pixel, width * height, position}, width);
        return;
    }
    for (index_t row = 0; row < height; ++row) {
        body(PixelRun{pixel + row * images.w, width, position + row * region.cols}, width);
    }
}

template <typename T>
inline void clear_positions(index_t count, T* to) {
    for (index_t i = 0; i < count; ++i) store(to + i * kLanes<T>, Vec<T>{});
}

template <typename T>
inline void clear_outside(const Region& region, Inside rows, Inside cols, T* strip) {
    const index_t row_size = region.cols * kLanes<T>;
    clear_positions(rows.begin * region.cols, strip);
    clear_positions((region.rows - rows.end) * region.cols, strip + rows.end * row_size);
    for (index_t row = rows.begin; row < rows.end; ++row) {
        clear_positions(cols.begin, strip + row * row_size);
        clear_positions(region.cols - cols.end, strip + row * row_size + cols.end * kLanes<T>);
    }
}

// Position i of a run, for walking through a strip whose rows are longer than the run's.
template <typename T>
struct Walk {
    T* at;
    index_t left, width, jump;

    Walk(T* strip, const PixelRun& run, index_t width, index_t pitch, index_t i)
        : at(strip + (run.position + i / width * pitch + i % width) * kLanes<T>),
          left(width - i % width),
          width(width),
          jump((pitch - width) * kLanes<T>) {}
    T* next() {
        T* const here = at;
        at += kLanes<T>;
        if (--left == 0) {
            left = width;
            at += jump;
        }
        return here;
    }
};

// A chunk of up to kLanes pixels that may lack lanes, or lie so near the end of the images that
// whole vectors must not be read.
template <typename T>
__attribute__((noinline)) void gather_part(const T* from, index_t plane_size, index_t lanes,
                                           index_t count, Walk<T> walk) {
    constexpr int n = kLanes<T>;
    for (index_t i = 0; i < count; ++i) {
        T* to = walk.next();
        for (index_t k = 0; k < n; ++k) to[k] = k < lanes ? from[k * plane_size + i] : T{0};
    }
}

// The pixels `ahead` elements further are those that are gathered next: the planes of 16 channels
// are too many streams for a processor to foresee.
// Not inline, for there are two places that call it.
template <typename T>
[[gnu::noinline]] void gather_run(const T* plane, index_t plane_size, index_t lanes, const T* end,
                                  const PixelRun& run, index_t width, index_t pitch, index_t ahead,
                                  T* strip) {
    constexpr int n = kLanes<T>;
    for (index_t i = 0; i < run.count; i += n) {
        const index_t count = run.count - i < n ? run.count - i : n;
        const T* from = plane + run.pixel + i;
        Walk<T> walk(strip, run, width, pitch, i);
        if (lanes < n || end - (from + (n - 1) * plane_size) < n) {
            gather_part<T>(from, plane_size, lanes, count, walk);
            continue;
        }
        Vec<T> square[n];
        const T* lane = from;
#pragma GCC unroll 16
        for (int k = 0; k < n; ++k) {
            square[k] = load(lane);
            __builtin_prefetch(lane + ahead + n - 1);
            lane += plane_size;
        }
        interleave_all<T>(square);
#pragma GCC unroll 16
        for (int k = 0; k < n; ++k) {
            if (k < count) store(walk.next(), square[k]);
        }
    }
}

// The gates of what is written at `to`: open, or the result's own sign, or that of another image,
// which lies `apart` elements further.
struct OpenGate {
    template <typename V, typename T>
    V pass(V value, const T*) const {
        return value;
    }
};

struct OwnGate {
    template <typename V, typename T>
    V pass(V value, const T*) const {
        return value <= T{0} ? V{} : value;
    }
};

struct OtherGate {
    index_t apart;

    template <typename T>
    Vec<T> pass(Vec<T> value, const T* to) const {
        return load(to + apart) <= T{0} ? Vec<T>{} : value;
    }
    template <typename T>
    T pass(T value, const T* to) const {
        return to[apart] <= T{0} ? T{0} : value;
    }
};

template <typename T, typename AnyGate>
__attribute__((noinline)) void scatter_part(Walk<const T> walk, index_t count, index_t lanes,
                                            const AnyGate gate, T* to, index_t plane_size) {
    constexpr int n = kLanes<T>;
    for (index_t i = 0; i < count; ++i) {
        const T* from = walk.next();
        for (index_t k = 0; k < n && k < lanes; ++k) {
            T* at = to + k * plane_size + i;
            *at = gate.pass(from[k], at);
        }
    }
}

// A last vector that is not full overlaps the one before it where the run is long enough.
template <typename T, typename AnyGate>
[[gnu::noinline]] void scatter_run(const T* strip, const PixelRun& run, index_t width,
                                   index_t pitch, index_t lanes, const AnyGate& gate, T* plane,
                                   index_t plane_size) {
    constexpr int n = kLanes<T>;
    for (index_t i = 0; i < run.count; i += n) {
        if (run.count - i < n && run.count >= n) i = run.count - n;
        Walk<const T> walk(strip, run, width, pitch, i);
        T* to = plane + run.pixel + i;
        if (lanes < n || run.count < n) {
            const index_t count = run.count - i < n ? run.count - i : n;
            scatter_part<T>(walk, count, lanes, gate, to, plane_size);
            continue;
        }
        Vec<T> square[n];
#pragma GCC unroll 16
        for (int k = 0; k < n; ++k) square[k] = load(walk.next());
        interleave_all<T>(square);
#pragma GCC unroll 16
        for (int k = 0; k < n; ++k) {
            store(to, gate.pass(square[k], to));
            to += plane_size;
        }
    }
}

// Copies between a row of pixels and the positions of a row of the strip: `count` pixels for each
// column, `stride` apart, of which those outside of the image [0, width) are left out. copy(pixel,
// lane) moves one element, copy.several<size>(pixel, lane) a run of them.
template <int few, typename Copy>
inline void copy_columns(index_t x, index_t stride, index_t width, index_t cols, int lanes,
                         index_t count, const Copy& copy) {
    const index_t size = few > 0 ? few : count;
    index_t col = 0;
    for (; col < cols && x + col * stride < 0; ++col) {
        for (index_t k = 0; k < size; ++k) {
            const index_t at = x + col * stride + k;
            if (at >= 0 && at < width) copy(at, col * lanes + k);
        }
    }
    for (; col < cols && x + col * stride + size <= width; ++col) {
        if constexpr (few > 0) {
            copy.template several<few>(x + col * stride, col * lanes);
        } else {
            for (index_t k = 0; k < size; ++k) copy(x + col * stride + k, col * lanes + k);
        }
    }
    for (; col < cols && x + col * stride < width; ++col) {
        for (index_t k = 0; k < size; ++k) {
            const index_t at = x + col * stride + k;
            if (at < width) copy(at, col * lanes + k);
        }
    }
}

template <typename T>
struct CopyToStrip {
    const T* row;
    T* strip;

    void operator()(index_t pixel, index_t lane) const { strip[lane] = row[pixel]; }
    template <int size>
    void several(index_t pixel, index_t lane) const {
        __builtin_memcpy(strip + lane, row + pixel, size * sizeof(T));
    }
};

template <typename T>
struct CopyToImage {
    T* row;
    const T* strip;

    void operator()(index_t pixel, index_t lane) const { row[pixel] = strip[lane]; }
    template <int size>
    void several(index_t pixel, index_t lane) const {
        __builtin_memcpy(row + pixel, strip + lane, size * sizeof(T));
    }
};

// Moves the phases: runs of consecutive pixels of a row are consecutive lanes of a position.
template <typename Copy, typename T, typename Image, typename Strip>
inline void copy_phases(const LaneImages<T>& images, index_t lane, const Region& region,
                        Image* image, Strip* strip) {
    constexpr int n = kLanes<T>;
    const index_t stride = images.stride_w;
    const index_t last = lane + n < images.lanes() ? lane + n : images.lanes();
    for (index_t begin = lane; begin < last;) {
        const index_t c = begin / images.phases(), py = begin % images.phases() / stride;
        const index_t px = begin % stride;
        const index_t count = stride - px < last - begin ? stride - px : last - begin;
        const index_t x = stride * region.x + px - images.left;
        for (index_t row = 0; row < region.rows; ++row) {
            const index_t y = images.stride_h * (region.y + row) + py - images.top;
            if (y < 0 || y >= images.h) continue;
            const Copy copy = {image + (c * images.h + y) * images.w,
                               strip + row * region.cols * n + begin - lane};
            if (count == 4) {
                copy_columns<4>(x, stride, images.w, region.cols, n, count, copy);
            } else if (count == 2) {
                copy_columns<2>(x, stride, images.w, region.cols, n, count, copy);
            } else {
                copy_columns<0>(x, stride, images.w, region.cols, n, count, copy);
            }
        }
        begin += count;
    }
}

template <typename T>
void winograd_gather(const LaneImages<const T>& images, index_t n, index_t lane,
                     const Region& region, index_t ahead, T* strip) {
    const T* image = images.data + n * images.image;
    if (images.phases() > 1) {
        clear_positions(region.rows * region.cols, strip);
        copy_phases<CopyToStrip<T>>(images, lane, region, image, strip);
        return;
    }
    const Inside rows = inside(region.y, region.rows, images.top, images.h);
    const Inside cols = inside(region.x, region.cols, images.left, images.w);
    clear_outside(region, rows, cols, strip);
    const index_t plane = images.h * images.w;
    for_pixel_runs(images, region, rows, cols, [&](const PixelRun& run, index_t width) {
        gather_run(image + lane * plane, plane, images.channels - lane, images.end, run, width,
                   region.cols, ahead, strip);
    });
}

template <typename T>
void winograd_scatter(const LaneImages<T>& images, index_t n, index_t lane, const Region& region,
                      const Gate<T>& gate, const T* strip) {
    T* image = images.data + n * images.image;
    if (images.phases() > 1) {
        copy_phases<CopyToImage<T>>(images, lane, region, image, strip);
        return;
    }
    const Inside rows = inside(region.y, region.rows, images.top, images.h);
    const Inside cols = inside(region.x, region.cols, images.left, images.w);
    const index_t plane = images.h * images.w;
    const auto scatter_through = [&](const auto& any_gate) {
        for_pixel_runs(images, region, rows, cols, [&](const PixelRun& run, index_t width) {
            scatter_run(strip, run, width, region.cols, images.channels - lane, any_gate,
                        image + lane * plane, plane);
        });
    };
    if (gate.other != nullptr) {
        scatter_through(OtherGate{gate.other - images.data});
    } else if (gate.own) {
        scatter_through(OwnGate{});
    } else {
        scatter_through(OpenGate{});
    }
}

template <typename T>
void winograd_prefetch(const LaneImages<T>& images, index_t n, index_t lane, index_t lane_end,
                       const Region& region, const Gate<T>& gate) {
    if (images.phases() > 1) return;
    const index_t apart = gate.other != nullptr ? gate.other - images.data : 0;
    constexpr index_t line = 64 / sizeof(T);
    const index_t plane = images.h * images.w;
    const Inside rows = inside(region.y, region.rows, images.top, images.h);
    const Inside cols = inside(region.x, region.cols, images.left, images.w);
    const index_t end = lane_end < images.channels ? lane_end : images.channels;
    for_pixel_runs(images, region, rows, cols, [&](const PixelRun& run, index_t) {
        for (index_t k = lane; k < end; ++k) {
            T* at = images.data + n * images.image + k * plane + run.pixel;
            for (index_t i = 0; i < run.count; i += line) {
                __builtin_prefetch(at + i, 1);
                if (apart != 0) __builtin_prefetch(at + apart + i);
            }
        }
    });
}

}  // namespace
}  // namespace pocketcnn::POCKETCNN_ISA
