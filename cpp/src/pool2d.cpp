#include <pocketcnn/pool2d.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "runtime/interrupt.h"
#include "runtime/isa.h"
#include "runtime/memory_pool.h"
#include "runtime/parallel.h"

namespace pocketcnn {
namespace {

/// One axis of a pooling window.
struct PoolAxis {
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

struct PoolAxes {
    PoolAxis y, x;
};

PoolAxes axes(const Shape4& in, const Pool2d& pool) {
    const Window2d& w = pool.window;
    return {{in.h, w.kernel_h, w.stride_h, w.pad_top, w.pad_bottom, w.dilation_h,
             output_size(in.h, w.span_h(), w.stride_h, w.pad_top, w.pad_bottom, pool.ceil_mode)},
            {in.w, w.kernel_w, w.stride_w, w.pad_left, w.pad_right, w.dilation_w,
             output_size(in.w, w.span_w(), w.stride_w, w.pad_left, w.pad_right, pool.ceil_mode)}};
}

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

/// Elements per task. Planes are often far smaller, and starting a task costs about as much as
/// pooling a hundred elements.
constexpr index_t kPoolGrain = 1 << 15;

/// Runs body(plane, end) for ranges of the n*c planes; `work` is the number of elements touched per
/// plane.
template <typename Body>
void for_plane_ranges(const Shape4& shape, index_t work, Body&& body) {
    parallel_ranges(shape.n * shape.c,
                    std::max<index_t>(1, kPoolGrain / std::max<index_t>(1, work)),
                    static_cast<double>(work), body);
}

/// Where the windows of one plane are: those of [first, last) lie inside the axis.
struct Inside {
    index_t first, last;

    explicit Inside(const PoolAxis& axis) {
        const index_t room = axis.size - axis.dilation * (axis.kernel - 1) - 1 + axis.pad;
        first = std::min(axis.out, ceil_div(axis.pad, axis.stride));
        last = room < 0 ? first : std::clamp(room / axis.stride + 1, first, axis.out);
    }
};

/// Windows of a plane, from (oy, ox) on, that lie inside the image or are clipped alike.
struct PlacedBlock {
    index_t oy, ox;
    index_t place;  ///< of the first tap
    PoolBlock windows;
};

/// Blocks that cover a plane. Whole vectors may be written past the end of a row, so rows come in
/// order, and the columns at the image's edges come last.
std::vector<PlacedBlock> blocks_of(const PoolAxes& a) {
    const PoolAxis &y = a.y, &x = a.x;
    const Inside whole_rows(y), whole_cols(x);
    std::vector<PlacedBlock> blocks;
    const auto block = [&](index_t oy, index_t rows, index_t ox, index_t count) {
        if (rows < 1 || count < 1) return;
        const PoolAxis::Range ys = y.inside(oy), xs = x.inside(ox);
        blocks.push_back({oy, ox, ys.first * x.size + xs.first,
                          PoolBlock{.planes = 1,
                                    .x_plane = y.size * x.size,
                                    .y_plane = y.out * x.out,
                                    .rows = rows,
                                    .count = count,
                                    .row_step = y.stride * x.size,
                                    .stride = x.stride,
                                    .taps_y = ceil_div(ys.last - ys.first, y.dilation),
                                    .taps_x = ceil_div(xs.last - xs.first, x.dilation),
                                    .step_y = y.dilation * x.size,
                                    .step_x = x.dilation,
                                    .y_step = x.out,
                                    .x_room = 0,
                                    .y_room = 0}});
    };
    // A call may be interrupted between two blocks, as none of them takes long.
    constexpr index_t much = 1 << 24;
    const index_t most_rows = ceil_div(much, std::max<index_t>(1, x.out * x.kernel * y.kernel));
    const auto rows_of_blocks = [&](index_t ox, index_t count) {
        for (index_t oy = 0; oy < whole_rows.first; ++oy) block(oy, 1, ox, count);
        for (index_t oy = whole_rows.first; oy < whole_rows.last; oy += most_rows) {
            block(oy, std::min(most_rows, whole_rows.last - oy), ox, count);
        }
        for (index_t oy = whole_rows.last; oy < y.out; ++oy) block(oy, 1, ox, count);
    };
    rows_of_blocks(whole_cols.first, whole_cols.last - whole_cols.first);
    for (index_t ox = 0; ox < whole_cols.first; ++ox) rows_of_blocks(ox, 1);
    for (index_t ox = whole_cols.last; ox < x.out; ++ox) rows_of_blocks(ox, 1);
    return blocks;
}

/// Calls body(block, its windows, offset of the first tap in x, of the first window in y) for the
/// blocks of the planes; the windows say how much can be read and written from there on. If one
/// block is the whole plane, body is called once for all planes of a task, because with small
/// planes each call costs more than the pooling. Otherwise planes are not joined: a vector that
/// runs past a plane's end could overwrite results.
template <typename Body>
void for_blocks(const Shape4& x, const Shape4& y, const Pool2d& pool,
                const std::vector<PlacedBlock>& blocks, Body&& body) {
    for_plane_ranges(x, y.plane() * pool.window.taps(), [&](index_t i, index_t end) {
        const index_t together = blocks.size() == 1 ? end - i : 1;
        for (; i < end; i += together) {
            for (const PlacedBlock& placed : blocks) {
                const index_t o = placed.oy * y.w + placed.ox;
                PoolBlock windows = placed.windows;
                if (blocks.size() > 1) heed_interrupt();
                windows.planes = together;
                windows.x_room = x.size() - i * x.plane() - placed.place;
                windows.y_room = (end - i) * y.plane() - o;
                body(placed, windows, i * x.plane() + placed.place, i * y.plane() + o);
            }
        }
    });
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
    const PoolAxes a = axes(x, pool);
    const Shape4 y = {x.n, x.c, a.y.out, a.x.out};
    validate(y, "the output");
    if (y.size() == 0) return y;
    require_inside_taps(a.y, "height");
    require_inside_taps(a.x, "width");
    return y;
}

template <typename T, typename Place>
void max_pool2d(ImageView<const T> x, const Pool2d& pool, ImageView<T> y, Place* argmax) {
    require_shape(y.shape, pool2d_output_shape(x.shape, pool), "y");
    require_places<Place>(x.shape);
    if (y.shape.size() == 0) return;
    const PoolAxes a = axes(x.shape, pool);
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
    const auto max_pool = of_places<Place>(max_pooling);
    for_blocks(x.shape, y.shape, pool, blocks_of(a),
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
    const PoolAxes a = axes(x.shape, pool);
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
    for_blocks(x.shape, y.shape, pool, blocks_of(a),
               [&](const PlacedBlock& block, const PoolBlock& windows, index_t from, index_t to) {
                   // Windows of a block are clipped alike, so one divisor is right for all of them.
                   kernels.average_pool.windows(
                       windows, x.data + from, divisor<T>(a, block.oy, block.ox, count_include_pad),
                       y.data + to);
               });
}

template <typename T>
void avg_pool2d_backward(ImageView<const T> dy, const Pool2d& pool, bool count_include_pad,
                         ImageView<T> dx) {
    require_undilated(pool.window);
    require_shape(dy.shape, pool2d_output_shape(dx.shape, pool), "dy");
    if (dy.shape.size() == 0) return;
    const PoolAxes a = axes(dx.shape, pool);
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
