// Convolution and its gradients as matrix products: this file says which operands they multiply
// and how the work is cut; gemm/ does the rest.
#include <pocketcnn/conv2d.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "gemm/images.h"
#include "gemm/matrix.h"
#include "gemm/windows.h"
#include "runtime/isa.h"
#include "runtime/parallel.h"

namespace pocketcnn {
namespace {

using gemm::Block;
using gemm::Operand;
using gemm::Partition;
using gemm::WindowedImages;

/// What the operations here derive from the shapes: one group's part of everything.
struct Plan {
    Plan(const Shape4& in, const Conv2d& op)
        : x(in),
          y(conv2d_output_shape(in, op)),
          window(op.window),
          groups(op.groups),
          channels(in.c / op.groups),
          filters(op.filters / op.groups),
          taps(channels * op.window.taps()) {}

    double multiply_adds() const {
        return static_cast<double>(y.size()) * static_cast<double>(taps);
    }

    template <typename T>
    WindowedImages<T> windows(const T* data, index_t group) const {
        return {data + group * channels * x.plane(), x.n, channels, x.image(), x.h, x.w, window,
                y.h, y.w};
    }

    Shape4 x, y;
    Window2d window;
    index_t groups;
    index_t channels;  ///< of a group
    index_t filters;   ///< of a group
    index_t taps;      ///< of a group: the depth of the forward product
};

void require_shape(const Shape4& given, const Shape4& wanted, const char* name) {
    if (given != wanted) {
        throw std::invalid_argument(std::string(name) +
                                    " does not have the shape that the convolution gives");
    }
}

/// weight (groups * filters, channels, kh, kw) -> (groups * channels, filters, kh, kw), each
/// kernel turned by half a turn: the weights that carry dy back to dx.
template <typename T>
Buffer<T> rotate_weights(const T* weight, const Plan& plan) {
    const index_t area = plan.window.taps();
    Buffer<T> rotated(plan.groups * plan.filters * plan.taps);
    parallel_for(plan.groups * plan.channels, static_cast<double>(plan.groups * plan.filters) *
                                                  static_cast<double>(plan.taps),
                 [&](index_t i) {
                     const index_t group = i / plan.channels, c = i % plan.channels;
                     T* to = rotated.data() + i * plan.filters * area;
                     for (index_t f = 0; f < plan.filters; ++f, to += area) {
                         const T* from =
                             weight + (group * plan.filters + f) * plan.taps + c * area;
                         std::reverse_copy(from, from + area, to);
                     }
                 });
    return rotated;
}

/// With stride 1, dx is the convolution of dy with the rotated weights, as long as the padding
/// that this takes is not negative.
bool input_grad_is_convolution(const Window2d& w) {
    return w.stride_h == 1 && w.stride_w == 1 && w.pad_top < w.span_h() &&
           w.pad_bottom < w.span_h() && w.pad_left < w.span_w() && w.pad_right < w.span_w();
}

Conv2d input_grad_convolution(const Plan& plan) {
    Window2d w = plan.window;
    w.pad_top = w.span_h() - 1 - w.pad_top;
    w.pad_bottom = w.span_h() - 1 - w.pad_bottom;
    w.pad_left = w.span_w() - 1 - w.pad_left;
    w.pad_right = w.span_w() - 1 - w.pad_right;
    return {w, plan.x.c, plan.groups};
}

/// dx as the product transpose(weight) * dy, whose rows are the columns of im2col, added back
/// to the places they came from. One task owns some channels of one image.
template <typename T>
void input_grad_by_col2im(ImageView<const T> dy, const T* weight, const Plan& plan,
                          ImageView<T> dx) {
    const Kernels<T>& kernel = kernels<T>();
    constexpr index_t enough_tasks = 16;
    const index_t parts = std::min(
        plan.channels, ceil_div(enough_tasks, std::max<index_t>(1, plan.x.n * plan.groups)));
    const index_t step = ceil_div(plan.channels, parts);
    const index_t area = plan.window.taps();
    const index_t col_step = gemm::block_cols(kernel, plan.filters, plan.y.plane());
    parallel_for(plan.x.n * plan.groups * parts, plan.multiply_adds(), [&](index_t i) {
        const index_t image = i / (plan.groups * parts), group = i / parts % plan.groups;
        const index_t channel = i % parts * step;
        const index_t channel_end = std::min(plan.channels, channel + step);
        if (channel >= channel_end) return;

        const index_t first = group * plan.channels + channel;
        T* to = dx.data + image * plan.x.image() + first * plan.x.plane();
        std::fill_n(to, (channel_end - channel) * plan.x.plane(), T{0});
        const index_t rows = (channel_end - channel) * area;
        const gemm::LeftMatrix<T> left(
            kernel, {weight + group * plan.filters * plan.taps + channel * area, rows, 1,
                     plan.taps});
        gemm::RightMatrix<T> right(
            kernel, {dy.data + image * plan.y.image() + group * plan.filters * plan.y.plane(),
                     plan.y.plane(), 1, plan.y.plane()});
        gemm::AddWindows<T> write(kernel, to, plan.x.h, plan.x.w, plan.window);
        for (index_t col = 0; col < plan.y.plane(); col += col_step) {
            const index_t col_end = std::min(plan.y.plane(), col + col_step);
            gemm::multiply_block(kernel, {0, rows, col, col_end, 0, plan.filters}, left, right,
                                 write);
        }
    });
}

/// How the gradient of the weights is cut: over the result, and where that gives too few tasks
/// also over the pixels, each chunk with a sum of its own.
struct WeightGradCut {
    Partition partition;
    index_t chunks, chunk_pixels;
};

template <typename T>
WeightGradCut cut_weight_grad(const Kernels<T>& kernel, const Plan& plan) {
    constexpr index_t enough_tasks = 16, smallest_chunk = 256;
    const index_t pixels = plan.y.n * plan.y.plane();
    const index_t col_step = std::min(round_up(plan.taps, kernel.cols), 4 * kernel.cols);
    const index_t row_step = std::min(round_up(plan.filters, kernel.rows), 32 * kernel.rows);
    const Partition partition = {row_step, col_step, ceil_div(plan.filters, row_step),
                                 ceil_div(plan.taps, col_step)};
    const index_t wanted = ceil_div(enough_tasks, partition.blocks() * plan.groups);
    const index_t chunks =
        std::clamp(ceil_div(pixels, smallest_chunk), index_t{1}, std::max(index_t{1}, wanted));
    return {partition, chunks, ceil_div(pixels, chunks)};
}

/// to = the sum of the chunks' results, in the order of the chunks.
template <typename T>
void add_chunks(const Kernels<T>& kernel, const T* sums, index_t chunks, index_t size, T* to) {
    constexpr index_t grain = 4096;
    parallel_ranges(size, grain, static_cast<double>(chunks), [&](index_t begin, index_t end) {
        std::copy(sums + begin, sums + end, to + begin);
        for (index_t chunk = 1; chunk < chunks; ++chunk) {
            kernel.add(end - begin, sums + chunk * size + begin, to + begin);
        }
    });
}

}  // namespace

Shape4 conv2d_output_shape(const Shape4& x, const Conv2d& conv) {
    validate(x, "x");
    validate(conv.window, x.h, x.w);
    if (conv.groups < 1 || x.c < 1 || conv.filters < 1 || x.c % conv.groups != 0 ||
        conv.filters % conv.groups != 0) {
        throw std::invalid_argument(
            "groups " + std::to_string(conv.groups) + " must divide the " + std::to_string(x.c) +
            " channels and the " + std::to_string(conv.filters) + " filters");
    }
    const Shape4 y = {x.n, conv.filters, conv.window.out_h(x.h), conv.window.out_w(x.w)};
    validate(y, "the output");
    return y;
}

template <typename T>
void conv2d(ImageView<const T> x, const T* weight, const T* bias, const Conv2d& conv,
            ImageView<T> y) {
    const Plan plan(x.shape, conv);
    require_shape(y.shape, plan.y, "y");
    const Kernels<T>& kernel = kernels<T>();
    const index_t pixels = plan.y.n * plan.y.plane();
    const Partition cut = gemm::partition(kernel, plan.filters, pixels, plan.taps);
    for (index_t group = 0; group < plan.groups; ++group) {
        const index_t filter = group * plan.filters;
        const gemm::PackedLeft<T> left(
            kernel, {weight + filter * plan.taps, plan.filters, plan.taps, 1}, plan.taps);
        const double work = plan.multiply_adds() / static_cast<double>(plan.groups);
        parallel_for(cut.blocks(), work, [&](index_t i) {
            gemm::RightWindows<T> right(kernel, plan.windows(x.data, group));
            gemm::StorePixels<T> write(kernel, y.data + filter * plan.y.plane(), plan.y.image(),
                                       plan.y.plane(), bias != nullptr ? bias + filter : nullptr);
            gemm::multiply_block(kernel, cut.block(i, plan.filters, pixels, plan.taps), left,
                                 right, write);
        });
    }
}

template <typename T>
void conv2d_input_grad(ImageView<const T> dy, const T* weight, const Conv2d& conv,
                       ImageView<T> dx) {
    const Plan plan(dx.shape, conv);
    require_shape(dy.shape, plan.y, "dy");
    if (input_grad_is_convolution(plan.window)) {
        const Buffer<T> rotated = rotate_weights(weight, plan);
        conv2d<T>(dy, rotated.data(), nullptr, input_grad_convolution(plan), dx);
    } else {
        input_grad_by_col2im(dy, weight, plan, dx);
    }
}

template <typename T>
void conv2d_weight_grad(ImageView<const T> dy, ImageView<const T> x, const Conv2d& conv,
                        T* dweight) {
    const Plan plan(x.shape, conv);
    require_shape(dy.shape, plan.y, "dy");
    const Kernels<T>& kernel = kernels<T>();
    const index_t pixels = plan.y.n * plan.y.plane();
    const index_t group_size = plan.filters * plan.taps, size = plan.groups * group_size;
    if (pixels == 0) {
        std::fill_n(dweight, size, T{0});
        return;
    }
    const WeightGradCut cut = cut_weight_grad(kernel, plan);
    const Buffer<T> sums(cut.chunks > 1 ? cut.chunks * size : 0);
    const index_t blocks = cut.partition.blocks();
    parallel_for(cut.chunks * plan.groups * blocks, plan.multiply_adds(), [&](index_t i) {
        const index_t chunk = i / (plan.groups * blocks), group = i / blocks % plan.groups;
        Block block = cut.partition.block(i % blocks, plan.filters, plan.taps, pixels);
        block.depth = chunk * cut.chunk_pixels;
        block.depth_end = std::min(pixels, block.depth + cut.chunk_pixels);
        const gemm::LeftPixels<T> left(
            kernel, dy.data + group * plan.filters * plan.y.plane(), plan.filters,
            plan.y.image(), plan.y.plane());
        gemm::RightTaps<T> right(kernel, plan.windows(x.data, group));
        T* to = cut.chunks > 1 ? sums.data() + chunk * size : dweight;
        gemm::StoreMatrix<T> write(kernel, to + group * group_size, plan.taps);
        gemm::multiply_block(kernel, block, left, right, write);
    });
    if (cut.chunks > 1) add_chunks(kernel, sums.data(), cut.chunks, size, dweight);
}

template <typename T>
void conv2d_bias_grad(ImageView<const T> dy, T* dbias) {
    const Kernels<T>& kernel = kernels<T>();
    const Shape4& shape = dy.shape;
    parallel_for(shape.c, static_cast<double>(shape.size()), [&](index_t f) {
        double sum = 0;
        for (index_t n = 0; n < shape.n; ++n) {
            sum += kernel.sum(shape.plane(), dy.data + n * shape.image() + f * shape.plane());
        }
        dbias[f] = static_cast<T>(sum);
    });
}

#define POCKETCNN_INSTANTIATE(T)                                                              \
    template void conv2d(ImageView<const T>, const T*, const T*, const Conv2d&, ImageView<T>); \
    template void conv2d_input_grad(ImageView<const T>, const T*, const Conv2d&, ImageView<T>); \
    template void conv2d_weight_grad(ImageView<const T>, ImageView<const T>, const Conv2d&, T*); \
    template void conv2d_bias_grad(ImageView<const T>, T*);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn
