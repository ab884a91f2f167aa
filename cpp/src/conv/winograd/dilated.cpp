#include "conv/winograd/dilated.h"

#include <algorithm>

#include "conv/ways.h"
#include "conv/winograd/winograd.h"
#include "runtime/memory_pool.h"
#include "runtime/parallel.h"

namespace pocketcnn::winograd {
namespace {

/// Calls body(offset in the images or -1, offset in the split images, phase of the columns) for
/// every split row of one channel of one image; `top` is the padding above.
template <typename Body>
void for_split_rows(const Shape4& images, const Shape4& split, const Window2d& w, index_t top,
                    index_t n, index_t c, Body&& body) {
    for (index_t phase = 0; phase < w.dilation_h * w.dilation_w; ++phase) {
        const index_t image = n * w.dilation_h * w.dilation_w + phase;
        for (index_t row = 0; row < split.h; ++row) {
            const index_t y = row * w.dilation_h + phase / w.dilation_w - top;
            body(y >= 0 && y < images.h ? ((n * images.c + c) * images.h + y) * images.w : -1,
                 ((image * split.c + c) * split.h + row) * split.w, phase % w.dilation_w);
        }
    }
}

/// Columns [begin, end) of a row of the split images, those that exist in the original; the first
/// of them is column `first` there.
struct SplitColumns {
    SplitColumns(index_t width, index_t split_width, index_t dilation, index_t phase, index_t left)
        : begin(phase < left ? ceil_div(left - phase, dilation) : 0),
          first(begin * dilation + phase - left),
          end(first < width ? std::min(split_width, begin + ceil_div(width - first, dilation))
                            : 0) {}
    index_t begin, first, end;
};

/// Copies images to split images of the shape `split`, of which `top` rows and `left` columns are
/// padding.
template <typename T>
Buffer<T> split_images(const Shape4& images, const Shape4& split, const Window2d& w, index_t top,
                       index_t left, const T* data) {
    Buffer<T> parts(split.size());
    parallel_for(images.n * images.c, static_cast<double>(split.size()), [&](index_t i) {
        for_split_rows(images, split, w, top, i / images.c, i % images.c,
                       [&](index_t from, index_t to, index_t phase) {
                           T* row = parts.data() + to;
                           std::fill_n(row, split.w, T{0});
                           const SplitColumns cols(images.w, split.w, w.dilation_w, phase, left);
                           if (from < 0) return;
                           const T* source = data + from + cols.first;
                           for (index_t x = cols.begin; x < cols.end; ++x) {
                               row[x] = *source;
                               source += w.dilation_w;
                           }
                       });
    });
    return parts;
}

/// The reverse; rows and columns that do not exist in the images are left out.
template <typename T>
void merge_images(const Shape4& images, const Shape4& split, const Window2d& w, index_t top,
                  index_t left, const T* parts, T* data) {
    parallel_for(images.n * images.c, static_cast<double>(split.size()), [&](index_t i) {
        for_split_rows(images, split, w, top, i / images.c, i % images.c,
                       [&](index_t to, index_t from, index_t phase) {
                           if (to < 0) return;
                           const SplitColumns cols(images.w, split.w, w.dilation_w, phase, left);
                           T* target = data + to + cols.first;
                           for (index_t x = cols.begin; x < cols.end; ++x) {
                               *target = parts[from + x];
                               target += w.dilation_w;
                           }
                       });
    });
}

/// x split as `part`, the undilated problem, sees it.
template <typename T>
Buffer<T> split_input(const conv::Problem& problem, const conv::Problem& part, const T* x) {
    const Window2d& w = problem.window;
    return split_images(problem.x, part.x, w, w.pad_top % w.dilation_h, w.pad_left % w.dilation_w,
                        x);
}

}  // namespace

template <typename T>
void forward_dilated(const conv::ForwardCall<T>& call) {
    const conv::Problem& problem = call.problem;
    const conv::Problem part = undilated(problem);
    const Buffer<T> x = split_input(problem, part, call.x), y(part.y.size());
    conv::forward_way({part, ConvAlgorithm::winograd})
        .run(conv::ForwardCall<T>{part, x.data(), call.weight, call.bias, y.data(),
                                  conv::OutputGrid(part.y), call.last});
    merge_images(problem.y, part.y, problem.window, 0, 0, y.data(), call.y);
}

template <typename T>
void input_grad_dilated(const conv::InputGradCall<T>& call) {
    const conv::Problem& problem = call.problem;
    const conv::Problem part = undilated(problem);
    const Window2d& w = problem.window;
    const Buffer<T> dy = split_images(problem.y, part.y, w, 0, 0, call.dy), dx(part.x.size());
    conv::input_grad_way({part, ConvAlgorithm::winograd})
        .run(conv::InputGradCall<T>{part, dy.data(), call.weight, dx.data()});
    merge_images(problem.x, part.x, w, w.pad_top % w.dilation_h, w.pad_left % w.dilation_w,
                 dx.data(), call.dx);
}

template <typename T>
void weight_grad_dilated(const conv::WeightGradCall<T>& call) {
    const conv::Problem& problem = call.problem;
    const conv::Problem part = undilated(problem);
    const Buffer<T> dy = split_images(problem.y, part.y, problem.window, 0, 0, call.dy);
    const Buffer<T> x = split_input(problem, part, call.x);
    conv::weight_grad_way({part, ConvAlgorithm::winograd})
        .run(conv::WeightGradCall<T>{part, dy.data(), x.data(), call.dweight});
}

#define POCKETCNN_INSTANTIATE(T)                                     \
    template void forward_dilated(const conv::ForwardCall<T>&);      \
    template void input_grad_dilated(const conv::InputGradCall<T>&); \
    template void weight_grad_dilated(const conv::WeightGradCall<T>&);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::winograd
