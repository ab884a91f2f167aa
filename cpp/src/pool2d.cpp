#include <pocketcnn/pool2d.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <stdexcept>
#include <string>

#include "runtime/parallel.h"

namespace pocketcnn {
namespace {

/// One axis of a pooling window.
struct Axis {
    index_t size, kernel, stride, pad, pad_after, dilation, out;

    /// The taps of output position o that lie inside the input: first and one past the last,
    /// as input positions dilation apart. Empty where first >= last.
    struct Range {
        index_t first, last;
    };
    Range inside(index_t o) const {
        const index_t start = o * stride - pad;
        const index_t skipped = start < 0 ? ceil_div(-start, dilation) : 0;
        return {start + skipped * dilation, std::min(size, start + dilation * (kernel - 1) + 1)};
    }
    /// Length of the window inside the padded input.
    index_t padded_length(index_t o) const {
        const index_t start = o * stride - pad;
        return std::min(start + kernel, size + pad_after) - start;
    }
};

index_t output_size(index_t size, index_t span, index_t stride, index_t pad, index_t pad_after,
                    bool ceil_mode) {
    const index_t room = size + pad + pad_after - span;
    index_t out = (ceil_mode ? ceil_div(room, stride) : room / stride) + 1;
    if (ceil_mode && (out - 1) * stride >= size + pad) --out;
    return out;
}

struct Axes {
    Axis y, x;
};

Axes axes(const Shape4& in, const Pool2d& pool) {
    const Window2d& w = pool.window;
    return {{in.h, w.kernel_h, w.stride_h, w.pad_top, w.pad_bottom, w.dilation_h,
             output_size(in.h, w.span_h(), w.stride_h, w.pad_top, w.pad_bottom, pool.ceil_mode)},
            {in.w, w.kernel_w, w.stride_w, w.pad_left, w.pad_right, w.dilation_w,
             output_size(in.w, w.span_w(), w.stride_w, w.pad_left, w.pad_right, pool.ceil_mode)}};
}

void require_inside_taps(const Axis& axis, const char* name) {
    for (index_t o = 0; o < axis.out; ++o) {
        const Axis::Range range = axis.inside(o);
        if (range.first >= range.last) {
            throw std::invalid_argument(std::string(name) + ": a dilated window sees only padding");
        }
    }
}

void require_smaller(index_t pad, index_t span, const char* name) {
    if (pad >= span) {
        throw std::invalid_argument(std::string(name) + ": padding " + std::to_string(pad) +
                                    " must be smaller than the kernel's span " +
                                    std::to_string(span));
    }
}

void require_shape(const Shape4& given, const Shape4& wanted, const char* name) {
    if (given != wanted) {
        throw std::invalid_argument(std::string(name) +
                                    " does not have the shape that the pooling gives");
    }
}

/// Runs body(plane index) over the n*c planes; `work` is elements touched in all.
template <typename Body>
void for_planes(const Shape4& shape, double work, Body&& body) {
    parallel_for(shape.n * shape.c, work, body);
}

template <typename T>
struct Maximum {
    T value;
    index_t place;
};

/// The first maximum of one window, in row-major order; the first NaN where there is one.
template <typename T>
Maximum<T> window_maximum(const T* plane, const Axes& a, Axis::Range ys, Axis::Range xs) {
    index_t place = ys.first * a.x.size + xs.first;
    T best = plane[place];
    for (index_t y = ys.first; y < ys.last; y += a.y.dilation) {
        for (index_t x = xs.first; x < xs.last; x += a.x.dilation) {
            const T value = plane[y * a.x.size + x];
            // !(value <= best) is also true for NaN; a NaN that is already best stays.
            if (!(value <= best) && best == best) {
                best = value;
                place = y * a.x.size + x;
            }
        }
    }
    return {best, place};
}

/// Calls body(output index, ys, xs, divisor) for the windows of one plane.
template <typename Body>
void for_windows(const Axes& a, bool count_include_pad, Body&& body) {
    for (index_t oy = 0; oy < a.y.out; ++oy) {
        const Axis::Range ys = a.y.inside(oy);
        for (index_t ox = 0; ox < a.x.out; ++ox) {
            const Axis::Range xs = a.x.inside(ox);
            const index_t divisor = count_include_pad
                                        ? a.y.padded_length(oy) * a.x.padded_length(ox)
                                        : (ys.last - ys.first) * (xs.last - xs.first);
            body(oy * a.x.out + ox, ys, xs, divisor);
        }
    }
}

}  // namespace

Shape4 pool2d_output_shape(const Shape4& x, const Pool2d& pool) {
    validate(x, "x");
    validate(pool.window, x.h, x.w);
    const Window2d& w = pool.window;
    for (const index_t pad : {w.pad_top, w.pad_bottom}) require_smaller(pad, w.span_h(), "height");
    for (const index_t pad : {w.pad_left, w.pad_right}) require_smaller(pad, w.span_w(), "width");
    const Axes a = axes(x, pool);
    const Shape4 y = {x.n, x.c, a.y.out, a.x.out};
    validate(y, "the output");
    if (w.dilation_h > 1) require_inside_taps(a.y, "height");
    if (w.dilation_w > 1) require_inside_taps(a.x, "width");
    return y;
}

template <typename T>
void max_pool2d(ImageView<const T> x, const Pool2d& pool, ImageView<T> y, index_t* argmax) {
    require_shape(y.shape, pool2d_output_shape(x.shape, pool), "y");
    const Axes a = axes(x.shape, pool);
    const index_t out_plane = y.shape.plane();
    const double work = static_cast<double>(y.shape.size() * pool.window.taps());
    for_planes(x.shape, work, [&](index_t i) {
        const T* plane = x.data + i * x.shape.plane();
        index_t at = i * out_plane;
        for (index_t oy = 0; oy < a.y.out; ++oy) {
            const Axis::Range ys = a.y.inside(oy);
            for (index_t ox = 0; ox < a.x.out; ++ox, ++at) {
                const Maximum<T> found = window_maximum(plane, a, ys, a.x.inside(ox));
                y.data[at] = found.value;
                argmax[at] = found.place;
            }
        }
    });
}

template <typename T>
void max_pool2d_grad(ImageView<const T> dy, const index_t* argmax, ImageView<T> dx) {
    validate(dx.shape, "dx");
    if (dy.shape.n != dx.shape.n || dy.shape.c != dx.shape.c) {
        throw std::invalid_argument("dy and dx differ in batch or channels");
    }
    const index_t plane = dx.shape.plane(), out_plane = dy.shape.plane();
    std::atomic<bool> outside{false};
    for_planes(dx.shape, static_cast<double>(dx.shape.size()), [&](index_t i) {
        T* to = dx.data + i * plane;
        std::fill_n(to, plane, T{0});
        for (index_t o = i * out_plane; o < (i + 1) * out_plane; ++o) {
            const index_t place = argmax[o];
            if (place < 0 || place >= plane) {
                outside = true;
                return;
            }
            to[place] += dy.data[o];
        }
    });
    if (outside) {
        throw std::invalid_argument("argmax has an index outside 0.." + std::to_string(plane - 1));
    }
}

template <typename T>
void avg_pool2d(ImageView<const T> x, const Pool2d& pool, bool count_include_pad, ImageView<T> y) {
    require_shape(y.shape, pool2d_output_shape(x.shape, pool), "y");
    const Axes a = axes(x.shape, pool);
    const double work = static_cast<double>(y.shape.size() * pool.window.taps());
    for_planes(x.shape, work, [&](index_t i) {
        const T* plane = x.data + i * x.shape.plane();
        T* out = y.data + i * y.shape.plane();
        for_windows(a, count_include_pad,
                    [&](index_t o, Axis::Range ys, Axis::Range xs, index_t divisor) {
                        T sum = 0;
                        for (index_t row = ys.first; row < ys.last; ++row) {
                            for (index_t col = xs.first; col < xs.last; ++col) {
                                sum += plane[row * a.x.size + col];
                            }
                        }
                        out[o] = sum / static_cast<T>(divisor);
                    });
    });
}

template <typename T>
void avg_pool2d_grad(ImageView<const T> dy, const Pool2d& pool, bool count_include_pad,
                     ImageView<T> dx) {
    require_shape(dy.shape, pool2d_output_shape(dx.shape, pool), "dy");
    const Axes a = axes(dx.shape, pool);
    const double work = static_cast<double>(dy.shape.size() * pool.window.taps());
    for_planes(dx.shape, work, [&](index_t i) {
        T* plane = dx.data + i * dx.shape.plane();
        const T* from = dy.data + i * dy.shape.plane();
        std::fill_n(plane, dx.shape.plane(), T{0});
        for_windows(a, count_include_pad,
                    [&](index_t o, Axis::Range ys, Axis::Range xs, index_t divisor) {
                        const T share = from[o] / static_cast<T>(divisor);
                        for (index_t row = ys.first; row < ys.last; ++row) {
                            for (index_t col = xs.first; col < xs.last; ++col) {
                                plane[row * a.x.size + col] += share;
                            }
                        }
                    });
    });
}

#define POCKETCNN_INSTANTIATE(T)                                                         \
    template void max_pool2d(ImageView<const T>, const Pool2d&, ImageView<T>, index_t*); \
    template void max_pool2d_grad(ImageView<const T>, const index_t*, ImageView<T>);     \
    template void avg_pool2d(ImageView<const T>, const Pool2d&, bool, ImageView<T>);     \
    template void avg_pool2d_grad(ImageView<const T>, const Pool2d&, bool, ImageView<T>);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn
