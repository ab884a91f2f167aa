// The public convolution: checks the shapes and hands over to the way in conv/ that the plan
// names.
#include <pocketcnn/activation.h>
#include <pocketcnn/conv2d.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "conv/depthwise.h"
#include "conv/direct.h"
#include "conv/im2col.h"
#include "conv/patches.h"
#include "conv/phases.h"
#include "conv/problem.h"
#include "runtime/isa.h"
#include "runtime/memory_pool.h"
#include "runtime/parallel.h"
#include "winograd/winograd.h"

namespace pocketcnn {
namespace {

using conv::Problem;

void require_shape(const Shape4& given, const Shape4& wanted, const char* name) {
    if (given != wanted) {
        throw std::invalid_argument(std::string(name) +
                                    " does not have the shape that the convolution gives");
    }
}

/// dbias from the sums of the planes of dy.
template <typename T>
void add_planes(const Shape4& dy, const double* plane_sums, T* dbias) {
    for (index_t f = 0; f < dy.c; ++f) {
        double sum = 0;
        for (index_t n = 0; n < dy.n; ++n) sum += plane_sums[n * dy.c + f];
        dbias[f] = static_cast<T>(sum);
    }
}

/// What no image adds to.
template <typename T>
void no_gradient(const Problem& problem, T* dweight, T* dbias) {
    std::fill_n(dweight, problem.y.c * problem.taps, T{0});
    if (dbias != nullptr) std::fill_n(dbias, problem.y.c, T{0});
}

/// dbias, where it is not null, from the planes of dy that are in the cache. Depthwise planes are
/// not summed so: 32x112 gained 7%, 960x7 lost 20.
template <typename T>
void direct_weight_grad(const Problem& problem, ImageView<const T> dy, const T* x, T* dweight,
                        T* dbias) {
    if (dbias == nullptr) {
        return conv::direct::weight_grad<T>(problem, dy.data, x, dweight, nullptr);
    }
    const Buffer<double> plane_sums(dy.shape.n * dy.shape.c);
    conv::direct::weight_grad<T>(problem, dy.data, x, dweight, plane_sums.data());
    add_planes(dy.shape, plane_sums.data(), dbias);
}

}  // namespace

Shape4 conv2d_output_shape(const Shape4& x, const Conv2d& conv) {
    validate(x, "x");
    validate(conv.window, x.h, x.w);
    if (conv.groups < 1 || x.c < 1 || conv.filters < 1 || x.c % conv.groups != 0 ||
        conv.filters % conv.groups != 0) {
        throw std::invalid_argument("groups " + std::to_string(conv.groups) + " must divide the " +
                                    std::to_string(x.c) + " channels and the " +
                                    std::to_string(conv.filters) + " filters");
    }
    validate(Shape4{conv.filters, x.c / conv.groups, conv.window.kernel_h, conv.window.kernel_w},
             "weight");
    const Shape4 y = {x.n, conv.filters, conv.window.out_h(x.h), conv.window.out_w(x.w)};
    validate(y, "the output");
    return y;
}

template <typename T>
void conv2d(ImageView<const T> x, const T* weight, const T* bias, const Conv2d& conv,
            ImageView<T> y, bool rectify) {
    const Problem problem(x.shape, conv);
    require_shape(y.shape, problem.y, "y");
    if (problem.x.n == 0) return;
    switch (conv2d_plan(x.shape, conv, ConvPass::forward).algorithm) {
        case ConvAlgorithm::automatic:
        case ConvAlgorithm::im2col:
            conv::im2col::forward(problem, x.data, weight, bias, y.data,
                                  conv::OutputGrid(problem.y));
            break;
        case ConvAlgorithm::winograd:
            winograd::forward(problem, x.data, weight, bias, rectify, y.data);
            return;
        case ConvAlgorithm::direct:
            conv::direct::forward(problem, x.data, weight, bias, y.data,
                                  conv::OutputGrid(problem.y));
            break;
    }
    if (rectify) activate<T>(Activation::relu, y.data, y.data, y.shape.size());
}

template <typename T>
void conv2d_input_grad(ImageView<const T> dy, const T* weight, const Conv2d& conv, ImageView<T> dx,
                       const T* gate) {
    const Problem problem(dx.shape, conv);
    require_shape(dy.shape, problem.y, "dy");
    if (problem.x.n == 0) return;
    const ConvAlgorithm algorithm = conv2d_plan(dx.shape, conv, ConvPass::input_grad).algorithm;
    if (algorithm == ConvAlgorithm::winograd) {
        const bool takes_gate = winograd::takes_gate(problem);
        winograd::input_grad<T>(problem, dy.data, weight, takes_gate ? gate : nullptr, dx.data);
        if (takes_gate) return;
    } else if (algorithm == ConvAlgorithm::direct &&
               conv::depthwise::fits(problem, ConvPass::input_grad)) {
        conv::depthwise::input_grad(problem, dy.data, weight, dx.data);
    } else if (conv::patches::suits(problem) || !conv::phases::fits(problem)) {
        conv::patches::input_grad(problem, dy.data, weight, dx.data);
    } else {
        conv::phases::input_grad(problem, conv.algorithm, dy.data, weight, dx.data);
    }
    if (gate != nullptr) {
        activate_grad<T>(Activation::relu, dx.data, gate, dx.data, dx.shape.size());
    }
}

template <typename T>
void conv2d_weight_grad(ImageView<const T> dy, ImageView<const T> x, const Conv2d& conv, T* dweight,
                        T* dbias) {
    const Problem problem(x.shape, conv);
    require_shape(dy.shape, problem.y, "dy");
    if (problem.x.n == 0) return no_gradient(problem, dweight, dbias);
    switch (conv2d_plan(x.shape, conv, ConvPass::weight_grad).algorithm) {
        case ConvAlgorithm::automatic:
        case ConvAlgorithm::im2col:
            conv::im2col::weight_grad(problem, dy.data, x.data, dweight);
            break;
        case ConvAlgorithm::winograd:
            winograd::weight_grad(problem, dy.data, x.data, dweight);
            break;
        case ConvAlgorithm::direct:
            if (!conv::depthwise::fits(problem, ConvPass::weight_grad)) {
                return direct_weight_grad(problem, dy, x.data, dweight, dbias);
            }
            conv::depthwise::weight_grad(problem, dy.data, x.data, dweight);
            break;
    }
    if (dbias != nullptr) conv2d_bias_grad<T>(dy, dbias);
}

template <typename T>
void conv2d_bias_grad(ImageView<const T> dy, T* dbias) {
    validate(dy.shape, "dy");
    const Kernels<T>& kernel = kernels<T>();
    const Shape4& shape = dy.shape;
    const Buffer<double> sums(shape.n * shape.c);
    parallel_ranges(shape.n, 1, static_cast<double>(shape.image()), [&](index_t n, index_t end) {
        for (index_t i = n * shape.c; i < end * shape.c; ++i) {
            sums[i] = kernel.sum(shape.plane(), dy.data + i * shape.plane());
        }
    });
    add_planes(shape, sums.data(), dbias);
}

#define POCKETCNN_INSTANTIATE(T)                                                                \
    template void conv2d(ImageView<const T>, const T*, const T*, const Conv2d&, ImageView<T>,   \
                         bool);                                                                 \
    template void conv2d_input_grad(ImageView<const T>, const T*, const Conv2d&, ImageView<T>,  \
                                    const T*);                                                  \
    template void conv2d_weight_grad(ImageView<const T>, ImageView<const T>, const Conv2d&, T*, \
                                     T*);                                                       \
    template void conv2d_bias_grad(ImageView<const T>, T*);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn
