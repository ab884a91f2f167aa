// With stride 1, the gradient of a convolution's input is itself a convolution: of dy, with the
// kernels turned by half a turn and the roles of channels and filters exchanged.
#pragma once

#include <algorithm>

#include "conv/problem.h"
#include "runtime/memory_pool.h"
#include "runtime/parallel.h"

namespace pocketcnn::conv {

/// Whether the padding that this takes is not negative.
inline bool input_grad_is_convolution(const Window2d& w) {
    return w.stride_h == 1 && w.stride_w == 1 && w.pad_top < w.span_h() &&
           w.pad_bottom < w.span_h() && w.pad_left < w.span_w() && w.pad_right < w.span_w();
}

/// The convolution of dy that gives dx.
inline Conv2d input_grad_convolution(const Problem& problem, ConvAlgorithm algorithm) {
    Window2d w = problem.window;
    w.pad_top = w.span_h() - 1 - w.pad_top;
    w.pad_bottom = w.span_h() - 1 - w.pad_bottom;
    w.pad_left = w.span_w() - 1 - w.pad_left;
    w.pad_right = w.span_w() - 1 - w.pad_right;
    return {w, problem.x.c, problem.groups, algorithm};
}

/// weight (groups * filters, channels, kh, kw) -> (groups * channels, filters, kh, kw), each
/// kernel turned by half a turn: the weights that carry dy back to dx.
template <typename T>
Buffer<T> rotate_weights(const T* weight, const Problem& problem) {
    const index_t area = problem.window.taps();
    Buffer<T> rotated(problem.groups * problem.filters * problem.taps);
    parallel_for(
        problem.groups * problem.channels,
        static_cast<double>(problem.groups * problem.filters) * static_cast<double>(problem.taps),
        [&](index_t i) {
            const index_t group = i / problem.channels, c = i % problem.channels;
            T* to = rotated.data() + i * problem.filters * area;
            for (index_t f = 0; f < problem.filters; ++f, to += area) {
                const T* from = weight + (group * problem.filters + f) * problem.taps + c * area;
                std::reverse_copy(from, from + area, to);
            }
        });
    return rotated;
}

}  // namespace pocketcnn::conv
