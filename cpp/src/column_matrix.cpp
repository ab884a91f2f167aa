#include <pocketcnn/column_matrix.h>

#include <algorithm>
#include <stdexcept>

#include "runtime/parallel.h"

namespace pocketcnn {
namespace {

/// Checks the sizes and returns the output grid as a shape (n, taps, oh, ow).
Shape4 check(const Shape4& x, const Window2d& window, index_t rows, index_t cols) {
    validate(x, "x");
    validate(window, x.h, x.w);
    validate(Shape4{1, x.c, window.kernel_h, window.kernel_w}, "a row of the column matrix");
    const Shape4 grid = {x.n, x.c * window.taps(), window.out_h(x.h), window.out_w(x.w)};
    validate(grid, "the column matrix");
    if (rows != grid.n * grid.plane() || cols != grid.c) {
        throw std::invalid_argument("columns does not have the shape (n*oh*ow, c*kh*kw)");
    }
    return grid;
}

/// Calls body(tap, x_offset) for the window of output pixel (oy, ox), for the taps of one channel
/// that lie inside the image.
template <typename Body>
void for_inside_taps(const Window2d& window, const Shape4& x, index_t oy, index_t ox, Body&& body) {
    const index_t top = oy * window.stride_h - window.pad_top;
    const index_t left = ox * window.stride_w - window.pad_left;
    for (index_t ky = 0; ky < window.kernel_h; ++ky) {
        const index_t y = top + ky * window.dilation_h;
        if (y < 0 || y >= x.h) continue;
        for (index_t kx = 0; kx < window.kernel_w; ++kx) {
            const index_t column = left + kx * window.dilation_w;
            if (column < 0 || column >= x.w) continue;
            body(ky * window.kernel_w + kx, y * x.w + column);
        }
    }
}

}  // namespace

template <typename T>
void im2col(ImageView<const T> x, const Window2d& window, MatrixView<T> columns) {
    const Shape4 grid = check(x.shape, window, columns.rows, columns.cols);
    if (columns.cols == 0) return;
    const double work = static_cast<double>(columns.rows) * static_cast<double>(columns.cols);
    parallel_for(grid.n * grid.h, work, [&](index_t i) {
        const T* image = x.data + i / grid.h * x.shape.image();
        T* row = columns.data + i * grid.w * columns.cols;
        for (index_t ox = 0; ox < grid.w; ++ox, row += columns.cols) {
            std::fill_n(row, columns.cols, T{0});
            for (index_t c = 0; c < x.shape.c; ++c) {
                const T* plane = image + c * x.shape.plane();
                T* taps = row + c * window.taps();
                for_inside_taps(window, x.shape, i % grid.h, ox,
                                [&](index_t tap, index_t place) { taps[tap] = plane[place]; });
            }
        }
    });
}

template <typename T>
void col2im(MatrixView<const T> columns, const Window2d& window, ImageView<T> x) {
    const Shape4 grid = check(x.shape, window, columns.rows, columns.cols);
    const double work = static_cast<double>(columns.rows) * static_cast<double>(columns.cols);
    // One task owns one plane, so additions to it always have the same order.
    parallel_for(x.shape.n * x.shape.c, work, [&](index_t i) {
        const index_t c = i % x.shape.c;
        T* plane = x.data + i * x.shape.plane();
        std::fill_n(plane, x.shape.plane(), T{0});
        const T* taps =
            columns.data + i / x.shape.c * grid.plane() * columns.cols + c * window.taps();
        for (index_t pixel = 0; pixel < grid.plane(); ++pixel, taps += columns.cols) {
            for_inside_taps(window, x.shape, pixel / grid.w, pixel % grid.w,
                            [&](index_t tap, index_t place) { plane[place] += taps[tap]; });
        }
    });
}

template void im2col(ImageView<const float>, const Window2d&, MatrixView<float>);
template void im2col(ImageView<const double>, const Window2d&, MatrixView<double>);
template void col2im(MatrixView<const float>, const Window2d&, ImageView<float>);
template void col2im(MatrixView<const double>, const Window2d&, ImageView<double>);

}  // namespace pocketcnn
