// A window of stride 1 with more taps than a tile takes, turned into one that fits. The window is
// cut into parts. For each part, the image, shifted by the part's place in the window, counts as
// further channels. 7x7 is four parts of 4x4 (the last taps of three of them are zero), so 9
// results need 144 multiplications per channel instead of 441.
// The gain is in docs/measurements.md#winograd.
#pragma once

#include <algorithm>
#include <vector>

#include "conv/problem.h"
#include "kernels/winograd.h"
#include "runtime/cut.h"
#include "runtime/isa.h"
#include "runtime/memory_pool.h"
#include "runtime/parallel.h"

namespace pocketcnn::winograd {

/// Longest kernel that is cut: with 12 taps, the copies take 9 times the image's memory.
inline constexpr index_t kMostPartedTaps = 12;
/// Bytes of copies that are made at a time, unless one image needs more.
inline constexpr index_t kMovedBytes = index_t{32} << 20;

/// Whether a window is cut. Its dilation does not matter: dilated images are split before.
inline bool is_parted(const Window2d& w) {
    return w.stride_h == 1 && w.stride_w == 1 &&
           std::max(w.kernel_h, w.kernel_w) > kWinogradMostTaps;
}

/// How one axis is cut.
struct PartedAxis {
    /// Parts have three taps, for which six points give four results, or four taps, for which they
    /// give three. Chosen is what needs fewer multiplications per result, or if both need as many,
    /// fewer copies. Parts of five give two results and are slower
    /// (docs/measurements.md#winograd-sizes).
    explicit PartedAxis(index_t kernel) : taps(kernel), count(1) {
        if (kernel <= kWinogradMostTaps) return;
        const index_t threes = ceil_div(kernel, index_t{3}), fours = ceil_div(kernel, index_t{4});
        taps = threes * 3 < fours * 4 ? 3 : 4;  // threes / 4 < fours / 3
        count = taps == 3 ? threes : fours;
    }
    index_t taps, count;
};

struct WindowParts {
    PartedAxis h, w;

    explicit WindowParts(const Window2d& window) : h(window.kernel_h), w(window.kernel_w) {}
    index_t count() const { return h.count * w.count; }
    index_t taps() const { return h.taps * w.taps; }
};

/// The convolution of the shifted images, `images` of them at a time.
inline conv::Problem parted(const conv::Problem& problem, index_t images) {
    const WindowParts parts(problem.window);
    const Window2d window = {.kernel_h = parts.h.taps, .kernel_w = parts.w.taps};
    return {{images, problem.x.c * parts.count(), problem.y.h + parts.h.taps - 1,
             problem.y.w + parts.w.taps - 1},
            {window, problem.y.c, problem.groups}};
}

/// The gradient of x as a convolution of dy, with the weights rotated by 180 degrees and channels
/// and filters exchanged. If the padding of x is more than the kernel reaches, that of dy is
/// negative, which `moved_images` allows.
inline conv::Problem turned(const conv::Problem& problem) {
    conv::Problem result = problem;
    std::swap(result.x, result.y);
    std::swap(result.channels, result.filters);
    Window2d& w = result.window;
    for (index_t* pad : {&w.pad_top, &w.pad_bottom}) *pad = w.kernel_h - 1 - *pad;
    for (index_t* pad : {&w.pad_left, &w.pad_right}) *pad = w.kernel_w - 1 - *pad;
    result.taps = result.channels * w.taps();
    return result;
}

/// Calls body(tap of the part, tap of the window, taps) for each row of a part's taps that the
/// window has. Parts at its end may reach further; the taps there are zero.
template <typename Body>
void for_part_rows(const Window2d& window, index_t part, Body&& body) {
    const WindowParts parts(window);
    const index_t top = part / parts.w.count * parts.h.taps;
    const index_t left = part % parts.w.count * parts.w.taps;
    const index_t rows = std::min(parts.h.taps, window.kernel_h - top);
    const index_t cols = std::min(parts.w.taps, window.kernel_w - left);
    for (index_t y = 0; y < rows; ++y) {
        body(y * parts.w.taps, (top + y) * window.kernel_w + left, cols);
    }
}

/// The number of weights of all parts.
inline index_t parted_weights(const conv::Problem& problem) {
    const WindowParts parts(problem.window);
    return problem.y.c * problem.channels * parts.count() * parts.taps();
}

/// The weights from those of all parts: element (f, c, y, x) of a group is element (f, part, c, a,
/// b) of its parts.
template <typename T>
void join_weights(const conv::Problem& problem, const T* of_parts, T* weight) {
    const WindowParts parts(problem.window);
    const index_t area = problem.window.taps(), channels = problem.channels;
    std::vector<index_t> places(
        static_cast<std::size_t>(area));  // of the taps of the first channel
    for (index_t part = 0; part < parts.count(); ++part) {
        for_part_rows(problem.window, part, [&](index_t tap, index_t whole, index_t taps) {
            for (index_t i = 0; i < taps; ++i) {
                places[static_cast<std::size_t>(whole + i)] =
                    part * channels * parts.taps() + tap + i;
            }
        });
    }
    parallel_for(problem.y.c, static_cast<double>(problem.y.c * problem.taps), [&](index_t f) {
        const T* from = of_parts + f * parts.count() * channels * parts.taps();
        const index_t* const place = places.data();
        T* to = weight + f * channels * area;
        for (index_t c = 0; c < channels; ++c, from += parts.taps(), to += area) {
            for (index_t tap = 0; tap < area; ++tap) to[tap] = from[place[tap]];
        }
    });
}

/// One channel of one image, shifted: element (row, col) is pixel (row - top, col - left), and zero
/// outside. Writes up to kPackSlack elements more.
template <typename T>
void move_plane(const Shape4& images, const T* plane, index_t top, index_t left,
                const Shape4& moved, T* to) {
    const index_t row = std::clamp<index_t>(top, 0, moved.h);
    const index_t row_end = std::clamp<index_t>(images.h + top, row, moved.h);
    const index_t col = std::clamp<index_t>(left, 0, moved.w);
    const index_t col_end = std::clamp<index_t>(images.w + left, col, moved.w);
    std::fill_n(to, row * moved.w, T{0});
    kernels<T>().copies.pad_rows(row_end - row, col, col_end - col, moved.w,
                                 plane + (row - top) * images.w + col - left, images.w, 1,
                                 to + row * moved.w, nullptr);
    std::fill_n(to + row_end * moved.w, (moved.h - row_end) * moved.w, T{0});
}

/// Images [image, image + part.x.n) as the input of `part`, the parted problem: channels (group,
/// part, channel).
template <typename T>
Buffer<T> moved_images(const conv::Problem& problem, const conv::Problem& part, index_t image,
                       const T* x) {
    constexpr index_t grain = 8;
    const WindowParts parts(problem.window);
    const index_t size = part.x.plane();
    Buffer<T> moved(part.x.size());
    parallel_ranges(
        part.x.n * part.x.c, grain, static_cast<double>(size), [&](index_t i, index_t end) {
            const Buffer<T> last(size + kPackSlack);  // what it has more is another task's
            for (; i < end; ++i) {
                T* to = i + 1 < end ? moved.data() + i * size : last.data();
                const index_t n = image + i / part.x.c, lane = i % part.x.c;
                const index_t which = lane % part.channels / problem.channels;
                const index_t c = lane / part.channels * problem.channels + lane % problem.channels;
                move_plane(problem.x, x + n * problem.x.image() + c * problem.x.plane(),
                           problem.window.pad_top - which / parts.w.count * parts.h.taps,
                           problem.window.pad_left - which % parts.w.count * parts.w.taps, part.x,
                           to);
            }
            std::copy_n(last.data(), size, moved.data() + (end - 1) * size);
        });
    return moved;
}

/// Calls body(parted problem of some images, the first of them): as many as fit kMovedBytes, at
/// least one. The cut depends on the shape only.
template <typename Body>
void for_parted_batches(const conv::Problem& problem, index_t element_size, Body&& body) {
    const index_t bytes = parted(problem, 1).x.size() * element_size;
    const Split batches = Split::at_most(problem.x.n, std::max<index_t>(1, kMovedBytes / bytes));
    for (index_t i = 0; i < batches.count; ++i) {
        body(parted(problem, batches.length(i)), batches.begin(i));
    }
}

}  // namespace pocketcnn::winograd
