// im2col as a way of reading: packs blocks of the column matrix straight from the image, so that
// the matrix itself never exists.
//
// A block first copies the part of the input that its windows see into a slab, padded with zeros
// and with the columns of each stride phase side by side. In the slab every tap of every window
// of an output row is a stretch of consecutive elements, so packing is copying, with no bounds
// left to check. Rows and phases that a long stride steps over are left out.
#pragma once

#include <pocketcnn/window2d.h>

#include <array>
#include <vector>

#include "gemm/gemm.h"

namespace pocketcnn::gemm {

/// One group's channels of a batch of images, with the output grid that a window makes of them.
template <typename T>
struct WindowedImages {
    const T* data;             ///< first channel of the group in the first image
    index_t images, channels;  ///< batch, and channels of the group
    index_t image_stride;      ///< elements from one image to the next
    index_t h, w;
    Window2d window;
    index_t oh, ow;

    index_t pixels() const { return images * oh * ow; }
    index_t taps() const { return channels * window.taps(); }
};

/// Elements of the largest slab: 4 MiB of floats. A window that is dilated or padded far beyond
/// its kernel would need more, most of it never read.
inline constexpr double kLargestSlab = 1 << 20;

/// The input that output pixels [pixel, pixel_end) see through taps [tap, tap_end).
///
/// Where the slab would be too large, the block's part of the column matrix takes its place: one
/// row a tap, gathered element by element.
template <typename T>
class Slab {
  public:
    Slab(const Kernels<T>& kernels, const WindowedImages<T>& source)
        : kernels_(kernels),
          source_(source),
          pitch_(std::min(source.window.stride_h, source.window.span_h())),
          phases_(std::min(source.window.stride_w, source.window.span_w())) {}

    void load(index_t tap, index_t tap_end, index_t pixel, index_t pixel_end);

    /// The stretches that pixels [pixel, pixel_end), within the loaded ones, are made of.
    template <typename Runs>
    index_t runs(index_t pixel, index_t pixel_end, Runs& runs) const;

    /// offsets()[i] belongs to tap number (tap + i); add a run's source.
    const index_t* offsets() const { return offsets_.data(); }
    const T* data() const { return data_.data(); }

  private:
    /// The rows of one image that the block's pixels lie in.
    struct Section {
        index_t image;
        index_t row, rows;  ///< output rows
        index_t base;       ///< its first row in a channel of the slab
    };

    void lay_out(index_t pixel, index_t pixel_end);
    bool fits(index_t channels) const;
    void reserve(index_t size);
    void find_offsets(index_t tap);
    void gather(index_t tap, index_t tap_end, index_t pixel, index_t pixel_end);
    void copy_rows(index_t channel, const Section& section, T* to) const;
    void copy_inside(const T* rows, index_t count, T* to) const;
    index_t in_rows(index_t out_rows) const {
        return (out_rows - 1) * pitch_ + source_.window.span_h();
    }

    const Kernels<T>& kernels_;
    WindowedImages<T> source_;
    index_t pitch_;   ///< rows of the slab from one output row to the next
    index_t phases_;  ///< stride phases of a row that any tap reads
    std::vector<Section> sections_;
    index_t first_col_ = 0;     ///< first output column of every row
    index_t row_width_ = 0;     ///< elements of one stride phase of one row
    index_t channel_rows_ = 0;  ///< rows of one channel, over all sections
    std::vector<index_t> offsets_;
    bool gathered_ = false;
    index_t first_pixel_ = 0;
    Buffer<T> data_;
    index_t capacity_ = 0;
};

template <typename T>
void Slab<T>::load(index_t tap, index_t tap_end, index_t pixel, index_t pixel_end) {
    const index_t channel = tap / source_.window.taps();
    const index_t channel_end = ceil_div(tap_end, source_.window.taps());
    lay_out(pixel, pixel_end);
    gathered_ = !fits(channel_end - channel);
    first_pixel_ = pixel;
    offsets_.resize(static_cast<std::size_t>(tap_end - tap));
    if (gathered_) {
        gather(tap, tap_end, pixel, pixel_end);
        return;
    }
    find_offsets(tap);
    const index_t row_size = phases_ * row_width_;
    reserve((channel_end - channel) * channel_rows_ * row_size);
    T* to = data_.data();
    for (index_t c = channel; c < channel_end; ++c, to += channel_rows_ * row_size) {
        for (const Section& section : sections_) {
            copy_rows(c, section, to + section.base * row_size);
        }
    }
}

template <typename T>
bool Slab<T>::fits(index_t channels) const {
    return static_cast<double>(channels) * static_cast<double>(channel_rows_) *
               static_cast<double>(phases_) * static_cast<double>(row_width_) <=
           kLargestSlab;
}

template <typename T>
void Slab<T>::reserve(index_t size) {
    if (size + kPackSlack > capacity_) {
        data_ = Buffer<T>(size + kPackSlack);
        capacity_ = size + kPackSlack;
    }
}

/// Cuts the pixels into sections. Where all of them lie in one output row, only its columns are
/// kept: an image may be wider than any block.
template <typename T>
void Slab<T>::lay_out(index_t pixel, index_t pixel_end) {
    const Window2d& window = source_.window;
    const index_t plane = source_.oh * source_.ow;
    const bool one_row = pixel / source_.ow == (pixel_end - 1) / source_.ow;
    first_col_ = one_row ? pixel % source_.ow : 0;
    const index_t cols = one_row ? pixel_end - pixel : source_.ow;
    row_width_ = cols - 1 + ceil_div(window.span_w(), window.stride_w);

    sections_.clear();
    channel_rows_ = 0;
    while (pixel < pixel_end) {
        const index_t image = pixel / plane;
        const index_t last = std::min(pixel_end, (image + 1) * plane) - 1;
        const index_t row = pixel % plane / source_.ow, last_row = last % plane / source_.ow;
        const index_t rows = last_row - row + 1;
        sections_.push_back({image, row, rows, channel_rows_});
        channel_rows_ += in_rows(rows);
        pixel = last + 1;
    }
}

template <typename T>
void Slab<T>::find_offsets(index_t tap) {
    const Window2d& window = source_.window;
    const index_t first_channel = tap / window.taps();
    for (index_t& offset : offsets_) {
        const index_t channel = tap / window.taps() - first_channel;
        const index_t y = tap % window.taps() / window.kernel_w * window.dilation_h;
        const index_t x = tap % window.kernel_w * window.dilation_w;
        offset = ((channel * channel_rows_ + y) * phases_ + x % window.stride_w) * row_width_ +
                 x / window.stride_w;
        ++tap;
    }
}

template <typename T>
void Slab<T>::gather(index_t tap, index_t tap_end, index_t pixel, index_t pixel_end) {
    const Window2d& window = source_.window;
    const index_t count = pixel_end - pixel, plane = source_.oh * source_.ow;
    reserve((tap_end - tap) * count);
    T* to = data_.data();
    for (index_t t = tap; t < tap_end; ++t) {
        offsets_[static_cast<std::size_t>(t - tap)] = (t - tap) * count;
        const index_t channel = t / window.taps();
        const index_t tap_y = t % window.taps() / window.kernel_w * window.dilation_h;
        const index_t tap_x = t % window.kernel_w * window.dilation_w;
        for (index_t p = pixel; p < pixel_end; ++p) {
            const index_t y = p % plane / source_.ow * window.stride_h - window.pad_top + tap_y;
            const index_t x = p % source_.ow * window.stride_w - window.pad_left + tap_x;
            const bool inside = y >= 0 && y < source_.h && x >= 0 && x < source_.w;
            *to++ = inside ? source_.data[p / plane * source_.image_stride +
                                          (channel * source_.h + y) * source_.w + x]
                           : T{0};
        }
    }
}

template <typename T>
void Slab<T>::copy_rows(index_t channel, const Section& section, T* to) const {
    const Window2d& window = source_.window;
    const T* plane =
        source_.data + section.image * source_.image_stride + channel * source_.h * source_.w;
    const index_t first = section.row * window.stride_h - window.pad_top;
    const index_t size = phases_ * row_width_, rows = in_rows(section.rows);
    // Rows of the slab follow each other in the image too, or the window steps over some.
    const index_t group = pitch_ == window.stride_h ? rows : pitch_;
    for (index_t r = 0; r < rows; r += group) {
        const index_t y = first + r / pitch_ * window.stride_h;
        const index_t count = std::min(group, rows - r);
        const index_t begin = std::clamp<index_t>(-y, 0, count);
        const index_t end = std::clamp<index_t>(source_.h - y, begin, count);
        std::fill_n(to, begin * size, T{0});
        if (begin < end)
            copy_inside(plane + (y + begin) * source_.w, end - begin, to + begin * size);
        std::fill_n(to + end * size, (count - end) * size, T{0});
        to += count * size;
    }
}

/// Consecutive input rows, phase by phase, with zeros where they are padding.
template <typename T>
void Slab<T>::copy_inside(const T* rows, index_t count, T* to) const {
    const index_t stride = source_.window.stride_w;
    const index_t rows_at_once = phases_ == 1 ? count : 1;
    for (index_t r = 0; r < count; r += rows_at_once, rows += source_.w) {
        for (index_t phase = 0; phase < phases_; ++phase, to += row_width_) {
            const index_t x = first_col_ * stride - source_.window.pad_left + phase;
            const index_t begin = std::min(row_width_, x < 0 ? ceil_div(-x, stride) : 0);
            const index_t inside = x < source_.w ? ceil_div(source_.w - x, stride) : 0;
            const index_t end = std::max(begin, std::min(row_width_, inside));
            kernels_.pad_rows(rows_at_once, begin, end - begin, row_width_,
                              rows + x + begin * stride, source_.w, stride, to);
        }
    }
}

template <typename T>
template <typename Runs>
index_t Slab<T>::runs(index_t pixel, index_t pixel_end, Runs& runs) const {
    if (gathered_) {
        runs[0] = {pixel - first_pixel_, 0, pixel_end - pixel};
        return 1;
    }
    const index_t plane = source_.oh * source_.ow;
    const index_t row_size = phases_ * row_width_;
    index_t count = 0;
    for (index_t lane = 0, p = pixel; p < pixel_end;) {
        const Section& section =
            sections_[static_cast<std::size_t>(p / plane - sections_.front().image)];
        const index_t row = p % plane / source_.ow, col = p % source_.ow;
        const index_t length = std::min(source_.ow - col, pixel_end - p);
        runs[static_cast<std::size_t>(count++)] = {
            (section.base + (row - section.row) * pitch_) * row_size + col - first_col_, lane,
            length};
        lane += length;
        p += length;
    }
    return count;
}

/// Right operand: columns are output pixels, depth is taps (c, kh, kw).
template <typename T>
class RightWindows {
  public:
    RightWindows(const Kernels<T>& kernels, const WindowedImages<T>& source)
        : kernels_(kernels), slab_(kernels, source) {}

    void pack(const Block& block, T* panels) {
        slab_.load(block.depth, block.depth_end, block.col, block.col_end);
        const index_t length = block.depth_end - block.depth;
        std::array<LaneRun, kPackSlack> runs;  // no tile is wider than the slack
        for (index_t col = block.col; col < block.col_end; col += kernels_.cols) {
            const index_t end = std::min(col + kernels_.cols, block.col_end);
            const index_t count = slab_.runs(col, end, runs);
            kernels_.pack_runs(length, slab_.offsets(), runs.data(), count, kernels_.cols,
                               slab_.data(), panels);
            panels += length * kernels_.cols;
        }
    }

  private:
    const Kernels<T>& kernels_;
    Slab<T> slab_;
};

/// Right operand: columns are taps (c, kh, kw), depth is output pixels. The transposed column
/// matrix, for the gradient of the weights.
template <typename T>
class RightTaps {
  public:
    RightTaps(const Kernels<T>& kernels, const WindowedImages<T>& source)
        : kernels_(kernels), slab_(kernels, source) {}

    void pack(const Block& block, T* panels) {
        slab_.load(block.col, block.col_end, block.depth, block.depth_end);
        const index_t length = block.depth_end - block.depth;
        runs_.resize(static_cast<std::size_t>(length));
        const index_t run_count = slab_.runs(block.depth, block.depth_end, runs_);
        const Buffer<T> rows(kernels_.cols * length + kPackSlack);
        for (index_t col = block.col; col < block.col_end; col += kernels_.cols) {
            const index_t taps = std::min(kernels_.cols, block.col_end - col);
            kernels_.pack_runs(taps, slab_.offsets() + (col - block.col), runs_.data(), run_count,
                               length, slab_.data(), rows.data());
            kernels_.pack_columns(length, taps, kernels_.cols, rows.data(), length, panels);
            panels += length * kernels_.cols;
        }
    }

  private:
    const Kernels<T>& kernels_;
    Slab<T> slab_;
    std::vector<LaneRun> runs_;
};

}  // namespace pocketcnn::gemm
