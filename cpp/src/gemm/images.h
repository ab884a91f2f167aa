// Readers and writers of the product for feature maps: one operand or the result is an image
// batch (n, c, h, w) whose pixels, flattened over (n, h, w), are one axis of the matrix.
#pragma once

#include <pocketcnn/window2d.h>

#include "gemm/indirect.h"

namespace pocketcnn::gemm {

/// Channels of a batch of images.
template <typename T>
struct ChannelImages {
    const T* data;
    index_t channels, image_stride, plane;
};

/// Packs pixels [pixel, pixel_end) across images as depth, channels as columns.
template <typename T>
void pack_pixels(const Kernels<T>& kernels, const ChannelImages<T>& images, index_t pixel,
                 index_t pixel_end, const PackedPanels<T>& packed) {
    const Panels& panels = packed.panels();
    for (index_t first = pixel; pixel < pixel_end;) {
        const index_t offset = pixel % images.plane;
        const index_t length = std::min(images.plane - offset, pixel_end - pixel);
        const T* from = images.data + pixel / images.plane * images.image_stride + offset;
        for (index_t p = 0; p < panels.count(); ++p) {
            kernels.pack_columns(length, panels.length(p), panels.width(p),
                                 from + panels.begin(p) * images.plane, images.plane,
                                 packed.data(p, pixel - first));
        }
        pixel += length;
    }
}

/// Stores results whose rows are channels and whose columns are pixels across images, adding
/// bias[row] where there is one. Grid has the strides of the result: image, plane, row, col.
template <typename T, typename Grid>
class StorePixels {
  public:
    StorePixels(const Kernels<T>& kernels, T* data, const Shape4& shape, const Grid& grid,
                const T* bias)
        : kernels_(kernels),
          data_(data),
          grid_(grid),
          width_(grid.is_dense(shape) ? shape.plane() : shape.w),
          height_(grid.is_dense(shape) ? 1 : shape.h),
          bias_(bias) {}

    /// values[row][col], rows kernels.cols apart.
    void tile(index_t row, index_t rows, index_t col, index_t cols, const T* values) const {
        for_runs(row, col, cols, [&](T* to, const T* bias, index_t first, index_t length) {
            if (grid_.col == 1) {
                kernels_.store_tile(rows, length, values + first, bias, to, grid_.plane);
            } else {
                scatter(rows, length, values + first, bias, to);
            }
        });
    }

    /// values[col][row], columns `stride` apart.
    void transposed(index_t row, index_t rows, index_t col, index_t cols, const T* values,
                    index_t stride) const {
        for_runs(row, col, cols, [&](T* to, const T* bias, index_t first, index_t length) {
            if (grid_.col == 1) {
                kernels_.store_transposed(length, rows, values + first * stride, stride, bias, to,
                                          grid_.plane);
            } else {
                spread(rows, length, values + first * stride, stride, bias, to);
            }
        });
    }

  private:
    /// Calls body(where to, bias, first column, columns) for each stretch of columns that are
    /// equally far apart in the result.
    template <typename Body>
    void for_runs(index_t row, index_t col, index_t cols, Body&& body) const {
        const T* bias = bias_ != nullptr ? bias_ + row : nullptr;
        for (index_t first = 0; first < cols;) {
            const index_t line = (col + first) / width_, x = (col + first) % width_;
            const index_t length = std::min(width_ - x, cols - first);
            body(data_ + line / height_ * grid_.image + row * grid_.plane +
                     line % height_ * grid_.row + x * grid_.col,
                 bias, first, length);
            first += length;
        }
    }

    void scatter(index_t rows, index_t cols, const T* values, const T* bias, T* to) const {
        for (index_t r = 0; r < rows; ++r, values += kernels_.cols, to += grid_.plane) {
            const T b = bias != nullptr ? bias[r] : T{0};
            for (index_t c = 0; c < cols; ++c) to[c * grid_.col] = values[c] + b;
        }
    }

    /// values[col][row] by parts that are transposed first.
    void spread(index_t rows, index_t cols, const T* values, index_t stride, const T* bias,
                T* to) const {
        constexpr index_t part = 32;
        T lines[part * part];
        for (index_t r = 0; r < rows; r += part) {
            for (index_t c = 0; c < cols; c += part) {
                const index_t row_count = std::min(part, rows - r);
                const index_t col_count = std::min(part, cols - c);
                kernels_.store_transposed(col_count, row_count, values + c * stride + r, stride,
                                          bias != nullptr ? bias + r : nullptr, lines, part);
                kernels_.copy_rows(row_count, col_count, lines, part,
                                   to + r * grid_.plane + c * grid_.col, grid_.plane, grid_.col);
            }
        }
    }

    const Kernels<T>& kernels_;
    T* data_;
    Grid grid_;
    index_t width_, height_;  ///< of what is consecutive: a plane where its rows are, else a row
    const T* bias_;
};

/// col2im as a way of writing: adds tiles whose rows are taps (c, kh, kw) and whose columns are
/// output pixels of one image to the places in the input that those taps see.
template <typename T>
class AddWindows {
  public:
    AddWindows(const Kernels<T>& kernels, T* image, index_t h, index_t w, const Window2d& window)
        : kernels_(kernels), image_(image), h_(h), w_(w), window_(window), ow_(window.out_w(w)) {}

    void tile(index_t row, index_t rows, index_t col, index_t cols, const T* values) const {
        for (index_t r = 0; r < rows; ++r, values += kernels_.cols) {
            for (index_t lane = 0; lane < cols;) {
                const index_t x = (col + lane) % ow_;
                const index_t length = std::min(ow_ - x, cols - lane);
                add_run(row + r, (col + lane) / ow_, x, length, values + lane);
                lane += length;
            }
        }
    }

  private:
    /// Adds consecutive output columns of one output row, as one tap sees them.
    void add_run(index_t tap, index_t oy, index_t ox, index_t length, const T* values) const {
        const index_t channel = tap / window_.taps(), in_window = tap % window_.taps();
        const index_t y = oy * window_.stride_h - window_.pad_top +
                          in_window / window_.kernel_w * window_.dilation_h;
        if (y < 0 || y >= h_) return;
        const index_t stride = window_.stride_w;
        const index_t x =
            ox * stride - window_.pad_left + in_window % window_.kernel_w * window_.dilation_w;
        const index_t begin = x < 0 ? std::min(length, ceil_div(-x, stride)) : 0;
        const index_t end = x < w_ ? std::min(length, ceil_div(w_ - x, stride)) : 0;
        T* to = image_ + (channel * h_ + y) * w_ + x;
        if (stride == 1 && begin < end) {
            kernels_.add(end - begin, values + begin, to + begin);
        } else {
            for (index_t i = begin; i < end; ++i) to[i * stride] += values[i];
        }
    }

    const Kernels<T>& kernels_;
    T* image_;
    index_t h_, w_;
    Window2d window_;
    index_t ow_;
};

}  // namespace pocketcnn::gemm
