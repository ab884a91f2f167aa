// A dilated convolution of stride 1 as an undilated one. A window sees only pixels that are a
// multiple of the dilation apart, so these form an image of their own. The split images have the
// same size, and are zero where the original has padding or no pixel.
#pragma once

#include "conv/problem.h"

namespace pocketcnn::winograd {

inline bool is_dilated(const Window2d& w) {
    return w.dilation_h > 1 || w.dilation_w > 1;
}

/// One axis of the split images. If the padding is not a multiple of the dilation, the remaining
/// `rest` rows come before the original's first row and belong to the images.
struct DilatedAxis {
    DilatedAxis(index_t size, index_t pad_before, index_t pad_after, index_t dilation)
        : rest(pad_before % dilation),
          length(ceil_div(size + rest, dilation)),
          before(pad_before / dilation),
          after(ceil_div(size + rest + pad_after, dilation) - length) {}
    index_t rest, length;
    index_t before, after;  ///< remaining padding
};

/// The convolution of the split images; the given one if it has no dilation.
inline conv::Problem undilated(const conv::Problem& problem) {
    const Window2d& whole = problem.window;
    if (!is_dilated(whole)) return problem;
    const DilatedAxis h(problem.x.h, whole.pad_top, whole.pad_bottom, whole.dilation_h);
    const DilatedAxis w(problem.x.w, whole.pad_left, whole.pad_right, whole.dilation_w);
    const Window2d window = {.kernel_h = whole.kernel_h,
                             .kernel_w = whole.kernel_w,
                             .pad_top = h.before,
                             .pad_bottom = h.after,
                             .pad_left = w.before,
                             .pad_right = w.after};
    const index_t phases = whole.dilation_h * whole.dilation_w;
    return {{problem.x.n * phases, problem.x.c, h.length, w.length},
            {window, problem.y.c, problem.groups}};
}

}  // namespace pocketcnn::winograd
