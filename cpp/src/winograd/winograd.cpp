#include "winograd/winograd.h"

#include <pocketcnn/activation.h>

#include "conv/im2col.h"
#include "conv/patches.h"
#include "winograd/convolve.h"
#include "winograd/dilated.h"
#include "winograd/parts.h"

namespace pocketcnn::winograd {

const char* obstacle(const Conv2d& conv) {
    const Window2d& w = conv.window;
    const Taps taps(w);
    if (is_dilated(w) && (w.stride_h > 1 || w.stride_w > 1)) {
        return "algorithm winograd takes no dilation together with a stride";
    }
    const index_t most = is_parted(w) ? kMostPartedTaps : kWinogradMostTaps;
    if (std::min(taps.h, taps.w) < kWinogradLeastTaps || std::max(taps.h, taps.w) > most) {
        return "algorithm winograd takes kernels that are 2 to 5 strides long (rounded up), and "
               "with stride 1 up to 12";
    }
    return nullptr;
}

namespace {

/// The forward pass of a problem that is neither dilated nor parted.
template <typename T>
void forward_by_tiles(const conv::Problem& problem, const T* x, const T* weight, const T* bias,
                      bool rectify, T* y, const SpoiledPart& spoiled) {
    for (index_t group = 0; group < problem.groups; ++group) {
        const index_t filter = group * problem.filters;
        const Filters<T> filters = forward_filters(problem, weight + filter * problem.taps);
        convolve<T>({phases_of_input(problem, x, group),
                     lanes_of_output(problem, y, group),
                     output_grid(problem),
                     Taps(problem.window),
                     {.own = rectify}},
                    filters, bias != nullptr ? bias + filter : nullptr, spoiled);
    }
}

template <typename T>
void forward_by_parts(const conv::Problem& problem, const T* x, const T* weight, const T* bias,
                      bool rectify, T* y, SpoiledImages& spoiled) {
    const Buffer<T> parts = parts_of_weights(problem, weight);
    for_parted_batches(problem, sizeof(T), [&](const conv::Problem& part, index_t image) {
        forward_by_tiles(part, moved_images(problem, part, image, x).data(), parts.data(), bias,
                         rectify, y + image * problem.y.image(), {spoiled, image});
    });
}

}  // namespace

template <typename T>
void forward(const conv::Problem& problem, const T* x, const T* weight, const T* bias, bool rectify,
             T* y) {
    const Window2d& w = problem.window;
    if (is_dilated(w)) {
        const conv::Problem part = undilated(problem);
        const Buffer<T> result(part.y.size());
        forward(part,
                split_images(problem.x, part.x, w, w.pad_top % w.dilation_h,
                             w.pad_left % w.dilation_w, x)
                    .data(),
                weight, bias, rectify, result.data());
        merge_images(problem.y, part.y, w, 0, 0, result.data(), y);
        return;
    }
    SpoiledImages spoiled(problem.x.n);
    if (is_parted(w)) {
        forward_by_parts(problem, x, weight, bias, rectify, y, spoiled);
    } else {
        forward_by_tiles(problem, x, weight, bias, rectify, y, {spoiled, 0});
    }
    spoiled.for_each(problem, [&](const conv::Problem& one, index_t from, index_t to) {
        conv::im2col::forward(one, x + from, weight, bias, y + to, conv::OutputGrid(one.y));
        if (rectify) activate<T>(Activation::relu, y + to, y + to, one.y.size());
    });
}

bool takes_gate(const conv::Problem& problem) {
    const Window2d& w = problem.window;
    return !is_dilated(w) && !is_parted(w) && w.stride_h == 1 && w.stride_w == 1;
}

namespace {

/// dx[(c, phase)][Y] = sum over f and taps a of dy[f][Y - a] * weight[f][(c, phase)][a]: a
/// convolution of dy, which starts taps - 1 positions late, with the taps in reverse.
template <typename T>
void input_grad_by_tiles(const conv::Problem& problem, const T* dy, const T* weight, const T* gate,
                         T* dx, SpoiledImages& spoiled) {
    const Taps taps(problem.window);
    for (index_t group = 0; group < problem.groups; ++group) {
        const Filters<T> filters =
            input_grad_filters(problem, weight + group * problem.filters * problem.taps);
        const LaneImages<T> result = phases_of_input(problem, dx, group);
        const T* open = gate != nullptr ? gate + (result.data - dx) : nullptr;
        convolve<T>({lanes_of_output(problem, dy, group, taps.h - 1, taps.w - 1),
                     result,
                     input_grid(problem),
                     taps,
                     {.other = open}},
                    filters, nullptr, {spoiled, 0});
    }
}

}  // namespace

template <typename T>
void input_grad(const conv::Problem& problem, const T* dy, const T* weight, const T* gate, T* dx) {
    const Window2d& w = problem.window;
    if (is_dilated(w)) {
        const conv::Problem part = undilated(problem);
        const Buffer<T> result(part.x.size());
        input_grad<T>(part, split_images(problem.y, part.y, w, 0, 0, dy).data(), weight, nullptr,
                      result.data());
        merge_images(problem.x, part.x, w, w.pad_top % w.dilation_h, w.pad_left % w.dilation_w,
                     result.data(), dx);
        return;
    }
    SpoiledImages spoiled(problem.x.n);
    if (is_parted(w)) {
        const T* no_bias = nullptr;
        forward_by_parts(turned(problem), dy, turned_weights(problem, weight).data(), no_bias,
                         false, dx, spoiled);
    } else {
        input_grad_by_tiles(problem, dy, weight, gate, dx, spoiled);
    }
    spoiled.for_each(problem, [&](const conv::Problem& one, index_t to, index_t from) {
        conv::patches::input_grad(one, dy + from, weight, dx + to);
        if (gate == nullptr) return;
        activate_grad<T>(Activation::relu, dx + to, gate + to, dx + to, one.x.size());
    });
}

#define POCKETCNN_INSTANTIATE(T)                                                         \
    template void forward(const conv::Problem&, const T*, const T*, const T*, bool, T*); \
    template void input_grad(const conv::Problem&, const T*, const T*, const T*, T*);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::winograd
