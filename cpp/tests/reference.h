// Every operation as naive loops in double, directly from its definition: no blocking, no packing,
// nothing shared with the library except its shapes. Sums include what a tolerance needs: the
// number of terms, and the sum of the terms' magnitudes.
#pragma once

#include <pocketcnn/conv2d.h>
#include <pocketcnn/pool2d.h>
#include <pocketcnn/types.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace pocketcnn::tests {

struct Sum {
    double value = 0;
    double magnitude = 0;
    index_t terms = 0;

    void add(double term) {
        value += term;
        magnitude += std::abs(term);
        ++terms;
    }
};
using Sums = std::vector<Sum>;

/// One axis of a sliding window.
struct WindowAxis {
    index_t size, kernel, stride, before, after, dilation;

    index_t span() const { return dilation * (kernel - 1) + 1; }
    /// Input position that tap k of output o sees; it may lie outside.
    index_t place(index_t o, index_t k) const { return o * stride - before + k * dilation; }
    bool inside(index_t o, index_t k) const { return place(o, k) >= 0 && place(o, k) < size; }
    /// Positions at which the window lies inside the padded input. In ceil mode also those where it
    /// reaches past the end by less than a stride, if it starts on the input or on the padding
    /// before it.
    index_t outputs(bool ceil_mode = false) const {
        index_t count = 0;
        while (count * stride + span() <= size + before + after) ++count;
        if (ceil_mode) {
            while (count * stride + span() < size + before + after + stride &&
                   count * stride < size + before) {
                ++count;
            }
        }
        return count;
    }
};

inline WindowAxis rows_of(const Window2d& w, index_t h) {
    return {h, w.kernel_h, w.stride_h, w.pad_top, w.pad_bottom, w.dilation_h};
}
inline WindowAxis cols_of(const Window2d& w, index_t width) {
    return {width, w.kernel_w, w.stride_w, w.pad_left, w.pad_right, w.dilation_w};
}

inline index_t offset_of(const Shape4& s, index_t n, index_t c, index_t y, index_t x) {
    return ((n * s.c + c) * s.h + y) * s.w + x;
}

namespace reference {

inline Shape4 conv2d_shape(const Shape4& x, const Conv2d& conv) {
    return {x.n, conv.filters, rows_of(conv.window, x.h).outputs(),
            cols_of(conv.window, x.w).outputs()};
}

/// Calls body(i, j, k) for every product x[i] * weight[j] that y[k] is the sum of.
template <typename Body>
void for_products(const Shape4& x, const Conv2d& conv, Body&& body) {
    const Shape4 y = conv2d_shape(x, conv);
    const WindowAxis rows = rows_of(conv.window, x.h), cols = cols_of(conv.window, x.w);
    const index_t channels = x.c / conv.groups, filters = conv.filters / conv.groups;
    const Shape4 weight = {conv.filters, channels, rows.kernel, cols.kernel};
    for (index_t n = 0; n < y.n; ++n)
        for (index_t f = 0; f < y.c; ++f)
            for (index_t oy = 0; oy < y.h; ++oy)
                for (index_t ox = 0; ox < y.w; ++ox)
                    for (index_t c = 0; c < channels; ++c)
                        for (index_t ky = 0; ky < rows.kernel; ++ky)
                            for (index_t kx = 0; kx < cols.kernel; ++kx)
                                if (rows.inside(oy, ky) && cols.inside(ox, kx))
                                    body(offset_of(x, n, f / filters * channels + c,
                                                   rows.place(oy, ky), cols.place(ox, kx)),
                                         offset_of(weight, f, c, ky, kx),
                                         offset_of(y, n, f, oy, ox));
}

/// bias may be null.
template <typename T>
Sums conv2d(const T* x, const Shape4& shape, const T* weight, const T* bias, const Conv2d& conv) {
    const Shape4 grid = conv2d_shape(shape, conv);
    Sums y(grid.size());
    for_products(shape, conv, [&](index_t i, index_t j, index_t k) {
        y[k].add(double(x[i]) * double(weight[j]));
    });
    for (index_t k = 0; bias != nullptr && k < grid.size(); ++k) {
        y[k].add(bias[k / grid.plane() % grid.c]);
    }
    return y;
}

template <typename T>
Sums conv2d_backward_input(const T* dy, const T* weight, const Conv2d& conv, const Shape4& shape) {
    Sums dx(shape.size());
    for_products(shape, conv, [&](index_t i, index_t j, index_t k) {
        dx[i].add(double(dy[k]) * double(weight[j]));
    });
    return dx;
}

template <typename T>
Sums conv2d_backward_weight(const T* dy, const T* x, const Shape4& shape, const Conv2d& conv) {
    Sums dweight(conv.filters * (shape.c / conv.groups) * conv.window.taps());
    for_products(shape, conv, [&](index_t i, index_t j, index_t k) {
        dweight[j].add(double(dy[k]) * double(x[i]));
    });
    return dweight;
}

template <typename T>
Sums conv2d_backward_bias(const T* dy, const Shape4& shape) {
    Sums dbias(shape.c);
    for (index_t k = 0; k < shape.size(); ++k) dbias[k / shape.plane() % shape.c].add(dy[k]);
    return dbias;
}

/// Calls body(i, j) for every element columns[j] that im2col reads from x[i].
template <typename Body>
void for_columns(const Shape4& x, const Window2d& window, Body&& body) {
    const WindowAxis rows = rows_of(window, x.h), cols = cols_of(window, x.w);
    index_t j = 0;
    for (index_t n = 0; n < x.n; ++n)
        for (index_t oy = 0; oy < rows.outputs(); ++oy)
            for (index_t ox = 0; ox < cols.outputs(); ++ox)
                for (index_t c = 0; c < x.c; ++c)
                    for (index_t ky = 0; ky < rows.kernel; ++ky)
                        for (index_t kx = 0; kx < cols.kernel; ++kx, ++j)
                            if (rows.inside(oy, ky) && cols.inside(ox, kx))
                                body(offset_of(x, n, c, rows.place(oy, ky), cols.place(ox, kx)), j);
}

inline Shape4 pool2d_shape(const Shape4& x, const Pool2d& pool) {
    return {x.n, x.c, rows_of(pool.window, x.h).outputs(pool.ceil_mode),
            cols_of(pool.window, x.w).outputs(pool.ceil_mode)};
}

/// Calls body(i, place, k) for every x[i] inside the window of y[k]; place is i's index in its
/// plane. Windows come in order, and the elements of a window in row-major order.
template <typename Body>
void for_pooled(const Shape4& x, const Pool2d& pool, Body&& body) {
    const Shape4 y = pool2d_shape(x, pool);
    const WindowAxis rows = rows_of(pool.window, x.h), cols = cols_of(pool.window, x.w);
    for (index_t n = 0; n < y.n; ++n)
        for (index_t c = 0; c < y.c; ++c)
            for (index_t oy = 0; oy < y.h; ++oy)
                for (index_t ox = 0; ox < y.w; ++ox)
                    for (index_t ky = 0; ky < rows.kernel; ++ky)
                        for (index_t kx = 0; kx < cols.kernel; ++kx)
                            if (rows.inside(oy, ky) && cols.inside(ox, kx)) {
                                const index_t py = rows.place(oy, ky), px = cols.place(ox, kx);
                                body(offset_of(x, n, c, py, px), py * x.w + px,
                                     offset_of(y, n, c, oy, ox));
                            }
}

template <typename T>
struct Maxima {
    std::vector<T> y;
    std::vector<index_t> argmax;
};

/// The first maximum of each window; the first NaN if there is one.
template <typename T>
Maxima<T> max_pool2d(const T* x, const Shape4& shape, const Pool2d& pool) {
    const index_t size = pool2d_shape(shape, pool).size();
    Maxima<T> found = {std::vector<T>(size), std::vector<index_t>(size, -1)};
    for_pooled(shape, pool, [&](index_t i, index_t place, index_t k) {
        const bool first = found.argmax[k] < 0;
        const bool wins = std::isnan(x[i]) ? !std::isnan(found.y[k]) : x[i] > found.y[k];
        if (first || wins) {
            found.y[k] = x[i];
            found.argmax[k] = place;
        }
    });
    return found;
}

/// The number that each window's sum is divided by.
inline std::vector<index_t> divisors(const Shape4& x, const Pool2d& pool, bool count_include_pad) {
    const Shape4 y = pool2d_shape(x, pool);
    const WindowAxis rows = rows_of(pool.window, x.h), cols = cols_of(pool.window, x.w);
    // Positions of one window that lie on the input, or also on its padding.
    const auto positions = [&](const WindowAxis& axis, index_t o) {
        index_t count = 0;
        for (index_t k = 0; k < axis.kernel; ++k) {
            const bool padded = axis.place(o, k) < axis.size + axis.after;
            count += count_include_pad ? padded : axis.inside(o, k);
        }
        return count;
    };
    std::vector<index_t> result(y.size());
    for (index_t k = 0; k < y.size(); ++k) {
        result[k] = positions(rows, k / y.w % y.h) * positions(cols, k % y.w);
    }
    return result;
}

template <typename T>
Sums avg_pool2d(const T* x, const Shape4& shape, const Pool2d& pool, bool count_include_pad) {
    const std::vector<index_t> divisor = divisors(shape, pool, count_include_pad);
    Sums y(pool2d_shape(shape, pool).size());
    for_pooled(shape, pool, [&](index_t i, index_t /*place*/, index_t k) {
        y[k].add(double(x[i]) / double(divisor[k]));
    });
    return y;
}

template <typename T>
Sums avg_pool2d_backward(const T* dy, const Shape4& shape, const Pool2d& pool,
                         bool count_include_pad) {
    const std::vector<index_t> divisor = divisors(shape, pool, count_include_pad);
    Sums dx(shape.size());
    for_pooled(shape, pool, [&](index_t i, index_t /*place*/, index_t k) {
        dx[i].add(double(dy[k]) / double(divisor[k]));
    });
    return dx;
}

/// Sums over k < depth of left(row, k) * right(k, col), row-major.
template <typename Left, typename Right>
Sums product(index_t rows, index_t cols, index_t depth, Left&& left, Right&& right) {
    Sums result(rows * cols);
    for (index_t row = 0; row < rows; ++row)
        for (index_t col = 0; col < cols; ++col)
            for (index_t k = 0; k < depth; ++k)
                result[row * cols + col].add(double(left(row, k)) * double(right(k, col)));
    return result;
}

}  // namespace reference
}  // namespace pocketcnn::tests
