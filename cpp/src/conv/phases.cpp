#include "conv/phases.h"

#include <algorithm>

#include "conv/im2col.h"
#include "conv/phase.h"
#include "conv/pointwise.h"
#include "conv/ways.h"
#include "runtime/isa.h"
#include "runtime/parallel.h"

namespace pocketcnn::conv::phases {
namespace {

/// Weights (groups * channels, filters, taps of the phase), in reverse.
template <typename T>
Buffer<T> select_weights(const Problem& problem, const Phase& phase, const T* weight) {
    const Window2d& w = problem.window;
    const index_t area = phase.part.window.taps();
    Buffer<T> selected(problem.groups * problem.channels * problem.filters * area);
    const double elements = static_cast<double>(problem.groups * problem.channels) *
                            static_cast<double>(problem.filters * area);
    parallel_for(problem.groups * problem.channels, elements, [&](index_t i) {
        const index_t group = i / problem.channels, c = i % problem.channels;
        T* to = selected.data() + i * problem.filters * area;
        for (index_t f = 0; f < problem.filters; ++f) {
            const T* from = weight + (group * problem.filters + f) * problem.taps + c * w.taps();
            phase.for_taps(w, [&](index_t ky, index_t kx) { *to++ = from[ky * w.kernel_w + kx]; });
        }
    });
    return selected;
}

/// The same as a packed right operand: columns are channels, depth is (filter, tap of the phase).
template <typename T>
std::vector<gemm::PackedPanels<T>> pack_weights(const Problem& problem, const Phase& phase,
                                                const T* weight) {
    const Window2d& w = problem.window;
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    return gemm::pack_groups<T>(
        {kernels, problem.channels}, problem.groups, phase.part.taps,
        [&](index_t group, index_t channel, index_t channels, index_t width, T* panel) {
            const T* from = weight + group * problem.filters * problem.taps + channel * w.taps();
            for (index_t f = 0; f < problem.filters; ++f, from += problem.taps) {
                phase.for_taps(w, [&](index_t ky, index_t kx) {
                    const T* tap = from + ky * w.kernel_w + kx;
                    for (index_t c = 0; c < channels; ++c) panel[c] = tap[c * w.taps()];
                    std::fill(panel + channels, panel + width, T{0});
                    panel += width;
                });
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
void run_phase(const InputGradCall<T>& call, ConvAlgorithm asked, const Phase& phase) {
    const Problem& problem = call.problem;
    const OutputGrid& grid = phase.grid;
    T* to = call.dx + phase.first;
    const T* no_bias = nullptr;
    const ForwardWay& way = way_of(phase.part, asked, !grid.is_dense(phase.part.y));
    const ConvAlgorithm algorithm = way.about.algorithm;
    const bool in_place = algorithm == ConvAlgorithm::pointwise_in_place;
    // The weights are rotated while they are packed, or when they are read.
    if (algorithm == ConvAlgorithm::im2col) {
        im2col::forward_packed(phase.part, call.dy, pack_weights(problem, phase, call.weight),
                               no_bias, to, grid);
    } else if (problem.window.taps() == 1 && (algorithm == ConvAlgorithm::pointwise || in_place)) {
        pointwise::forward_turned(phase.part, call.dy, call.weight, to, grid, in_place);
    } else {
        const Buffer<T> selected = select_weights(problem, phase, call.weight);
        way.run(ForwardCall<T>{phase.part, call.dy, selected.data(), no_bias, to, grid});
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
        if (!fits_axis(PhaseAxis::of_rows(problem, i))) return too_wide;
    }
    for (index_t i = 0; i < std::min(w.stride_w, w.kernel_w); ++i) {
        if (!fits_axis(PhaseAxis::of_cols(problem, i))) return too_wide;
    }
    return nullptr;
}

template <typename T>
void input_grad(const InputGradCall<T>& call) {
    const ConvAlgorithm asked =
        call.asked == ConvAlgorithm::im2col ? call.asked : ConvAlgorithm::automatic;
    clear_skipped(call.problem, call.dx);
    for (const Phase& phase : Phase::all(call.problem)) run_phase(call, asked, phase);
}

#define POCKETCNN_INSTANTIATE(T) template void input_grad(const InputGradCall<T>&);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::conv::phases
