// Between images, whose pixels are contiguous, and strips, whose lanes are: transposes where a
// lane is a channel, short copies where the lanes are phases of a strided convolution.

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

template <typename T>
inline void gather_run(const T* plane, index_t plane_size, index_t lanes, const T* end,
                       const PixelRun& run, index_t width, index_t pitch, T* strip) {
    constexpr int n = kLanes<T>;
    for (index_t i = 0; i < run.count; i += n) {
        const index_t count = run.count - i < n ? run.count - i : n;
        const T* from = plane + run.pixel + i;
        Vec<T> square[n];
        if (lanes >= n && end - (from + (n - 1) * plane_size) >= n) {
#pragma GCC unroll 16
            for (int k = 0; k < n; ++k) square[k] = load(from + k * plane_size);
        } else {
            for (int k = 0; k < n; ++k) {
                T part[n] = {};
                if (k < lanes) {
                    for (index_t c = 0; c < count; ++c) part[c] = from[k * plane_size + c];
                }
                square[k] = load(part);
            }
        }
        transpose<T>(square);
        Walk<T> walk(strip, run, width, pitch, i);
        if (count == n) {
#pragma GCC unroll 16
            for (int k = 0; k < n; ++k) store(walk.next(), square[k]);
        } else {
            for (int k = 0; k < count; ++k) store(walk.next(), square[k]);
        }
    }
}

// The first `count` lanes, count < kLanes, by copies of constant sizes.
template <typename T>
inline void store_part(T* to, Vec<T> value, index_t count) {
    T part[kLanes<T>];
    store(part, value);
    const T* from = part;
#pragma GCC unroll 4
    for (int size = kLanes<T> / 2; size > 0; size /= 2) {
        if ((count & size) == 0) continue;
        __builtin_memcpy(to, from, size * sizeof(T));
        to += size;
        from += size;
    }
}

// A last vector that is not full overlaps the one before it where the run is long enough.
template <typename T>
inline void scatter_run(const T* strip, const PixelRun& run, index_t width, index_t pitch,
                        index_t lanes, T* plane, index_t plane_size) {
    constexpr int n = kLanes<T>;
    for (index_t i = 0; i < run.count; i += n) {
        if (run.count - i < n && run.count >= n) i = run.count - n;
        const index_t count = run.count - i < n ? run.count - i : n;
        Vec<T> square[n] = {};
        Walk<const T> walk(strip, run, width, pitch, i);
        if (count == n) {
#pragma GCC unroll 16
            for (int k = 0; k < n; ++k) square[k] = load(walk.next());
        } else {
            for (int k = 0; k < count; ++k) square[k] = load(walk.next());
        }
        transpose<T>(square);
        T* to = plane + run.pixel + i;
        if (count == n && lanes >= n) {
#pragma GCC unroll 16
            for (int k = 0; k < n; ++k) store(to + k * plane_size, square[k]);
        } else {
            for (int k = 0; k < n && k < lanes; ++k) {
                if (count == n) {
                    store(to + k * plane_size, square[k]);
                } else {
                    store_part(to + k * plane_size, square[k], count);
                }
            }
        }
    }
}

// Calls copy(pixel offset, strip offset, count) for the phases: runs of consecutive pixels of a
// row that are consecutive lanes of a position, `count` of them in all columns but the border's.
template <typename T, typename Copy>
inline void for_phase_runs(const LaneImages<T>& images, index_t lane, const Region& region,
                           Copy copy) {
    constexpr int n = kLanes<T>;
    const index_t stride = images.stride_w;
    const index_t last = lane + n < images.lanes() ? lane + n : images.lanes();
    for (index_t begin = lane; begin < last;) {
        const index_t c = begin / images.phases(), py = begin % images.phases() / stride;
        const index_t px = begin % stride;
        const index_t count = stride - px < last - begin ? stride - px : last - begin;
        for (index_t row = 0; row < region.rows; ++row) {
            const index_t y = images.stride_h * (region.y + row) + py - images.top;
            if (y < 0 || y >= images.h) continue;
            const index_t pixel = (c * images.h + y) * images.w;
            const index_t x = stride * region.x + px - images.left;
            for (index_t col = 0; col < region.cols; ++col) {
                const index_t at = x + col * stride;
                const index_t skip = at < 0 ? -at : 0;
                const index_t rest = images.w - at < count ? images.w - at : count;
                if (skip >= rest) continue;
                copy(pixel + at + skip, (row * region.cols + col) * n + begin - lane + skip,
                     rest - skip);
            }
        }
        begin += count;
    }
}

template <typename T>
inline void copy_phase_run(index_t count, const T* from, T* to) {
    if (count == 4) {
        __builtin_memcpy(to, from, 4 * sizeof(T));
    } else if (count == 2) {
        __builtin_memcpy(to, from, 2 * sizeof(T));
    } else {
        for (index_t i = 0; i < count; ++i) to[i] = from[i];
    }
}

template <typename T>
void winograd_gather(const LaneImages<const T>& images, index_t n, index_t lane,
                     const Region& region, T* strip) {
    const T* image = images.data + n * images.image;
    if (images.phases() > 1) {
        clear_positions(region.rows * region.cols, strip);
        for_phase_runs(images, lane, region, [&](index_t pixel, index_t to, index_t count) {
            copy_phase_run(count, image + pixel, strip + to);
        });
        return;
    }
    const Inside rows = inside(region.y, region.rows, images.top, images.h);
    const Inside cols = inside(region.x, region.cols, images.left, images.w);
    const index_t row_size = region.cols * kLanes<T>;
    clear_positions(rows.begin * region.cols, strip);
    clear_positions((region.rows - rows.end) * region.cols, strip + rows.end * row_size);
    for (index_t row = rows.begin; row < rows.end; ++row) {
        clear_positions(cols.begin, strip + row * row_size);
        clear_positions(region.cols - cols.end, strip + row * row_size + cols.end * kLanes<T>);
    }
    const index_t plane = images.h * images.w;
    for_pixel_runs(images, region, rows, cols, [&](const PixelRun& run, index_t width) {
        gather_run(image + lane * plane, plane, images.channels - lane, images.end, run, width,
                   region.cols, strip);
    });
}

template <typename T>
void winograd_scatter(const LaneImages<T>& images, index_t n, index_t lane, const Region& region,
                      const T* strip) {
    T* image = images.data + n * images.image;
    if (images.phases() > 1) {
        for_phase_runs(images, lane, region, [&](index_t pixel, index_t from, index_t count) {
            copy_phase_run(count, strip + from, image + pixel);
        });
        return;
    }
    const Inside rows = inside(region.y, region.rows, images.top, images.h);
    const Inside cols = inside(region.x, region.cols, images.left, images.w);
    const index_t plane = images.h * images.w;
    for_pixel_runs(images, region, rows, cols, [&](const PixelRun& run, index_t width) {
        scatter_run(strip, run, width, region.cols, images.channels - lane, image + lane * plane,
                    plane);
    });
}
