// What a band of rows of results sees of an image: lines with zeros or other numbers around, so
// that a window needs no care for borders.
#pragma once

#include <pocketcnn/window2d.h>

#include <algorithm>

#include "channels_last/filters.h"

namespace pocketcnn::channels_last {

/// What a window sees of an image, and what it gives.
struct Geometry {
    Geometry(const Shape4& shape, const Window2d& sees)
        : image(shape),
          window(sees),
          out_h(window.out_h(image.h)),
          out_w(window.out_w(image.w)),
          width(std::max((out_w - 1) * window.stride_w + window.span_w(),
                         window.pad_left + image.w)) {}

    /// Lines that so many rows of results see.
    index_t lines(index_t rows) const { return (rows - 1) * window.stride_h + window.span_h(); }
    /// Lines that a band sees beyond its share, which the next band sees too.
    index_t shared_lines() const { return std::max<index_t>(0, window.span_h() - window.stride_h); }

    Shape4 image;  ///< one
    Window2d window;
    index_t out_h, out_w;
    index_t width;  ///< pixels of a line, with the zeros
};

/// Rows of results that a task computes.
struct BandOfRows {
    index_t row, rows;
};

/// The rows of the results in bands of nearly equal height.
struct BandCut {
    /// At least one band, and `wanted` if they have at least `least` and at most `most` rows.
    BandCut(index_t height, index_t wanted, index_t least, index_t most)
        : rows(std::clamp(std::min(most, std::max(least, ceil_div(height, wanted))), index_t{1},
                          height)),
          bands(ceil_div(height, rows)) {
        rows = ceil_div(height, bands);
    }
    BandOfRows band(index_t i, index_t height) const {
        return {i * rows, std::min(rows, height - i * rows)};
    }

    index_t rows, bands;
};

template <typename T>
class Lines {
  public:
    /// For bands of up to so many rows and pixels of up to so many elements.
    Lines(const Geometry& of, index_t rows, index_t pitch, T around = 0)
        : of_(of),
          pitch_(pitch),
          around_(around),
          data_(of.lines(rows) * of.width * pitch + kPackSlack) {}

    /// Takes what the band sees: fill(first line of the image, lines, where its first pixel goes)
    /// writes pixels of `pitch` elements into lines of `line()`.
    template <typename Fill>
    void load(const BandOfRows& band, index_t pitch, const Fill& fill) {
        pitch_ = pitch;
        const index_t count = of_.lines(band.rows);
        const index_t first = band.row * of_.window.stride_h - of_.window.pad_top;
        const index_t begin = std::clamp(-first, index_t{0}, count);
        const index_t end = std::clamp(of_.image.h - first, begin, count);
        const index_t left = of_.window.pad_left * pitch_;
        const index_t right = line() - left - of_.image.w * pitch_;
        std::fill_n(data_.data(), begin * line(), around_);
        if (begin < end) fill(first + begin, end - begin, data_.data() + begin * line() + left);
        for (index_t i = begin; i < end; ++i) {
            std::fill_n(data_.data() + i * line(), left, around_);
            std::fill_n(data_.data() + (i + 1) * line() - right, right, around_);
        }
        std::fill_n(data_.data() + end * line(), (count - end) * line(), around_);
    }

    /// Takes it of an image with as many elements for a pixel.
    void copy(const BandOfRows& band, index_t pitch, const T* x) {
        const index_t size = of_.image.w * pitch;
        load(band, pitch, [&](index_t row, index_t count, T* to) {
            kernels<T>().copies.copy_rows(count, size, x + row * size, size, to, line(), 1);
        });
    }

    const T* data() const { return data_.data(); }
    index_t pitch() const { return pitch_; }
    index_t line() const { return of_.width * pitch_; }
    /// Where the taps of the window are.
    Taps taps() const {
        return {of_.window.kernel_h, of_.window.kernel_w, of_.window.dilation_h * line(),
                of_.window.dilation_w * pitch_};
    }
    /// From one pixel of the results to the next, in what they see.
    PixelGrid pixels() const {
        return {of_.window.stride_w * pitch_, of_.out_w, of_.window.stride_h * line()};
    }

  private:
    const Geometry& of_;
    index_t pitch_;
    T around_;
    Buffer<T> data_;
};

}  // namespace pocketcnn::channels_last
