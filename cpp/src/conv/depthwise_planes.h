// What the passes of depthwise convolution share: the columns of a kernel, planes that are read
// where they lie, and how the work is cut.
#pragma once

#include <algorithm>
#include <cstring>

#include "conv/depthwise.h"
#include "kernels/kernel_table.h"
#include "runtime/cut.h"
#include "runtime/memory_pool.h"
#include "runtime/parallel.h"

namespace pocketcnn::conv::depthwise {

/// The taps of a row of the kernel are added up in one run.
inline constexpr index_t kLongestRow = 128;

/// Rows [begin, end).
struct Rows {
    index_t begin, end;
    index_t count() const { return end - begin; }
};

/// The columns of a kernel, and how far they look past a row on both sides.
struct Columns {
    /// For the passes that move the window over x, of whose sums `cols` are computed.
    Columns(const Problem& problem, index_t cols);
    /// For the gradient of x, whose pixels collect their shares of dy: with a stride, the even ones
    /// from some columns and the odd ones from the others.
    static Columns of_gradient(const Problem& problem, index_t cols);

    DepthwiseColumn list[kLongestRow];
    index_t count = 0;
    index_t ends[2] = {0, 0};   ///< of the columns of the even elements, and of the odd ones
    index_t width;              ///< of a row
    index_t low = 0, high = 0;  ///< elements of a row that may be read

  private:
    explicit Columns(index_t row_size) : width(row_size), high(row_size) {}
    void add(index_t offset, index_t weight, index_t read) {
        list[count++] = {offset, weight};
        low = std::min(low, offset);
        high = std::max(high, offset + read);
    }
};

inline Columns::Columns(const Problem& problem, index_t cols) : Columns(problem.x.w) {
    const Window2d& w = problem.window;
    for (index_t kx = 0; kx < w.kernel_w; ++kx) {
        add(kx * w.dilation_w - w.pad_left, kx, cols * w.stride_w);
    }
    ends[0] = count;
}

inline Columns Columns::of_gradient(const Problem& problem, index_t cols) {
    const Window2d& w = problem.window;
    Columns columns(problem.y.w);
    for (index_t phase = 0; phase < w.stride_w; ++phase) {
        for (index_t kx = 0; kx < w.kernel_w; ++kx) {
            const index_t at = phase + w.pad_left - kx * w.dilation_w;
            if (at % w.stride_w == 0) columns.add(at / w.stride_w, kx, cols);
        }
        columns.ends[phase] = columns.count;
    }
    return columns;
}

/// A row with all bits set inside and none outside.
template <typename T>
class Inside {
  public:
    explicit Inside(const Columns& columns)
        : low_(columns.low), size_(columns.high - columns.low), bits_(2 * size_) {
        std::memset(bits_.data(), 0, bytes(2 * size_));
        std::memset(bits_.data() - low_, 0xff, bytes(columns.width));
    }
    const T* row() const { return bits_.data() - low_; }
    const T* zeros() const { return row() + size_; }

  private:
    static std::size_t bytes(index_t size) { return static_cast<std::size_t>(size) * sizeof(T); }

    index_t low_, size_;
    Buffer<T> bits_;
};

/// Planes whose rows the kernel reads where they lie. It would read too much before and behind an
/// array: the planes there are copied.
template <typename T>
class Source {
  public:
    Source(const T* data, const Shape4& shape, const Columns& columns)
        : data_(data), shape_(shape), low_(columns.low), high_(columns.high) {}

    /// How many of the planes [plane, end) can be read together, and their rows from the first on.
    index_t take(index_t plane, index_t end, const Rows& rows, const T*& from) {
        from = data_ + plane * shape_.plane() + rows.begin * shape_.w;
        if (rows.count() <= 0) return end - plane;
        const index_t before = plane * shape_.plane() + rows.begin * shape_.w + low_;
        const index_t behind = shape_.size() - (rows.end - 1) * shape_.w - high_;
        const index_t in_place = behind < 0 ? 0 : behind / shape_.plane() + 1;
        if (before >= 0 && plane < in_place) return std::min(end, in_place) - plane;
        from = copy(from, rows.count() * shape_.w);
        return 1;
    }

  private:
    const T* copy(const T* from, index_t size) {
        const index_t behind = high_ - shape_.w;
        copy_ = Buffer<T>(size + behind - low_);
        std::fill_n(copy_.data(), -low_, T{0});
        std::copy_n(from, size, copy_.data() - low_);
        std::fill_n(copy_.data() - low_ + size, behind, T{0});
        return copy_.data() - low_;
    }

    const T* data_;
    Shape4 shape_;
    index_t low_, high_;
    Buffer<T> copy_;
};

/// Rows of the output that a task computes.
struct RowCut {
    static constexpr index_t kElements = 1 << 14;

    RowCut(index_t out_rows, index_t row_size, index_t planes, index_t size = kElements)
        : all(std::max<index_t>(1, out_rows)) {
        const index_t tiles = ceil_div(all, kDepthwiseTile);
        const index_t bands =
            std::max(ceil_div(kEnoughTasks, std::max<index_t>(1, planes)), all * row_size / size);
        rows = ceil_div(tiles, std::min(bands, tiles)) * kDepthwiseTile;
        count = ceil_div(all, rows);
    }
    Rows band(index_t i) const { return {i * rows, std::min(all, (i + 1) * rows)}; }

    index_t all, rows, count;
};

/// Planes that one task takes, so that it is worth its start.
inline index_t planes_per_task(const Problem& problem, const RowCut& bands) {
    constexpr double worth = 1 << 15;
    const double tasks = static_cast<double>(problem.x.n * problem.groups * bands.count);
    return static_cast<index_t>(worth / (problem.multiply_adds() / std::max(1.0, tasks) + 1)) + 1;
}

/// Calls body(first plane, one past the last, rows) for all groups of all images; the planes
/// belong to one image.
template <typename Body>
void for_bands(const Problem& problem, const RowCut& bands, Body&& body) {
    const index_t planes = problem.x.n * problem.groups;
    const index_t grain = planes_per_task(problem, bands), ranges = ceil_div(planes, grain);
    parallel_for(ranges * bands.count, problem.multiply_adds(), [&](index_t i) {
        const index_t first = i / bands.count * grain, end = std::min(planes, first + grain);
        for (index_t plane = first; plane < end;) {
            const index_t image_end = (plane / problem.groups + 1) * problem.groups;
            body(plane, std::min(end, image_end), bands.band(i % bands.count));
            plane = image_end;
        }
    });
}

/// Rows [first, first + count) of a plane of `height` rows, as far as they exist.
inline Rows existing(index_t first, index_t count, index_t height) {
    const index_t begin = std::clamp<index_t>(first, 0, height);
    return {begin, std::clamp<index_t>(first + count, begin, height)};
}

}  // namespace pocketcnn::conv::depthwise
