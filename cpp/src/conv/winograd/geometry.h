// A convolution and its gradients as stride-1 convolutions between lanes: which pixels are in the
// lanes, where the tiles are, and how many taps a phase has.
#pragma once

#include "conv/problem.h"
#include "conv/winograd/tiles.h"

namespace pocketcnn::winograd {

/// Taps of one phase, along one axis: with a stride of s, each of s phases has every s-th tap.
inline index_t phase_taps(index_t kernel, index_t stride) {
    return ceil_div(kernel, stride);
}

/// The taps of a phase in the order of the filters' transform.
struct Taps {
    index_t h, w;

    explicit Taps(const Window2d& window)
        : h(phase_taps(window.kernel_h, window.stride_h)),
          w(phase_taps(window.kernel_w, window.stride_w)) {}
    index_t count() const { return h * w; }
    /// Results per tile.
    index_t step_h() const { return winograd_points(h) + 1 - h; }
    index_t step_w() const { return winograd_points(w) + 1 - w; }
    index_t points() const { return winograd_points(h) * winograd_points(w); }
};

/// One group's channels of x as the lanes that a convolution of stride 1 sees.
template <typename T>
LaneImages<T> phases_of_input(const conv::Problem& problem, T* data, index_t group) {
    const Window2d& w = problem.window;
    return {.data = data + group * problem.channels * problem.x.plane(),
            .end = data + problem.x.size(),
            .image = problem.x.image(),
            .channels = problem.channels,
            .h = problem.x.h,
            .w = problem.x.w,
            .stride_h = w.stride_h,
            .stride_w = w.stride_w,
            .top = w.pad_top,
            .left = w.pad_left};
}

/// One group's part of y, or of its gradient, with `before_h` rows and `before_w` columns of zeros
/// before it.
template <typename T>
LaneImages<T> lanes_of_output(const conv::Problem& problem, T* data, index_t group,
                              index_t before_h = 0, index_t before_w = 0) {
    return {.data = data + group * problem.filters * problem.y.plane(),
            .end = data + problem.y.size(),
            .image = problem.y.image(),
            .channels = problem.filters,
            .h = problem.y.h,
            .w = problem.y.w,
            .top = before_h,
            .left = before_w};
}

/// Tiles whose results cover y.
inline Grid output_grid(const conv::Problem& problem) {
    const Taps taps(problem.window);
    return {problem.y.n,
            ceil_div(problem.y.h, taps.step_h()),
            ceil_div(problem.y.w, taps.step_w()),
            taps.step_h(),
            taps.step_w(),
            0,
            0};
}

/// Tiles whose results cover the phases of x.
inline Grid input_grid(const conv::Problem& problem) {
    const Taps taps(problem.window);
    const Window2d& w = problem.window;
    const index_t y = w.pad_top / w.stride_h, x = w.pad_left / w.stride_w;
    const index_t y_end = (w.pad_top + problem.x.h - 1) / w.stride_h + 1;
    const index_t x_end = (w.pad_left + problem.x.w - 1) / w.stride_w + 1;
    return {problem.x.n,
            ceil_div(y_end - y, taps.step_h()),
            ceil_div(x_end - x, taps.step_w()),
            taps.step_h(),
            taps.step_w(),
            y,
            x};
}

}  // namespace pocketcnn::winograd
