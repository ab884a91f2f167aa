#include "conv/winograd/winograd.h"

#include <pocketcnn/activation.h>

#include "conv/kept_weights.h"
#include "conv/patches.h"
#include "conv/ways.h"
#include "conv/winograd/convolve.h"
#include "conv/winograd/parts.h"

namespace pocketcnn::winograd {

namespace {

/// The forward pass of a problem without dilation and parts.
template <typename T>
void forward_by_tiles(const conv::Problem& problem, const T* x, const std::vector<Filters<T>>& all,
                      const T* bias, bool rectify, T* y, const SpoiledPart& spoiled) {
    for (index_t group = 0; group < problem.groups; ++group) {
        const index_t filter = group * problem.filters;
        const Filters<T>& filters = all[static_cast<std::size_t>(group)];
        convolve<T>({phases_of_input(problem, x, group),
                     lanes_of_output(problem, y, group),
                     output_grid(problem),
                     Taps(problem.window),
                     {.own = rectify}},
                    filters, bias != nullptr ? bias + filter : nullptr, spoiled);
    }
}

template <typename T>
void forward_by_parts(const conv::Problem& problem, const T* x,
                      const std::vector<Filters<T>>& filters, const T* bias, bool rectify, T* y,
                      SpoiledImages& spoiled) {
    for_parted_batches(problem, sizeof(T), [&](const conv::Problem& part, index_t image) {
        forward_by_tiles(part, moved_images(problem, part, image, x).data(), filters, bias, rectify,
                         y + image * problem.y.image(), {spoiled, image});
    });
}

/// Computes spoiled images again by a matrix product.
template <typename T>
void forward_again(const conv::ForwardCall<T>& call, const SpoiledImages& spoiled) {
    spoiled.for_each(call.problem, [&](const conv::Problem& one, index_t from, index_t to) {
        conv::compute<T>(conv::forward_way({one, ConvAlgorithm::im2col}),
                         {one, call.x + from, call.weight, call.bias, call.y + to,
                          conv::OutputGrid(one.y), call.last});
    });
}

}  // namespace

template <typename T>
void forward(const conv::ForwardCall<T>& call) {
    SpoiledImages spoiled(call.problem.x.n);
    std::vector<Filters<T>> own;
    const auto& filters = conv::form_of(call.kept, &KeptWeights<T>::Forms::points, own, [&] {
        return all_forward_filters(call.problem, call.weight);
    });
    forward_by_tiles(call.problem, call.x, filters, call.bias, call.last.is_relu(), call.y,
                     {spoiled, 0});
    forward_again(call, spoiled);
}

template <typename T>
void forward_in_parts(const conv::ForwardCall<T>& call) {
    SpoiledImages spoiled(call.problem.x.n);
    const auto filters = all_forward_filters(call.problem, call.weight);
    forward_by_parts(call.problem, call.x, filters, call.bias, call.last.is_relu(), call.y,
                     spoiled);
    forward_again(call, spoiled);
}

namespace {

/// dx[(c, phase)][Y] = sum over f and taps a of dy[f][Y - a] * weight[f][(c, phase)][a]: a
/// convolution of dy, with taps - 1 zeros before it, with the taps in reverse.
template <typename T>
void input_grad_by_tiles(const conv::Problem& problem, const T* dy, const T* weight, const T* gate,
                         T* dx, SpoiledImages& spoiled) {
    const Taps taps(problem.window);
    const auto all = all_input_grad_filters(problem, weight);
    for (index_t group = 0; group < problem.groups; ++group) {
        const LaneImages<T> result = phases_of_input(problem, dx, group);
        const T* open = gate != nullptr ? gate + (result.data - dx) : nullptr;
        convolve<T>({lanes_of_output(problem, dy, group, taps.h - 1, taps.w - 1),
                     result,
                     input_grid(problem),
                     taps,
                     {.other = open}},
                    all[static_cast<std::size_t>(group)], nullptr, {spoiled, 0});
    }
}

/// Computes spoiled images again.
template <typename T>
void input_grad_again(const conv::InputGradCall<T>& call, const T* gate,
                      const SpoiledImages& spoiled) {
    spoiled.for_each(call.problem, [&](const conv::Problem& one, index_t to, index_t from) {
        conv::patches::input_grad<T>({one, call.dy + from, call.weight, call.dx + to});
        if (gate == nullptr) return;
        activate_backward<T>(Activation::relu, call.dx + to, gate + to, call.dx + to, one.x.size());
    });
}

}  // namespace

template <typename T>
void input_grad(const conv::InputGradCall<T>& call) {
    const Window2d& w = call.problem.window;
    // With a stride, results are not consecutive, and the gate of a convolution between lanes
    // cannot handle that.
    const bool passes_gate = w.stride_h == 1 && w.stride_w == 1;
    const T* gate = passes_gate ? call.gate : nullptr;
    SpoiledImages spoiled(call.problem.x.n);
    input_grad_by_tiles(call.problem, call.dy, call.weight, gate, call.dx, spoiled);
    input_grad_again(call, gate, spoiled);
    if (passes_gate || call.gate == nullptr) return;
    activate_backward<T>(Activation::relu, call.dx, call.gate, call.dx, call.problem.x.size());
}

template <typename T>
void input_grad_in_parts(const conv::InputGradCall<T>& call) {
    const T *no_bias = nullptr, *no_gate = nullptr;
    SpoiledImages spoiled(call.problem.x.n);
    const auto filters = all_input_grad_filters(call.problem, call.weight);
    forward_by_parts(turned(call.problem), call.dy, filters, no_bias, false, call.dx, spoiled);
    input_grad_again(call, no_gate, spoiled);
}

#define POCKETCNN_INSTANTIATE(T)                                 \
    template void forward(const conv::ForwardCall<T>&);          \
    template void forward_in_parts(const conv::ForwardCall<T>&); \
    template void input_grad(const conv::InputGradCall<T>&);     \
    template void input_grad_in_parts(const conv::InputGradCall<T>&);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::winograd
