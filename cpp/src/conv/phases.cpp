#include "conv/phases.h"

#include <algorithm>

#include "conv/few_pixels.h"
#include "conv/im2col.h"
#include "conv/pointwise.h"
#include "conv/ways.h"
#include "runtime/isa.h"
#include "runtime/parallel.h"

namespace pocketcnn::conv::phases {
namespace {

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

    index_t taps, last_tap;
    index_t first, count;   ///< pixels of dx
    index_t before, after;  ///< padding of dy
};

PhaseAxis rows(const Problem& p, index_t phase) {
    return {
        phase,           p.x.h, p.y.h, p.window.kernel_h, p.window.stride_h, p.window.dilation_h,
        p.window.pad_top};
}
PhaseAxis cols(const Problem& p, index_t phase) {
    return {phase,
            p.x.w,
            p.y.w,
            p.window.kernel_w,
            p.window.stride_w,
            p.window.dilation_w,
            p.window.pad_left};
}

/// Weights (groups * channels, filters, taps of the phase), in reverse.
template <typename T>
Buffer<T> select_weights(const Problem& problem, const PhaseAxis& y, const PhaseAxis& x,
                         const T* weight) {
    const Window2d& w = problem.window;
    const index_t area = y.taps * x.taps;
    Buffer<T> selected(problem.groups * problem.channels * problem.filters * area);
    const double elements = static_cast<double>(problem.groups * problem.channels) *
                            static_cast<double>(problem.filters * area);
    parallel_for(problem.groups * problem.channels, elements, [&](index_t i) {
        const index_t group = i / problem.channels, c = i % problem.channels;
        T* to = selected.data() + i * problem.filters * area;
        for (index_t f = 0; f < problem.filters; ++f) {
            const T* from = weight + (group * problem.filters + f) * problem.taps + c * w.taps();
            for (index_t ky = y.last_tap; ky >= 0; ky -= w.stride_h) {
                for (index_t kx = x.last_tap; kx >= 0; kx -= w.stride_w) {
                    *to++ = from[ky * w.kernel_w + kx];
                }
            }
        }
    });
    return selected;
}

/// The same as a packed right operand: columns are channels, depth is (filter, tap of the phase).
template <typename T>
std::vector<gemm::PackedPanels<T>> pack_weights(const Problem& problem, const PhaseAxis& y,
                                                const PhaseAxis& x, const T* weight) {
    const Window2d& w = problem.window;
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    return gemm::pack_groups<T>(
        {kernels, problem.channels}, problem.groups, problem.filters * y.taps * x.taps,
        [&](index_t group, index_t channel, index_t channels, index_t width, T* panel) {
            const T* from = weight + group * problem.filters * problem.taps + channel * w.taps();
            for (index_t f = 0; f < problem.filters; ++f, from += problem.taps) {
                for (index_t ky = y.last_tap; ky >= 0; ky -= w.stride_h) {
                    for (index_t kx = x.last_tap; kx >= 0; kx -= w.stride_w, panel += width) {
                        const T* tap = from + ky * w.kernel_w + kx;
                        for (index_t c = 0; c < channels; ++c) panel[c] = tap[c * w.taps()];
                        std::fill(panel + channels, panel + width, T{0});
                    }
                }
            }
        });
}

/// The algorithm of one phase. Tiles cannot write a spread result; where they would pay, a matrix
/// product takes their place.
const ForwardWay& way_of(const Problem& part, ConvAlgorithm asked, bool spread) {
    if (forward_way({part, asked}).about.family == ConvAlgorithm::winograd) {
        asked = ConvAlgorithm::im2col;
    }
    return forward_way({part, asked, spread});
}

template <typename T>
void run_phase(const InputGradCall<T>& call, ConvAlgorithm asked, const PhaseAxis& y,
               const PhaseAxis& x) {
    const Problem& problem = call.problem;
    Window2d window;
    window.kernel_h = y.taps;
    window.kernel_w = x.taps;
    window.pad_top = y.before;
    window.pad_bottom = y.after;
    window.pad_left = x.before;
    window.pad_right = x.after;
    window.dilation_h = problem.window.dilation_h;
    window.dilation_w = problem.window.dilation_w;
    OutputGrid grid(problem.x);
    grid.row = problem.x.w * problem.window.stride_h;
    grid.col = problem.window.stride_w;
    T* to = call.dx + y.first * problem.x.w + x.first;
    const Problem part(problem.y, {window, problem.x.c, problem.groups});
    const T* no_bias = nullptr;
    const ForwardWay& way = way_of(part, asked, !grid.is_dense(part.y));
    // The weights are rotated while they are packed, or when they are read.
    if (way.about.algorithm == ConvAlgorithm::im2col) {
        im2col::forward_packed(part, call.dy, pack_weights(problem, y, x, call.weight), no_bias, to,
                               grid);
    } else if (way.about.algorithm == ConvAlgorithm::few_pixels) {
        few_pixels::forward_turned(part, call.dy, call.weight, to);
    } else if (way.about.algorithm == ConvAlgorithm::pointwise && problem.window.taps() == 1) {
        pointwise::forward_turned(part, call.dy, call.weight, to, grid);
    } else {
        const Buffer<T> selected = select_weights(problem, y, x, call.weight);
        way.run(ForwardCall<T>{part, call.dy, selected.data(), no_bias, to, grid});
    }
}

}  // namespace

const char* obstacle(const Problem& problem) {
    const Window2d& w = problem.window;
    const bool is_strided = w.stride_h > 1 || w.stride_w > 1;
    if (is_strided && (w.dilation_h > 1 || w.dilation_w > 1)) {
        return "takes no dilation together with a stride";
    }
    // A phase would have to skip pixels of dy.
    constexpr const char* too_wide = "takes no padding wider than what the kernel reaches over";
    const auto fits_axis = [](const PhaseAxis& axis) {
        return axis.is_empty() || (axis.before >= 0 && axis.after >= 0);
    };
    for (index_t i = 0; i < std::min(w.stride_h, w.kernel_h); ++i) {
        if (!fits_axis(rows(problem, i))) return too_wide;
    }
    for (index_t i = 0; i < std::min(w.stride_w, w.kernel_w); ++i) {
        if (!fits_axis(cols(problem, i))) return too_wide;
    }
    return nullptr;
}

template <typename T>
void input_grad(const InputGradCall<T>& call) {
    const Problem& problem = call.problem;
    const Window2d& w = problem.window;
    const ConvAlgorithm asked =
        call.asked == ConvAlgorithm::im2col ? call.asked : ConvAlgorithm::automatic;
    if (w.stride_h > w.kernel_h || w.stride_w > w.kernel_w) {
        // The windows skip some pixels, which no phase writes.
        constexpr index_t grain = 1 << 14;
        parallel_ranges(problem.x.size(), grain, 1, [&](index_t begin, index_t end) {
            std::fill(call.dx + begin, call.dx + end, T{0});
        });
    }
    for (index_t i = 0; i < std::min(w.stride_h, w.kernel_h); ++i) {
        const PhaseAxis y = rows(problem, i);
        for (index_t j = 0; j < std::min(w.stride_w, w.kernel_w) && !y.is_empty(); ++j) {
            const PhaseAxis x = cols(problem, j);
            if (!x.is_empty()) run_phase(call, asked, y, x);
        }
    }
}

#define POCKETCNN_INSTANTIATE(T) template void input_grad(const InputGradCall<T>&);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::conv::phases
