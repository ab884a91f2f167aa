#include "winograd/winograd.h"

#include "winograd/convolve.h"

namespace pocketcnn::winograd {

const char* obstacle(const Conv2d& conv) {
    const Window2d& w = conv.window;
    const Taps taps(w);
    if (conv.groups != 1) return "algorithm winograd takes one group only";
    if (w.dilation_h != 1 || w.dilation_w != 1) return "algorithm winograd takes no dilation";
    if (std::min(taps.h, taps.w) < kWinogradLeastTaps ||
        std::max(taps.h, taps.w) > kWinogradMostTaps) {
        return "algorithm winograd takes kernels that are 2 to 5 strides long (rounded up)";
    }
    return nullptr;
}

template <typename T>
void forward(const conv::Problem& problem, const T* x, const T* weight, const T* bias, T* y) {
    const Filters<T> filters = forward_filters(problem, weight);
    convolve<T>({phases_of_input(problem, x), lanes_of_output(problem, y), output_grid(problem),
                 Taps(problem.window)},
                filters, bias);
}

/// dx[(c, phase)][Y] = sum over f and taps a of dy[f][Y - a] * weight[f][(c, phase)][a]: a
/// convolution of dy, which starts taps - 1 positions late, with the taps in reverse.
template <typename T>
void input_grad(const conv::Problem& problem, const T* dy, const T* weight, T* dx) {
    const Taps taps(problem.window);
    const Filters<T> filters = input_grad_filters(problem, weight);
    convolve<T>({lanes_of_output(problem, dy, taps.h - 1, taps.w - 1), phases_of_input(problem, dx),
                 input_grid(problem), taps},
                filters, nullptr);
}

#define POCKETCNN_INSTANTIATE(T)                                                   \
    template void forward(const conv::Problem&, const T*, const T*, const T*, T*); \
    template void input_grad(const conv::Problem&, const T*, const T*, T*);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::winograd
