// The part of an image that a block of output rows sees, copied so that every tap of the window is
// a fixed shift in a flat array. The direct kernels read it. What a window of one pixel sees is
// read where it lies.
//
// A band holds [channel][phase of rows][plane of columns][row][col], where the rows of a phase are
// a stride apart and zeros stand for the padding. For output position p = row * pitch + col of the
// block, tap k of channel c is at offsets()[c * area + k] + p. There are two forms:
// - spread: a plane of columns is a phase of the stride. The pitch is that of the padded image,
//   minus the padding on one side where the zeros of a row also end the row before it. The image is
//   copied once; positions with col >= cols, between two rows, are computed and discarded. A full
//   convolution, such as a gradient of the input, has no such positions.
// - dense: every column of the kernel has a plane of its own. The pitch is the number of output
//   columns, so positions are the block's output pixels without a gap. The image is copied kernel_w
//   times, which pays for many filters, because they share the copies.
#pragma once

#include <algorithm>
#include <vector>

#include "conv/problem.h"
#include "kernels/kernel_table.h"
#include "runtime/memory_pool.h"

namespace pocketcnn::conv {

enum class BandForm { spread, dense };

/// How many channels a band holds, how the output plane of one image is cut into blocks, and how a
/// block's band is laid out.
struct BandShape {
    /// `rows_of_values`: how many rows of results or gradients share the cache with the band. An
    /// image has at least so many blocks of rows, if it has as many rows.
    BandShape(const Problem& problem, BandForm form, index_t rows_of_values, index_t element_size,
              index_t least_row_blocks = 1);

    index_t planes() const { return phases_h * planes_w; }
    index_t pitch(index_t block_cols) const { return block_cols - 1 + reach_w - shared; }
    index_t band_rows(index_t block_rows) const { return block_rows - 1 + reach_h; }
    /// Elements of a channel of the largest block.
    index_t channel_size() const { return planes() * band_rows(rows) * pitch(cols); }
    /// Positions of the largest block.
    index_t positions() const { return (rows - 1) * pitch(cols) + cols; }
    index_t blocks() const { return row_blocks * col_blocks; }
    /// Whether positions are consecutive output pixels, without a gap between rows.
    bool is_gapless() const { return col_blocks == 1 && pitch(cols) == cols; }

    BandForm form;
    index_t phases_h;          ///< phases of rows that some tap reads
    index_t planes_w;          ///< planes of columns
    index_t reach_h, reach_w;  ///< rows and columns of a plane that one output pixel sees
    index_t shared;            ///< columns of padding that a row shares with the next
    index_t channels;          ///< per band
    index_t rows, cols;        ///< per block
    index_t row_blocks, col_blocks;
};

/// One block of the output plane.
struct BandBlock {
    BandBlock(const BandShape& shape, const Shape4& y, index_t i)
        : row(i / shape.col_blocks * shape.rows),
          rows(std::min(shape.rows, y.h - row)),
          col(i % shape.col_blocks * shape.cols),
          cols(std::min(shape.cols, y.w - col)),
          pitch(shape.pitch(cols)),
          positions((rows - 1) * pitch + cols) {}

    index_t row, rows, col, cols;
    index_t pitch;      ///< positions from one row to the next
    index_t positions;  ///< from the first pixel to the last
};

template <typename T>
class Band {
  public:
    /// `images` is where all images begin, if what lies past a block may be read instead of zeros.
    Band(const Kernels<T>& kernels, const Problem& problem, const BandShape& shape,
         const T* images = nullptr)
        : kernels_(kernels),
          problem_(problem),
          shape_(shape),
          end_(images != nullptr ? images + problem.x.size() : nullptr),
          sees_planes_(images != nullptr && problem.window.is_pointwise() && shape.is_gapless()),
          offsets_(static_cast<std::size_t>(shape.channels * problem.window.taps())),
          data_(shape.channels * shape.channel_size() + kPackSlack) {}

    /// Gets what the block sees of `channels` channels, at most shape.channels, starting at x. They
    /// are normalised by `units`, one for each, which may be null, and is where images are given.
    void load(const BandBlock& block, const T* x, index_t channels,
              const ChannelNorm<T>* units = nullptr);

    const index_t* offsets() const { return offsets_.data(); }
    const T* data() const { return in_place_ != nullptr ? in_place_ : data_.data(); }

  private:
    bool read_in_place(const BandBlock& block, const T* x, index_t channels);
    void find_offsets(const BandBlock& block);
    void load_plane(const BandBlock& block, const T* plane, const ChannelNorm<T>* norm, index_t y,
                    index_t x, T* to) const;

    const Kernels<T>& kernels_;
    const Problem& problem_;
    const BandShape& shape_;
    const T* end_;
    bool sees_planes_;              ///< whether a block is consecutive pixels of each plane
    const T* in_place_ = nullptr;   ///< where the block is read that was not copied
    index_t pitch_ = 0, rows_ = 0;  ///< for which offsets_ were made
    std::vector<index_t> offsets_;
    Buffer<T> data_;
};

/// Unless whole vectors would be read past the end of the images.
template <typename T>
bool Band<T>::read_in_place(const BandBlock& block, const T* x, index_t channels) {
    const index_t plane = problem_.x.plane(), first = block.row * problem_.x.w;
    if (!sees_planes_ || end_ - x < (channels - 1) * plane + first + block.positions + kPackSlack) {
        return false;
    }
    for (index_t c = 0; c < channels; ++c) offsets_[static_cast<std::size_t>(c)] = c * plane;
    pitch_ = 0;
    in_place_ = x + first;
    return true;
}

template <typename T>
void Band<T>::load(const BandBlock& block, const T* x, index_t channels,
                   const ChannelNorm<T>* units) {
    if (read_in_place(block, x, channels)) return;
    in_place_ = nullptr;
    if (block.pitch != pitch_ || block.rows != rows_) find_offsets(block);
    const Window2d& window = problem_.window;
    const index_t size = shape_.band_rows(block.rows) * block.pitch;
    const index_t step = shape_.form == BandForm::dense ? window.dilation_w : 1;
    T* to = data_.data();
    for (index_t c = 0; c < channels; ++c, x += problem_.x.plane()) {
        for (index_t i = 0; i < shape_.planes(); ++i, to += size) {
            load_plane(block, x, units != nullptr ? units + c : nullptr,
                       block.row * window.stride_h - window.pad_top + i / shape_.planes_w,
                       block.col * window.stride_w - window.pad_left + i % shape_.planes_w * step,
                       to);
        }
    }
    // Read past the last position, and multiplied by zero.
    std::fill_n(to, kPackSlack, T{0});
}

/// The plane whose first element lies at (y, x) of the image, which may be outside.
template <typename T>
void Band<T>::load_plane(const BandBlock& block, const T* plane, const ChannelNorm<T>* norm,
                         index_t y, index_t x, T* to) const {
    const index_t h = problem_.x.h, w = problem_.x.w, rows = shape_.band_rows(block.rows);
    const index_t stride_h = problem_.window.stride_h, stride_w = problem_.window.stride_w;
    const auto inside = [](index_t first, index_t stride, index_t limit, index_t count) {
        const index_t begin = first < 0 ? std::min(count, ceil_div(-first, stride)) : 0;
        const index_t end = first < limit ? std::min(count, ceil_div(limit - first, stride)) : 0;
        return std::pair(begin, std::max(begin, end));
    };
    const auto [row, row_end] = inside(y, stride_h, h, rows);
    const auto [col, col_end] = inside(x, stride_w, w, block.pitch);
    std::fill_n(to, row * block.pitch, T{0});
    if (row < row_end) {
        kernels_.copies.pad_rows(row_end - row, col, col_end - col, block.pitch,
                                 plane + (y + row * stride_h) * w + x + col * stride_w,
                                 stride_h * w, stride_w, to + row * block.pitch, norm);
    }
    std::fill_n(to + row_end * block.pitch, (rows - row_end) * block.pitch, T{0});
}

template <typename T>
void Band<T>::find_offsets(const BandBlock& block) {
    pitch_ = block.pitch;
    rows_ = block.rows;
    const Window2d& window = problem_.window;
    const index_t size = shape_.band_rows(block.rows) * block.pitch;
    const bool dense = shape_.form == BandForm::dense;
    index_t* offset = offsets_.data();
    for (index_t c = 0; c < shape_.channels; ++c) {
        for (index_t ky = 0; ky < window.kernel_h; ++ky) {
            const index_t y = ky * window.dilation_h;
            const index_t phase = c * shape_.phases_h + y % window.stride_h;
            const index_t row = y / window.stride_h * block.pitch;
            for (index_t kx = 0; kx < window.kernel_w; ++kx) {
                const index_t x = kx * window.dilation_w;
                const index_t plane = phase * shape_.planes_w + (dense ? kx : x % window.stride_w);
                *offset++ = plane * size + row + (dense ? 0 : x / window.stride_w);
            }
        }
    }
}

}  // namespace pocketcnn::conv
