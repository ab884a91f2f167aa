// Average pooling and its gradient.
#include <pocketcnn/pool2d.h>

#include <algorithm>
#include <stdexcept>

#include "pool2d_blocks.h"
#include "pool2d_lanes.h"
#include "runtime/isa.h"
#include "runtime/memory_pool.h"

namespace pocketcnn {
namespace {

void require_undilated(const Window2d& window) {
    if (window.dilation_h != 1 || window.dilation_w != 1) {
        throw std::invalid_argument("average pooling takes no dilation");
    }
}

/// Number of elements in the average of a window at o, along one axis.
index_t average_length(const PoolAxis& axis, index_t o, bool count_include_pad) {
    const PoolAxis::Range range = axis.inside(o);
    return count_include_pad ? axis.padded_length(o) : range.last - range.first;
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

template <typename T>
void avg_pool_in_lanes(ImageView<const T> x, const PoolAxes& a, bool count_include_pad,
                       ImageView<T> y) {
    const LaneResults results(x.shape.w, window_taps(a.y), window_taps(a.x));
    const Buffer<T> row_lengths = average_lengths<T>(a.y, count_include_pad);
    const Buffer<T> col_lengths = average_lengths<T>(a.x, count_include_pad);
    const auto averages = kernels<T>().lane_pool.averages;
    for_lane_bands<T>(x, y, results, [&](index_t lanes) {
        return [&, sums = Buffer<T>(x.shape.w * lanes)](const LanePlanes& planes, const T* rows,
                                                        T* means, const LaneTarget& to) {
            averages(planes, rows, row_lengths.data() + to.row, col_lengths.data(), sums.data(),
                     means);
        };
    });
}

template <typename T>
void avg_pool_backward_in_lanes(ImageView<const T> dy, const PoolAxes& a, bool count_include_pad,
                                ImageView<T> dx) {
    const LaneResults results(dy.shape.w, covering_windows(a.y), covering_windows(a.x));
    const Buffer<T> row_lengths = average_lengths<T>(a.y, count_include_pad);
    const Buffer<T> col_lengths = average_lengths<T>(a.x, count_include_pad);
    const auto shares = kernels<T>().lane_pool.shares;
    for_lane_bands<T>(dy, dx, results, [&](index_t lanes) {
        return [&, sums = Buffer<T>(dy.shape.w * lanes)](const LanePlanes& planes, T* rows,
                                                         T* gradients, const LaneTarget&) {
            shares(planes, rows, row_lengths.data() + planes.first_row, col_lengths.data(),
                   sums.data(), gradients);
        };
    });
}

}  // namespace

template <typename T>
void avg_pool2d(ImageView<const T> x, const Pool2d& pool, bool count_include_pad, ImageView<T> y) {
    require_undilated(pool.window);
    require_pooled_shape(y.shape, pool2d_output_shape(x.shape, pool), "y");
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
    if (lanes_pay<T>(x.shape, a)) return avg_pool_in_lanes(x, a, count_include_pad, y);
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
    require_pooled_shape(dy.shape, pool2d_output_shape(dx.shape, pool), "dy");
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
    if (lanes_pay_backward<T>(dx.shape, a)) {
        return avg_pool_backward_in_lanes(dy, a, count_include_pad, dx);
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

#define POCKETCNN_INSTANTIATE(T)                                                     \
    template void avg_pool2d(ImageView<const T>, const Pool2d&, bool, ImageView<T>); \
    template void avg_pool2d_backward(ImageView<const T>, const Pool2d&, bool, ImageView<T>);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn
