#include <pocketcnn/pool2d.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "pool2d_blocks.h"
#include "pool2d_padded.h"
#include "runtime/isa.h"
#include "runtime/memory_pool.h"

namespace pocketcnn {
namespace {

/// A window that begins in the padding may skip an input shorter than the dilation. Its starts
/// repeat modulo the dilation.
void require_inside_taps(const PoolAxis& axis, const char* name) {
    if (axis.dilation <= axis.size) return;
    const index_t period = axis.dilation / std::gcd(axis.stride, axis.dilation);
    const index_t count = std::min({axis.out, ceil_div(axis.pad, axis.stride), period});
    for (index_t o = 0; o < count; ++o) {
        const PoolAxis::Range range = axis.inside(o);
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

/// Whether every index into a plane fits its type.
template <typename Place>
void require_places(const Shape4& shape) {
    if (shape.plane() > std::numeric_limits<Place>::max()) {
        throw std::invalid_argument("a plane of " + std::to_string(shape.plane()) +
                                    " elements is too large");
    }
}

/// What a topic has for places of this type.
template <typename Place, typename Topic>
const auto& of_places(const Topic& topic) {
    if constexpr (std::is_same_v<Place, index_t>) {
        return topic.wide;
    } else {
        return topic.narrow;
    }
}

/// Number of elements in the average of a window at o, along one axis.
index_t average_length(const PoolAxis& axis, index_t o, bool count_include_pad) {
    const PoolAxis::Range range = axis.inside(o);
    return count_include_pad ? axis.padded_length(o) : range.last - range.first;
}

/// Whether there is one window along the axis, and it sees the whole axis.
bool is_global(const PoolAxis& axis) {
    const PoolAxis::Range range = axis.inside(0);
    return axis.out == 1 && range.first == 0 && range.last == axis.size;
}

/// The same for both axes.
bool is_global(const PoolAxes& a) {
    return is_global(a.y) && is_global(a.x);
}

/// Number of elements in the average of the window (oy, ox).
template <typename T>
T divisor(const PoolAxes& a, index_t oy, index_t ox, bool count_include_pad) {
    return static_cast<T>(average_length(a.y, oy, count_include_pad) *
                          average_length(a.x, ox, count_include_pad));
}

/// The divisors along one axis, and some more readable elements.
template <typename T>
Buffer<T> average_lengths(const PoolAxis& axis, bool count_include_pad) {
    Buffer<T> lengths(axis.out + kPackSlack);
    std::fill_n(lengths.data() + axis.out, kPackSlack, T{1});
    for (index_t o = 0; o < axis.out; ++o) {
        lengths[o] = static_cast<T>(average_length(axis, o, count_include_pad));
    }
    return lengths;
}

}  // namespace

Shape4 pool2d_output_shape(const Shape4& x, const Pool2d& pool) {
    validate(x, "x");
    validate(pool.window, x.h, x.w, pool.ceil_mode);
    const Window2d& w = pool.window;
    for (const index_t pad : {w.pad_top, w.pad_bottom}) require_smaller(pad, w.span_h(), "height");
    for (const index_t pad : {w.pad_left, w.pad_right}) require_smaller(pad, w.span_w(), "width");
    const PoolAxes a = pool_axes(x, pool);
    const Shape4 y = {x.n, x.c, a.y.out, a.x.out};
    validate(y, "the output");
    if (y.size() == 0) return y;
    require_inside_taps(a.y, "height");
    require_inside_taps(a.x, "width");
    return y;
}

namespace {

/// Calls body(planes, their windows, the first plane) for all planes with their padding written
/// out.
template <typename T, typename Body>
void for_padded_planes(const Shape4& x, const Shape4& y, const PoolAxes& a, const T* data,
                       T padding, Body&& body) {
    for_plane_ranges(x, y.plane() * a.y.kernel * a.x.kernel, [&](index_t i, index_t end) {
        PaddedPlanes<T> planes(a, padding);
        while (i < end) {
            heed_interrupt();
            const index_t count = std::min(end - i, planes.most());
            planes.copy(data + i * x.plane(), count);
            body(planes, planes.windows(count, (end - i) * y.plane()), i);
            i += count;
        }
    });
}

/// Padding is never larger than an element, but as large as those that are the lowest number: then
/// the first element of the window is the first maximum.
template <typename T, typename Place>
void max_pool_padded(ImageView<const T> x, const PoolAxes& a, ImageView<T> y, Place* argmax) {
    constexpr T lowest = -std::numeric_limits<T>::infinity();
    const std::vector<index_t> places = PaddedPlanes<T>(a, lowest).places();
    const auto max_pool = of_places<Place>(kernels<T>().max_pool);
    const index_t out = y.shape.plane();
    const auto first_of = [&](index_t window) {
        const index_t oy = window % out / a.x.out, ox = window % a.x.out;
        return a.y.inside(oy).first * a.x.size + a.x.inside(ox).first;
    };
    for_padded_planes(x.shape, y.shape, a, x.data, lowest,
                      [&](const PaddedPlanes<T>& planes, const PoolBlock& windows, index_t i) {
                          Place* place = argmax + i * out;
                          max_pool(windows, planes.data(), 0, y.data + i * out, place);
                          for (index_t w = 0; w < windows.planes * out; ++w) {
                              const index_t own = places[static_cast<std::size_t>(place[w])];
                              place[w] = static_cast<Place>(own >= 0 ? own : first_of(w));
                          }
                      });
}

template <typename T>
void avg_pool_padded(ImageView<const T> x, const PoolAxes& a, bool count_include_pad,
                     ImageView<T> y) {
    const index_t out = y.shape.plane();
    const Buffer<T> lengths(out);
    for (index_t o = 0; o < out; ++o) {
        lengths[o] = divisor<T>(a, o / a.x.out, o % a.x.out, count_include_pad);
    }
    const auto average = kernels<T>().average_pool.windows;
    for_padded_planes(x.shape, y.shape, a, x.data, T{0},
                      [&](const PaddedPlanes<T>& planes, const PoolBlock& windows, index_t i) {
                          T* to = y.data + i * out;
                          average(windows, planes.data(), T{1}, to);
                          for (index_t p = 0; p < windows.planes; ++p, to += out) {
                              for (index_t o = 0; o < out; ++o) to[o] /= lengths[o];
                          }
                      });
}

}  // namespace

template <typename T, typename Place>
void max_pool2d(ImageView<const T> x, const Pool2d& pool, ImageView<T> y, Place* argmax) {
    require_shape(y.shape, pool2d_output_shape(x.shape, pool), "y");
    require_places<Place>(x.shape);
    if (y.shape.size() == 0) return;
    const PoolAxes a = pool_axes(x.shape, pool);
    const index_t plane = x.shape.plane();
    const MaxPoolKernels<T>& max_pooling = kernels<T>().max_pool;
    // Of a block of one window, one lane alone would work.
    if (is_global(a) && a.y.dilation == 1 && a.x.dilation == 1) {
        for_plane_ranges(x.shape, plane, [&](index_t i, index_t end) {
            for (; i < end; ++i) {
                const index_t place = max_pooling.first_maximum(plane, x.data + i * plane);
                y.data[i] = x.data[i * plane + place];
                argmax[i] = static_cast<Place>(place);
            }
        });
        return;
    }
    if (PaddedPlanes<T>::pay(a)) return max_pool_padded(x, a, y, argmax);
    const auto max_pool = of_places<Place>(max_pooling);
    for_pool_blocks(
        x.shape, y.shape, pool, blocks_of(a),
        [&](const PlacedBlock& block, const PoolBlock& windows, index_t from, index_t to) {
            max_pool(windows, x.data + from, block.place, y.data + to, argmax + to);
        });
}

template <typename T, typename Place>
void max_pool2d_backward(ImageView<const T> dy, const Place* argmax, ImageView<T> dx) {
    validate(dx.shape, "dx");
    if (dy.shape.n != dx.shape.n || dy.shape.c != dx.shape.c) {
        throw std::invalid_argument("dy and dx differ in batch or channels");
    }
    const index_t plane = dx.shape.plane(), out_plane = dy.shape.plane();
    const Unpool<T, Place>& unpool = of_places<Place>(kernels<T>().unpool);
    std::atomic<bool> outside{false};
    // Most likely the windows were 2x2. That is assumed until a row contradicts it, which is faster
    // than value by value: docs/measurements.md#pooling.
    constexpr index_t most = std::numeric_limits<std::int32_t>::max();
    const bool halved =
        dx.shape.h == 2 * dy.shape.h && dx.shape.w == 2 * dy.shape.w && plane <= most;
    for_plane_ranges(dx.shape, plane, [&](index_t i, index_t end) {
        bool known = halved;
        for (; i < end; ++i) {
            const index_t o = i * out_plane;
            const HalvedPlane windows = {dy.shape.h, dy.shape.w, dy.shape.size() - o,
                                         (end - i) * plane};
            known = known &&
                    unpool.unpool_halved(windows, dy.data + o, argmax + o, dx.data + i * plane);
            if (known) continue;
            if (!unpool.scatter(out_plane, dy.data + o, argmax + o, plane, dx.data + i * plane)) {
                outside = true;
            }
        }
    });
    if (outside) {
        throw std::invalid_argument("argmax has an index outside 0.." + std::to_string(plane - 1));
    }
}

namespace {

void require_undilated(const Window2d& window) {
    if (window.dilation_h != 1 || window.dilation_w != 1) {
        throw std::invalid_argument("average pooling takes no dilation");
    }
}

}  // namespace

template <typename T>
void avg_pool2d(ImageView<const T> x, const Pool2d& pool, bool count_include_pad, ImageView<T> y) {
    require_undilated(pool.window);
    require_shape(y.shape, pool2d_output_shape(x.shape, pool), "y");
    if (y.shape.size() == 0) return;
    const PoolAxes a = pool_axes(x.shape, pool);
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    // Faster than blocks of one window: docs/measurements.md#pooling.
    if (is_global(a)) {
        const index_t plane = x.shape.plane();
        const T length = divisor<T>(a, 0, 0, count_include_pad);
        for_plane_ranges(x.shape, plane, [&](index_t i, index_t end) {
            kernels.average_pool.planes(end - i, plane, x.data + i * plane, length, y.data + i);
        });
        return;
    }
    if (PaddedPlanes<T>::pay(a)) return avg_pool_padded(x, a, count_include_pad, y);
    for_pool_blocks(
        x.shape, y.shape, pool, blocks_of(a),
        [&](const PlacedBlock& block, const PoolBlock& windows, index_t from, index_t to) {
            // Windows of a block are clipped alike, so one divisor is right for all of them.
            kernels.average_pool.windows(windows, x.data + from,
                                         divisor<T>(a, block.oy, block.ox, count_include_pad),
                                         y.data + to);
        });
}

template <typename T>
void avg_pool2d_backward(ImageView<const T> dy, const Pool2d& pool, bool count_include_pad,
                         ImageView<T> dx) {
    require_undilated(pool.window);
    require_shape(dy.shape, pool2d_output_shape(dx.shape, pool), "dy");
    if (dy.shape.size() == 0) return;
    const PoolAxes a = pool_axes(dx.shape, pool);
    const index_t plane = dx.shape.plane(), out_plane = dy.shape.plane();
    // Global pooling is a fill, which is faster than adding shares: docs/measurements.md#pooling.
    if (is_global(a)) {
        const T length = divisor<T>(a, 0, 0, count_include_pad);
        for_plane_ranges(dx.shape, plane, [&](index_t i, index_t end) {
            for (; i < end; ++i) std::fill_n(dx.data + i * plane, plane, dy.data[i] / length);
        });
        return;
    }
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const Buffer<T> row_lengths = average_lengths<T>(a.y, count_include_pad);
    const Buffer<T> col_lengths = average_lengths<T>(a.x, count_include_pad);
    // Room before the shares: as many as there are windows that can overlap an element.
    const index_t margin = ceil_div(a.x.kernel, a.x.stride);
    const index_t covering = std::max(a.x.out, (a.x.size + a.x.pad) / a.x.stride + 1);
    for_plane_ranges(dx.shape, plane, [&](index_t i, index_t end) {
        const Buffer<T> shares(margin + covering + kPackSlack);
        std::fill_n(shares.data(), margin + covering + kPackSlack, T{0});
        AveragePlane<T> geometry = {.rows = a.y.size,
                                    .cols = a.x.size,
                                    .out_rows = a.y.out,
                                    .out_cols = a.x.out,
                                    .taps_y = a.y.kernel,
                                    .taps_x = a.x.kernel,
                                    .stride_y = a.y.stride,
                                    .stride_x = a.x.stride,
                                    .pad_y = a.y.pad,
                                    .pad_x = a.x.pad,
                                    .row_lengths = row_lengths.data(),
                                    .col_lengths = col_lengths.data(),
                                    .shares = shares.data() + margin,
                                    .dy_room = 0,
                                    .dx_room = 0};
        for (; i < end; ++i) {
            geometry.dy_room = dy.shape.size() - i * out_plane;
            geometry.dx_room = (end - i) * plane;
            kernels.average_pool.backward(geometry, dy.data + i * out_plane, dx.data + i * plane);
        }
    });
}

#define POCKETCNN_INSTANTIATE(T)                                                              \
    template void max_pool2d(ImageView<const T>, const Pool2d&, ImageView<T>, index_t*);      \
    template void max_pool2d(ImageView<const T>, const Pool2d&, ImageView<T>, std::int32_t*); \
    template void max_pool2d_backward(ImageView<const T>, const index_t*, ImageView<T>);      \
    template void max_pool2d_backward(ImageView<const T>, const std::int32_t*, ImageView<T>); \
    template void avg_pool2d(ImageView<const T>, const Pool2d&, bool, ImageView<T>);          \
    template void avg_pool2d_backward(ImageView<const T>, const Pool2d&, bool, ImageView<T>);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn
