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
struct SplitAxis {
    SplitAxis(index_t size, index_t pad_before, index_t pad_after, index_t dilation)
        : rest(pad_before % dilation),
          length(ceil_div(size + rest, dilation)),
          before(pad_before / dilation),
          after(ceil_div(size + rest + pad_after, dilation) - length) {}
    index_t rest, length;
    index_t before, after;  ///< remaining padding
};

/// The convolution of the split images; the given one if it has no dilation.
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

}  // namespace pocketcnn::winograd
