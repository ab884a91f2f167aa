// A dilated convolution of stride 1 as an undilated one: pixels of x whose places differ by less
// than the dilation never meet, so those a dilation apart are an image of their own. Images that
// are split so are zero where the original has padding or nothing, and equally large.
#pragma once

#include <algorithm>

#include "conv/problem.h"
#include "runtime/memory_pool.h"
#include "runtime/parallel.h"

namespace pocketcnn::winograd {

inline bool is_dilated(const Window2d& w) {
    return w.dilation_h > 1 || w.dilation_w > 1;
}

/// One axis of the split images: `rest` rows of the padding that is not a whole number of
/// dilations come before the original's first row, and belong to the images.
struct SplitAxis {
    SplitAxis(index_t size, index_t pad_before, index_t pad_after, index_t dilation)
        : rest(pad_before % dilation),
          length(ceil_div(size + rest, dilation)),
          before(pad_before / dilation),
          after(ceil_div(size + rest + pad_after, dilation) - length) {}
    index_t rest, length;
    index_t before, after;  ///< padding that is left
};

/// The convolution of the split images; the one given where it has no dilation.
inline conv::Problem undilated(const conv::Problem& problem) {
    const Window2d& w = problem.window;
    if (!is_dilated(w)) return problem;
    const SplitAxis h(problem.x.h, w.pad_top, w.pad_bottom, w.dilation_h);
    const SplitAxis v(problem.x.w, w.pad_left, w.pad_right, w.dilation_w);
    const Window2d window = {.kernel_h = w.kernel_h,
                             .kernel_w = w.kernel_w,
                             .pad_top = h.before,
                             .pad_bottom = h.after,
                             .pad_left = v.before,
                             .pad_right = v.after};
    const index_t phases = w.dilation_h * w.dilation_w;
    return {{problem.x.n * phases, problem.x.c, h.length, v.length},
            {window, problem.y.c, problem.groups}};
}

/// Calls body(offset in the images or -1, offset in the split images, phase of the columns) for
/// every split row of one channel of one image; `top` is the padding above.
template <typename Body>
void for_split_rows(const Shape4& images, const Shape4& split, const Window2d& w, index_t top,
                    index_t n, index_t c, Body&& body) {
    for (index_t phase = 0; phase < w.dilation_h * w.dilation_w; ++phase) {
        const index_t image = n * w.dilation_h * w.dilation_w + phase;
        for (index_t row = 0; row < split.h; ++row) {
            const index_t y = row * w.dilation_h + phase / w.dilation_w - top;
            body(y >= 0 && y < images.h ? ((n * images.c + c) * images.h + y) * images.w : -1,
                 ((image * split.c + c) * split.h + row) * split.w, phase % w.dilation_w);
        }
    }
}

/// Columns of a row of the split images that the original has: [begin, end), the first of which is
/// column `first` there.
struct SplitColumns {
    SplitColumns(index_t width, index_t split_width, index_t dilation, index_t phase, index_t left)
        : begin(phase < left ? ceil_div(left - phase, dilation) : 0),
          first(begin * dilation + phase - left),
          end(first < width ? std::min(split_width, begin + ceil_div(width - first, dilation))
                            : 0) {}
    index_t begin, first, end;
};

/// Images as split images of the shape `split`, of which `top` rows and `left` columns are padding.
template <typename T>
Buffer<T> split_images(const Shape4& images, const Shape4& split, const Window2d& w, index_t top,
                       index_t left, const T* data) {
    Buffer<T> parts(split.size());
    parallel_for(images.n * images.c, static_cast<double>(split.size()), [&](index_t i) {
        for_split_rows(images, split, w, top, i / images.c, i % images.c,
                       [&](index_t from, index_t to, index_t phase) {
                           T* row = parts.data() + to;
                           std::fill_n(row, split.w, T{0});
                           const SplitColumns cols(images.w, split.w, w.dilation_w, phase, left);
                           if (from < 0) return;
                           const T* source = data + from + cols.first;
                           for (index_t x = cols.begin; x < cols.end; ++x) {
                               row[x] = *source;
                               source += w.dilation_w;
                           }
                       });
    });
    return parts;
}

/// The reverse; rows and columns that the images lack are left out.
template <typename T>
void merge_images(const Shape4& images, const Shape4& split, const Window2d& w, index_t top,
                  index_t left, const T* parts, T* data) {
    parallel_for(images.n * images.c, static_cast<double>(split.size()), [&](index_t i) {
        for_split_rows(images, split, w, top, i / images.c, i % images.c,
                       [&](index_t to, index_t from, index_t phase) {
                           if (to < 0) return;
                           const SplitColumns cols(images.w, split.w, w.dilation_w, phase, left);
                           T* target = data + to + cols.first;
                           for (index_t x = cols.begin; x < cols.end; ++x) {
                               *target = parts[from + x];
                               target += w.dilation_w;
                           }
                       });
    });
}

}  // namespace pocketcnn::winograd
