// Where the windows of a pooling are, in blocks that are clipped alike, and the tasks of a call.
#pragma once

#include <pocketcnn/pool2d.h>

#include <algorithm>
#include <vector>

#include "kernels/pool.h"
#include "runtime/interrupt.h"
#include "runtime/parallel.h"

namespace pocketcnn {

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

inline index_t pool_output_size(index_t size, index_t span, index_t stride, index_t pad,
                                index_t pad_after, bool ceil_mode) {
    const index_t room = size + pad + pad_after - span;
    index_t out = (ceil_mode ? ceil_div(room, stride) : room / stride) + 1;
    if (ceil_mode && (out - 1) * stride >= size + pad) --out;
    return out;
}

struct PoolAxes {
    PoolAxis y, x;
};

inline PoolAxes pool_axes(const Shape4& in, const Pool2d& pool) {
    const Window2d& w = pool.window;
    return {
        {in.h, w.kernel_h, w.stride_h, w.pad_top, w.pad_bottom, w.dilation_h,
         pool_output_size(in.h, w.span_h(), w.stride_h, w.pad_top, w.pad_bottom, pool.ceil_mode)},
        {in.w, w.kernel_w, w.stride_w, w.pad_left, w.pad_right, w.dilation_w,
         pool_output_size(in.w, w.span_w(), w.stride_w, w.pad_left, w.pad_right, pool.ceil_mode)}};
}

/// Throws where an array does not have the shape that the pooling gives.
void require_pooled_shape(const Shape4& given, const Shape4& wanted, const char* name);

/// Whether there is one window along the axis, and it sees the whole axis.
inline bool is_global(const PoolAxis& axis) {
    const PoolAxis::Range range = axis.inside(0);
    return axis.out == 1 && range.first == 0 && range.last == axis.size;
}

/// The same of both axes.
inline bool is_global(const PoolAxes& a) {
    return is_global(a.y) && is_global(a.x);
}

/// Elements per task. Planes are often far smaller, and starting a task costs about as much as
/// pooling a hundred elements.
inline constexpr index_t kPoolGrain = 1 << 15;

/// Runs body(plane, end) for ranges of the n*c planes; `work` is the number of elements touched per
/// plane.
template <typename Body>
void for_plane_ranges(const Shape4& shape, index_t work, Body&& body) {
    parallel_ranges(shape.n * shape.c,
                    std::max<index_t>(1, kPoolGrain / std::max<index_t>(1, work)),
                    static_cast<double>(work), body);
}

/// Where the windows of one plane are: those of [first, last) lie inside the axis.
struct InsideWindows {
    index_t first, last;

    explicit InsideWindows(const PoolAxis& axis) {
        const index_t room = axis.size - axis.dilation * (axis.kernel - 1) - 1 + axis.pad;
        first = std::min(axis.out, ceil_div(axis.pad, axis.stride));
        last = room < 0 ? first : std::clamp(room / axis.stride + 1, first, axis.out);
    }
};

/// Whether windows hang over the edges of a plane.
inline bool clips(const PoolAxes& a) {
    const InsideWindows rows(a.y), cols(a.x);
    return rows.first > 0 || rows.last < a.y.out || cols.first > 0 || cols.last < a.x.out;
}

/// Windows of a plane, from (oy, ox) on, that lie inside the image or are clipped alike.
struct PlacedBlock {
    index_t oy, ox;
    index_t place;  ///< of the first tap
    PoolBlock windows;
};

/// Blocks that cover a plane. Whole vectors may be written past the end of a row, so rows come in
/// order, and the columns at the image's edges come last.
inline std::vector<PlacedBlock> blocks_of(const PoolAxes& a) {
    const PoolAxis &y = a.y, &x = a.x;
    const InsideWindows whole_rows(y), whole_cols(x);
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
void for_pool_blocks(const Shape4& x, const Shape4& y, const Pool2d& pool,
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

}  // namespace pocketcnn
