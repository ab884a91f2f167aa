// The phases of a gradient of the input: the pixels of dx that are a stride apart see the same
// taps. They are a convolution of dy, with stride 1, with those taps rotated by 180 degrees.
#pragma once

#include <algorithm>
#include <vector>

#include "conv/problem.h"
#include "runtime/parallel.h"

namespace pocketcnn::conv {

/// One phase of one axis. Positions i of dx with (i + pad) % stride == phase, in order, are output
/// pixels of a convolution of dy with the kernel's taps phase, phase + stride, ... in reverse. With
/// a dilation, the stride is 1 and the only phase is 0.
struct PhaseAxis {
    PhaseAxis(index_t phase, index_t size, index_t out, index_t kernel, index_t stride,
              index_t dilation, index_t pad)
        : taps(phase < kernel ? ceil_div(kernel - phase, stride) : 0),
          last_tap(phase + (taps - 1) * stride) {
        const index_t quotient = phase < pad ? ceil_div(pad - phase, stride) : 0;
        first = quotient * stride + phase - pad;
        count = first < size ? ceil_div(size - first, stride) : 0;
        before = (taps - 1) * dilation - quotient;
        after = quotient + count - out;
    }
    bool is_empty() const { return taps == 0 || count == 0; }

    static PhaseAxis of_rows(const Problem& p, index_t phase) {
        const Window2d& w = p.window;
        return {phase, p.x.h, p.y.h, w.kernel_h, w.stride_h, w.dilation_h, w.pad_top};
    }
    static PhaseAxis of_cols(const Problem& p, index_t phase) {
        const Window2d& w = p.window;
        return {phase, p.x.w, p.y.w, w.kernel_w, w.stride_w, w.dilation_w, w.pad_left};
    }

    index_t taps, last_tap;
    index_t first, count;   ///< pixels of dx
    index_t before, after;  ///< padding of dy
};

/// A phase of both axes.
struct Phase {
    Phase(const Problem& problem, const PhaseAxis& rows, const PhaseAxis& cols)
        : y(rows),
          x(cols),
          part(problem.y, {window(problem, rows, cols), problem.x.c, problem.groups}),
          first(rows.first * problem.x.w + cols.first),
          grid(problem.x) {
        grid.row = problem.x.w * problem.window.stride_h;
        grid.col = problem.window.stride_w;
    }

    /// Those that compute a pixel of dx.
    static std::vector<Phase> all(const Problem& problem) {
        const Window2d& w = problem.window;
        std::vector<Phase> phases;
        for (index_t i = 0; i < std::min(w.stride_h, w.kernel_h); ++i) {
            const PhaseAxis y = PhaseAxis::of_rows(problem, i);
            for (index_t j = 0; j < std::min(w.stride_w, w.kernel_w) && !y.is_empty(); ++j) {
                const PhaseAxis x = PhaseAxis::of_cols(problem, j);
                if (!x.is_empty()) phases.emplace_back(problem, y, x);
            }
        }
        return phases;
    }

    /// Calls body(ky, kx) for each of its taps, in reverse.
    template <typename Body>
    void for_taps(const Window2d& kernel, Body&& body) const {
        for (index_t ky = y.last_tap; ky >= 0; ky -= kernel.stride_h) {
            for (index_t kx = x.last_tap; kx >= 0; kx -= kernel.stride_w) body(ky, kx);
        }
    }

    PhaseAxis y, x;
    Problem part;     ///< the convolution of dy
    index_t first;    ///< its first pixel in a plane of dx
    OutputGrid grid;  ///< of dx

  private:
    static Window2d window(const Problem& problem, const PhaseAxis& y, const PhaseAxis& x) {
        return {.kernel_h = y.taps,
                .kernel_w = x.taps,
                .pad_top = y.before,
                .pad_bottom = y.after,
                .pad_left = x.before,
                .pad_right = x.after,
                .dilation_h = problem.window.dilation_h,
                .dilation_w = problem.window.dilation_w};
    }
};

/// Sets dx to zero where the windows skip some pixels, which no phase writes.
template <typename T>
void clear_skipped(const Problem& problem, T* dx) {
    const Window2d& w = problem.window;
    if (w.stride_h <= w.kernel_h && w.stride_w <= w.kernel_w) return;
    constexpr index_t grain = 1 << 14;
    parallel_ranges(problem.x.size(), grain, 1,
                    [&](index_t begin, index_t end) { std::fill(dx + begin, dx + end, T{0}); });
}

}  // namespace pocketcnn::conv
