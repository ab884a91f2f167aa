// im2col without its matrix: the pixels that a block of the column matrix consists of are copied
// from the image, and the matrix itself never exists.
//
// The copy, a slab, holds the rows of the image that the block's windows see, padded with zeros.
// Element (pixel, tap) of the column matrix is at pixel_offsets()[pixel] + tap_offsets()[tap] in
// it, as the indirect product reads it. Rows that a long stride skips are left out.
#pragma once

#include <pocketcnn/window2d.h>

#include <vector>

#include "gemm/gemm.h"

namespace pocketcnn::gemm {

/// One group's channels of a batch of images, with the window and its output grid.
template <typename T>
struct WindowedImages {
    const T* data;             ///< first channel of the group in the first image
    index_t images, channels;  ///< batch, and channels of the group
    index_t image_stride;      ///< elements from one image to the next
    index_t h, w;
    Window2d window;
    index_t oh, ow;
    const ChannelNorm<T>* units = nullptr;  ///< of each channel; null where pixels stay as they are

    index_t pixels() const { return images * oh * ow; }
    index_t taps() const { return channels * window.taps(); }
};

/// Elements of the largest slab: 4 MiB of floats. A window dilated or padded far beyond its kernel
/// would need more, and most of it would never be read.
inline constexpr double kLargestSlab = 1 << 20;

inline bool is_padded(const Window2d& w) {
    return w.pad_top != 0 || w.pad_bottom != 0 || w.pad_left != 0 || w.pad_right != 0;
}

/// Whether images without padding are read in place, which is mostly faster
/// (docs/measurements.md#matrix-product), or copied too; in phases for a reader that reads past the
/// last element and wants the pixels of a row beside each other: each phase of a horizontal stride
/// is then a plane of its own. Images that are normalised are copied.
enum class SlabReading { in_place_if_whole, copied, in_phases };

/// The input that output pixels [pixel, pixel_end) see through taps [tap, tap_end).
///
/// Where the slab would be too large, the block's part of the column matrix takes its place: one
/// row per tap, gathered element by element.
template <typename T>
class Slab {
  public:
    Slab(const Kernels<T>& kernels, const WindowedImages<T>& source,
         SlabReading reading = SlabReading::in_place_if_whole)
        : kernels_(kernels),
          source_(source),
          in_place_(reading == SlabReading::in_place_if_whole && !is_padded(source.window) &&
                    source.units == nullptr),
          pitch_(in_place_ ? source.window.stride_h
                           : std::min(source.window.stride_h, source.window.span_h())),
          step_(!in_place_ && (reading == SlabReading::in_phases || source.window.span_w() == 1)
                    ? 1
                    : source.window.stride_w),
          stride_(source.window.stride_w / step_),
          phases_(std::min(stride_, source.window.span_w())) {}

    /// Loads the slab and computes the offsets; kIndirectRowsMultiple valid ones follow the last of
    /// each kind.
    void load(index_t tap, index_t tap_end, index_t pixel, index_t pixel_end);

    const T* data() const { return in_place_ ? source_.data : data_.data(); }
    const index_t* pixel_offsets() const { return pixel_offsets_.data(); }
    const index_t* tap_offsets() const { return tap_offsets_.data(); }

  private:
    /// The rows of one image that the block's pixels lie in.
    struct Section {
        index_t image;
        index_t row, rows;  ///< output rows
        index_t base;       ///< its first row in a channel of the slab
    };

    void cut_sections(index_t pixel, index_t pixel_end);
    void lay_out(index_t pixel, index_t pixel_end);
    void lay_over_images(index_t channel);
    bool fits(index_t channels) const;
    void reserve(index_t size);
    void find_tap_offsets(index_t tap, index_t tap_end);
    void find_pixel_offsets(index_t pixel, index_t pixel_end);
    void gather(index_t tap, index_t tap_end, index_t pixel, index_t pixel_end);
    void copy_channel(index_t channel, T* to) const;
    void copy_rows(index_t channel, index_t phase, const Section& section, T* to) const;
    void copy_inside(index_t channel, index_t phase, const T* rows, index_t count, T* to) const;
    const ChannelNorm<T>* norm_of(index_t channel) const {
        return source_.units != nullptr ? source_.units + channel : nullptr;
    }
    index_t in_rows(index_t out_rows) const {
        return (out_rows - 1) * pitch_ + source_.window.span_h();
    }

    const Kernels<T>& kernels_;
    WindowedImages<T> source_;
    bool in_place_;
    index_t pitch_;   ///< rows of the slab from one output row to the next
    index_t step_;    ///< elements of the slab from one output column to the next
    index_t stride_;  ///< columns of the image from one element of a row to the next
    index_t phases_;  ///< planes of a channel: phases of stride_ that some tap reads
    std::vector<Section> sections_;
    index_t first_col_ = 0;     ///< first output column of every row
    index_t row_width_ = 0;     ///< elements of a row
    index_t channel_rows_ = 0;  ///< rows of one phase of a channel, over all sections
    index_t channel_size_ = 0;  ///< elements from one channel to the next
    std::vector<index_t> pixel_offsets_, tap_offsets_;
    Buffer<T> data_;
    index_t capacity_ = 0;
};

/// Repeats the last offset: a tile may have more rows than the block, whose results are not used.
inline void repeat_last(std::vector<index_t>& offsets) {
    offsets.insert(offsets.end(), kIndirectRowsMultiple, offsets.back());
}

template <typename T>
void Slab<T>::load(index_t tap, index_t tap_end, index_t pixel, index_t pixel_end) {
    const index_t channel = tap / source_.window.taps();
    const index_t channel_end = ceil_div(tap_end, source_.window.taps());
    tap_offsets_.clear();
    tap_offsets_.reserve(static_cast<std::size_t>(tap_end - tap + kIndirectRowsMultiple));
    pixel_offsets_.clear();
    pixel_offsets_.reserve(static_cast<std::size_t>(pixel_end - pixel + kIndirectRowsMultiple));
    cut_sections(pixel, pixel_end);
    if (in_place_) {
        lay_over_images(channel);
        find_tap_offsets(tap, tap_end);
        find_pixel_offsets(pixel, pixel_end);
    } else if (lay_out(pixel, pixel_end); fits(channel_end - channel)) {
        find_tap_offsets(tap, tap_end);
        find_pixel_offsets(pixel, pixel_end);
        reserve((channel_end - channel) * channel_size_);
        for (index_t c = channel; c < channel_end; ++c) {
            copy_channel(c, data_.data() + (c - channel) * channel_size_);
        }
    } else {
        gather(tap, tap_end, pixel, pixel_end);
    }
    repeat_last(tap_offsets_);
    repeat_last(pixel_offsets_);
}

template <typename T>
bool Slab<T>::fits(index_t channels) const {
    return static_cast<double>(channels * phases_) * static_cast<double>(channel_rows_) *
               static_cast<double>(row_width_) <=
           kLargestSlab;
}

template <typename T>
void Slab<T>::reserve(index_t size) {
    if (size + kPackSlack > capacity_) {
        data_ = Buffer<T>(size + kPackSlack);
        capacity_ = size + kPackSlack;
    }
}

template <typename T>
void Slab<T>::cut_sections(index_t pixel, index_t pixel_end) {
    const index_t plane = source_.oh * source_.ow;
    sections_.clear();
    while (pixel < pixel_end) {
        const index_t image = pixel / plane;
        const index_t last = std::min(pixel_end, (image + 1) * plane) - 1;
        const index_t row = pixel % plane / source_.ow, last_row = last % plane / source_.ow;
        sections_.push_back({image, row, last_row - row + 1, 0});
        pixel = last + 1;
    }
}

/// Places the sections one after the other. If all pixels lie in one output row, only its columns
/// are kept, because an image may be wider than any block.
template <typename T>
void Slab<T>::lay_out(index_t pixel, index_t pixel_end) {
    const bool one_row = pixel / source_.ow == (pixel_end - 1) / source_.ow;
    first_col_ = one_row ? pixel % source_.ow : 0;
    const index_t cols = one_row ? pixel_end - pixel : source_.ow;
    row_width_ = (cols - 1) * step_ + ceil_div(source_.window.span_w(), stride_);
    channel_rows_ = 0;
    for (Section& section : sections_) {
        section.base = channel_rows_;
        channel_rows_ += in_rows(section.rows);
    }
    // Channels a multiple of 1 KiB apart would share a few cache sets.
    constexpr index_t line = 64 / sizeof(T), crowded = 1024 / sizeof(T);
    channel_size_ = phases_ * channel_rows_ * row_width_;
    if (round_up(channel_size_, line) % crowded == 0) channel_size_ += line;
}

/// Places the sections where they are in the images, relative to `channel` of the first image.
template <typename T>
void Slab<T>::lay_over_images(index_t channel) {
    row_width_ = source_.w;
    channel_size_ = source_.h * source_.w;
    for (Section& section : sections_) {
        section.base = section.image * (source_.image_stride / source_.w) + channel * source_.h +
                       section.row * source_.window.stride_h;
    }
}

template <typename T>
void Slab<T>::find_tap_offsets(index_t tap, index_t tap_end) {
    const Window2d& window = source_.window;
    index_t kx = tap % window.kernel_w, ky = tap / window.kernel_w % window.kernel_h;
    for (index_t channel = 0; tap < tap_end; ++tap) {
        const index_t col = kx * window.dilation_w;
        const index_t row = col % stride_ * channel_rows_ + ky * window.dilation_h;
        tap_offsets_.push_back(channel * channel_size_ + row * row_width_ + col / stride_);
        if (++kx < window.kernel_w) continue;
        kx = 0;
        if (++ky < window.kernel_h) continue;
        ky = 0;
        ++channel;
    }
}

template <typename T>
void Slab<T>::find_pixel_offsets(index_t pixel, index_t pixel_end) {
    index_t col = pixel % source_.ow;
    for (const Section& section : sections_) {
        for (index_t row = 0; row < section.rows; ++row, col = 0) {
            const index_t first = (section.base + row * pitch_) * row_width_;
            for (; col < source_.ow && pixel < pixel_end; ++col, ++pixel) {
                pixel_offsets_.push_back(first + (col - first_col_) * step_);
            }
        }
    }
}

template <typename T>
void Slab<T>::gather(index_t tap, index_t tap_end, index_t pixel, index_t pixel_end) {
    const Window2d& window = source_.window;
    const index_t count = pixel_end - pixel, plane = source_.oh * source_.ow;
    reserve((tap_end - tap) * count);
    T* to = data_.data();
    for (index_t p = 0; p < count; ++p) pixel_offsets_.push_back(p);
    for (index_t t = tap; t < tap_end; ++t) {
        tap_offsets_.push_back((t - tap) * count);
        const index_t channel = t / window.taps();
        const ChannelNorm<T>* norm = norm_of(channel);
        const index_t tap_y = t % window.taps() / window.kernel_w * window.dilation_h;
        const index_t tap_x = t % window.kernel_w * window.dilation_w;
        for (index_t p = pixel; p < pixel_end; ++p) {
            const index_t y = p % plane / source_.ow * window.stride_h - window.pad_top + tap_y;
            const index_t x = p % source_.ow * window.stride_w - window.pad_left + tap_x;
            const bool inside = y >= 0 && y < source_.h && x >= 0 && x < source_.w;
            *to = inside ? source_.data[p / plane * source_.image_stride +
                                        (channel * source_.h + y) * source_.w + x]
                         : T{0};
            if (inside && norm != nullptr) kernels_.normalization.normalize(*norm, 1, to, to);
            ++to;
        }
    }
}

template <typename T>
void Slab<T>::copy_channel(index_t channel, T* to) const {
    for (index_t phase = 0; phase < phases_; ++phase, to += channel_rows_ * row_width_) {
        for (const Section& section : sections_) {
            copy_rows(channel, phase, section, to + section.base * row_width_);
        }
    }
}

template <typename T>
void Slab<T>::copy_rows(index_t channel, index_t phase, const Section& section, T* to) const {
    const Window2d& window = source_.window;
    const T* plane =
        source_.data + section.image * source_.image_stride + channel * source_.h * source_.w;
    const index_t first = section.row * window.stride_h - window.pad_top;
    const index_t rows = in_rows(section.rows);
    // Rows of the slab follow each other in the image too, or the window skips some.
    const index_t group = pitch_ == window.stride_h ? rows : pitch_;
    for (index_t r = 0; r < rows; r += group) {
        const index_t y = first + r / pitch_ * window.stride_h;
        const index_t count = std::min(group, rows - r);
        const index_t begin = std::clamp<index_t>(-y, 0, count);
        const index_t end = std::clamp<index_t>(source_.h - y, begin, count);
        std::fill_n(to, begin * row_width_, T{0});
        if (begin < end) {
            copy_inside(channel, phase, plane + (y + begin) * source_.w, end - begin,
                        to + begin * row_width_);
        }
        std::fill_n(to + end * row_width_, (count - end) * row_width_, T{0});
        to += count * row_width_;
    }
}

/// Consecutive input rows, with zeros where they are padding.
template <typename T>
void Slab<T>::copy_inside(index_t channel, index_t phase, const T* rows, index_t count,
                          T* to) const {
    const index_t x = first_col_ * source_.window.stride_w - source_.window.pad_left + phase;
    const index_t begin = std::min(row_width_, x < 0 ? ceil_div(-x, stride_) : 0);
    const index_t inside = x < source_.w ? ceil_div(source_.w - x, stride_) : 0;
    const index_t end = std::clamp(inside, begin, row_width_);
    kernels_.copies.pad_rows(count, begin, end - begin, row_width_, rows + x + begin * stride_,
                             source_.w, stride_, to, norm_of(channel));
}

}  // namespace pocketcnn::gemm
