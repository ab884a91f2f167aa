// Rows are made from rows: along the width first, once per row of the input, then between rows,
// where neighbours in memory are computed alike. The gradient goes the other way.
#include <pocketcnn/upsample2d.h>
#include <pocketcnn/window2d.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>
#include <vector>

#include "runtime/memory_pool.h"
#include "runtime/parallel.h"

namespace pocketcnn {
namespace {

/// Elements of the rows of one task.
constexpr index_t kTaskElements = 1 << 14;
/// Terms that are added in one run in T: errors grow with their number.
constexpr index_t kRun = 64;

void require_shape(const Shape4& given, const Shape4& wanted) {
    if (given != wanted) {
        throw std::invalid_argument("the output does not have the shape that the scale gives");
    }
}

/// Where the outputs along one axis lie between the inputs: output o is low_share[o] of the input
/// low[o] and high_share[o] of high[o]. Where it is all of one input, both are that one and the
/// shares halves, so that no other is multiplied by zero. In nearest mode the low one is all.
template <typename T>
struct Axis {
    Axis(index_t in, index_t out, double scale, const Upsample2d& upsample)
        : in(in),
          out(out),
          low(size(out)),
          high(low),
          low_share(size(out), T{1}),
          high_share(low_share),
          low_first(size(in + 1)),
          high_first(low_first) {
        for (index_t o = 0; o < out; ++o) place(o, position(o, scale, upsample), upsample.mode);
        find(low, low_first);
        if (upsample.mode == UpsampleMode::bilinear) find(high, high_first);
    }

    bool doubles() const { return out == 2 * in; }
    static std::size_t size(index_t n) { return static_cast<std::size_t>(n); }

    double position(index_t o, double scale, const Upsample2d& upsample) const {
        const auto at = static_cast<double>(o);
        if (upsample.mode == UpsampleMode::nearest) {
            if (out == in || doubles()) return static_cast<double>(doubles() ? o / 2 : o);
            if (scale == std::floor(scale)) return std::floor(at / scale);
            return std::floor(static_cast<float>(o) * static_cast<float>(1 / scale));
        }
        if (!upsample.align_corners) return (at + 0.5) / scale - 0.5;
        return out == 1 ? 0 : at * static_cast<double>(in - 1) / static_cast<double>(out - 1);
    }

    void place(index_t o, double at, UpsampleMode mode) {
        at = std::clamp(at, 0.0, static_cast<double>(in - 1));
        const auto below = static_cast<index_t>(at);
        const T share = static_cast<T>(at - static_cast<double>(below));
        const bool between = share > 0 && share < 1;
        low[size(o)] = below + (share == 1 ? 1 : 0);
        high[size(o)] = low[size(o)] + (between ? 1 : 0);
        if (mode == UpsampleMode::nearest) return;
        high_share[size(o)] = between ? share : T{0.5};
        low_share[size(o)] = 1 - high_share[size(o)];
    }

    /// first[i] = the first output whose input is i or comes after it.
    void find(const std::vector<index_t>& inputs, std::vector<index_t>& first) const {
        index_t o = 0;
        for (index_t i = 0; i <= in; ++i) {
            while (o < out && inputs[size(o)] < i) ++o;
            first[size(i)] = o;
        }
    }

    index_t in, out;
    std::vector<index_t> low, high;
    std::vector<T> low_share, high_share;
    /// [in + 1]: the outputs whose low (high) input is i are those from first[i] to first[i + 1].
    std::vector<index_t> low_first, high_first;
};

template <typename T>
struct Axes {
    Axes(const Shape4& x, const Shape4& y, const Upsample2d& upsample)
        : rows(x.h, y.h, upsample.scale_h, upsample), cols(x.w, y.w, upsample.scale_w, upsample) {}

    Axis<T> rows, cols;
};

/// Runs body(begin, end) over ranges of the rows of all planes. `width` elements are the work of
/// one.
template <typename Body>
void for_map_rows(index_t rows, index_t width, Body&& body) {
    parallel_ranges(rows, std::max<index_t>(1, kTaskElements / width), static_cast<double>(width),
                    body);
}

template <typename T>
void nearest_row(const Axis<T>& cols, const T* from, T* to) {
    const index_t* low = cols.low.data();
    if (cols.doubles()) {  // without the indices
        for (index_t j = 0; j < cols.in; ++j) to[2 * j] = to[2 * j + 1] = from[j];
        return;
    }
    for (index_t j = 0; j < cols.out; ++j) to[j] = from[low[j]];
}

template <typename T>
void nearest(const Axes<T>& axes, const T* x, index_t begin, index_t end, T* y) {
    const Axis<T>&rows = axes.rows, &cols = axes.cols;
    for (index_t r = begin; r < end; ++r) {
        const index_t plane = r / rows.out, o = r % rows.out;
        const std::size_t at = Axis<T>::size(o);
        T* to = y + r * cols.out;
        if (r > begin && o > 0 && rows.low[at] == rows.low[at - 1]) {
            std::copy_n(to - cols.out, cols.out, to);
        } else {
            nearest_row(cols, x + (plane * rows.in + rows.low[at]) * cols.in, to);
        }
    }
}

/// The rows of the input that the current row of the output lies between, interpolated along the
/// width.
template <typename T>
class TwoRows {
  public:
    TwoRows(const Axis<T>& cols, const T* x)
        : cols_(cols), x_(x), memory_(2 * cols.out), low_(memory_.data()), high_(low_ + cols.out) {}

    void move(index_t low, index_t high) {
        if (low == high_row_) {
            std::swap(low_, high_);
            std::swap(low_row_, high_row_);
        }
        fill(low, low_row_, low_);
        if (high != low) fill(high, high_row_, high_);
    }

    /// to = low_share * the row `low` + high_share * the row `high`
    void blend(T low_share, T high_share, bool alike, T* to) const {
        if (alike) {
            std::copy_n(low_, cols_.out, to);
            return;
        }
        const T *low = low_, *high = high_;
        for (index_t j = 0; j < cols_.out; ++j) to[j] = low_share * low[j] + high_share * high[j];
    }

  private:
    void fill(index_t row, index_t& held, T* to) const {
        if (held == row) return;
        held = row;
        const T* from = x_ + row * cols_.in;
        const index_t *low = cols_.low.data(), *high = cols_.high.data();
        const T *low_share = cols_.low_share.data(), *high_share = cols_.high_share.data();
        for (index_t j = 0; j < cols_.out; ++j) {
            to[j] = low_share[j] * from[low[j]] + high_share[j] * from[high[j]];
        }
    }

    const Axis<T>& cols_;
    const T* x_;
    Buffer<T> memory_;
    T *low_, *high_;
    index_t low_row_ = -1, high_row_ = -1;  ///< among the rows of all planes
};

template <typename T>
void bilinear(const Axes<T>& axes, const T* x, index_t begin, index_t end, T* y) {
    const Axis<T>& rows = axes.rows;
    TwoRows<T> two(axes.cols, x);
    for (index_t r = begin; r < end; ++r) {
        const index_t first = r / rows.out * rows.in;
        const std::size_t o = Axis<T>::size(r % rows.out);
        const index_t low = rows.low[o], high = rows.high[o];
        two.move(first + low, first + high);
        two.blend(rows.low_share[o], rows.high_share[o], low == high, y + r * axes.cols.out);
    }
}

/// The terms of the sums of the gradient: the outputs from `begin` to `end`, each times its share.
template <typename T>
struct Terms {
    index_t begin, end;
    const T* shares;
};

/// The outputs that have a share of input i.
template <typename T>
std::pair<Terms<T>, Terms<T>> terms(const Axis<T>& axis, index_t i) {
    const std::size_t at = Axis<T>::size(i);
    return {{axis.low_first[at], axis.low_first[at + 1], axis.low_share.data()},
            {axis.high_first[at], axis.high_first[at + 1], axis.high_share.data()}};
}

/// sum += the terms of the rows dy (out, width).
template <typename T>
void add_rows(const Terms<T>& terms, index_t width, const T* dy, T* sum) {
    for (index_t o = terms.begin; o < terms.end; ++o) {
        const T share = terms.shares[o];
        const T* row = dy + o * width;
        for (index_t j = 0; j < width; ++j) sum[j] += share * row[j];
    }
}

/// The same in runs of which each has a sum of its own in `run`.
template <typename T>
void add_runs(const Terms<T>& terms, index_t width, const T* dy, T* run, T* sum) {
    if (terms.end - terms.begin <= kRun) return add_rows(terms, width, dy, sum);
    for (index_t o = terms.begin; o < terms.end; o += kRun) {
        std::fill_n(run, width, T{0});
        add_rows({o, std::min(o + kRun, terms.end), terms.shares}, width, dy, run);
        for (index_t j = 0; j < width; ++j) sum[j] += run[j];
    }
}

/// to[i] = the sum of input i's terms of the row. Sum is the type that it is added in.
template <typename Sum, typename T>
void add_columns(const Axis<T>& cols, const T* row, T* to) {
    for (index_t i = 0; i < cols.in; ++i) {
        const auto [low, high] = terms(cols, i);
        Sum sum = 0;
        for (index_t j = low.begin; j < low.end; ++j) sum += low.shares[j] * row[j];
        for (index_t j = high.begin; j < high.end; ++j) sum += high.shares[j] * row[j];
        to[i] = static_cast<T>(sum);
    }
}

template <typename T>
void gradient(const Axes<T>& axes, const T* dy, index_t begin, index_t end, T* dx) {
    const Axis<T>&rows = axes.rows, &cols = axes.cols;
    const index_t width = cols.out;
    const Buffer<T> memory(2 * width);
    T *sum = memory.data(), *run = sum + width;
    for (index_t r = begin; r < end; ++r) {
        const T* plane = dy + r / rows.in * rows.out * width;
        const auto [low, high] = terms(rows, r % rows.in);
        std::fill_n(sum, width, T{0});
        add_runs(low, width, plane, run, sum);
        add_runs(high, width, plane, run, sum);
        if (cols.out <= kRun * cols.in) {
            add_columns<T>(cols, sum, dx + r * cols.in);
        } else {
            add_columns<double>(cols, sum, dx + r * cols.in);
        }
    }
}

/// floor(in * scale); 0 where that is no size.
index_t scaled(index_t in, double scale) {
    constexpr double largest = 1LL << 40;
    const double out = std::floor(static_cast<double>(in) * scale);
    return out >= 1 && out <= largest ? static_cast<index_t>(out) : 0;
}

}  // namespace

Shape4 upsample2d_output_shape(const Shape4& x, const Upsample2d& upsample) {
    validate(x, "x");
    if (!(upsample.scale_h > 0 && upsample.scale_w > 0)) {
        throw std::invalid_argument("the scale must be greater than 0");
    }
    const Shape4 y = {x.n, x.c, scaled(x.h, upsample.scale_h), scaled(x.w, upsample.scale_w)};
    if (y.h == 0 || y.w == 0) throw std::invalid_argument("the scale leaves no image, or too many");
    validate(y, "the output");
    return y;
}

template <typename T>
void upsample2d(ImageView<const T> x, const Upsample2d& upsample, ImageView<T> y) {
    require_shape(y.shape, upsample2d_output_shape(x.shape, upsample));
    if (y.shape.size() == 0) return;
    const Axes<T> axes(x.shape, y.shape, upsample);
    for_map_rows(y.shape.n * y.shape.c * y.shape.h, y.shape.w, [&](index_t begin, index_t end) {
        if (upsample.mode == UpsampleMode::nearest) {
            nearest(axes, x.data, begin, end, y.data);
        } else {
            bilinear(axes, x.data, begin, end, y.data);
        }
    });
}

template <typename T>
void upsample2d_backward(ImageView<const T> dy, const Upsample2d& upsample, ImageView<T> dx) {
    require_shape(dy.shape, upsample2d_output_shape(dx.shape, upsample));
    if (dx.shape.size() == 0) return;
    const Axes<T> axes(dx.shape, dy.shape, upsample);
    const index_t rows = dx.shape.n * dx.shape.c * dx.shape.h;
    for_map_rows(rows, std::max(dx.shape.w, dy.shape.plane() / dx.shape.h),
                 [&](index_t begin, index_t end) { gradient(axes, dy.data, begin, end, dx.data); });
}

#define POCKETCNN_INSTANTIATE(T)                                                   \
    template void upsample2d(ImageView<const T>, const Upsample2d&, ImageView<T>); \
    template void upsample2d_backward(ImageView<const T>, const Upsample2d&, ImageView<T>);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn
