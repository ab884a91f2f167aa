// Readers and writers of the product for feature maps. One operand or the result is an image batch
// (n, c, h, w); its pixels, flattened over (n, h, w), are one axis of the matrix.
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
            kernels.packing.pack_columns(length, panels.length(p), panels.width(p),
                                         from + panels.begin(p) * images.plane, images.plane,
                                         packed.data(p, pixel - first));
        }
        pixel += length;
    }
}

/// Stores results whose rows are channels and whose columns are pixels across images, adding
/// bias[row] if there is a bias. Grid has the strides of the result: image, plane, row, col.
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

    /// values[row][col], rows kernels.product.cols apart.
    void tile(index_t row, index_t rows, index_t col, index_t cols, const T* values) const {
        for_runs(row, col, cols, [&](T* to, const T* bias, index_t first, index_t length) {
            if (grid_.col == 1) {
                kernels_.product.store_tile(rows, length, values + first, bias, to, grid_.plane);
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
                kernels_.indirect.store_transposed(length, rows, values + first * stride, stride,
                                                   bias, to, grid_.plane);
            } else {
                spread(rows, length, values + first * stride, stride, bias, to);
            }
        });
    }

  private:
    /// Calls body(destination, bias, first column, columns) for each run of columns that are
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
        for (index_t r = 0; r < rows; ++r, values += kernels_.product.cols, to += grid_.plane) {
            const T b = bias != nullptr ? bias[r] : T{0};
            for (index_t c = 0; c < cols; ++c) to[c * grid_.col] = values[c] + b;
        }
    }

    /// Stores values[col][row] in parts that are transposed first.
    void spread(index_t rows, index_t cols, const T* values, index_t stride, const T* bias,
                T* to) const {
        constexpr index_t part = 32;
        T lines[part * part];
        for (index_t r = 0; r < rows; r += part) {
            for (index_t c = 0; c < cols; c += part) {
                const index_t row_count = std::min(part, rows - r);
                const index_t col_count = std::min(part, cols - c);
                kernels_.indirect.store_transposed(col_count, row_count, values + c * stride + r,
                                                   stride, bias != nullptr ? bias + r : nullptr,
                                                   lines, part);
                kernels_.copies.copy_rows(row_count, col_count, lines, part,
                                          to + r * grid_.plane + c * grid_.col, grid_.plane,
                                          grid_.col);
            }
        }
    }

    const Kernels<T>& kernels_;
    T* data_;
    Grid grid_;
    index_t width_, height_;  ///< of the part that is consecutive: a plane or a row
    const T* bias_;
};

}  // namespace pocketcnn::gemm
