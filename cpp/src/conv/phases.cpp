#include "conv/phases.h"

#include <algorithm>

#include "conv/direct.h"
#include "conv/few_pixels.h"
#include "conv/im2col.h"
#include "runtime/isa.h"
#include "runtime/parallel.h"

namespace pocketcnn::conv::phases {
namespace {

/// One phase of one axis. Positions i of dx with (i + pad) % stride == phase, in order, are output
/// pixels of a convolution of dy by the kernel's taps phase, phase + stride, ... in reverse. Where
/// there is a dilation the stride is 1 and the only phase 0.
struct Axis {
    Axis(index_t phase, index_t size, index_t out, index_t kernel, index_t stride, index_t dilation,
         index_t pad)
        : taps(phase < kernel ? ceil_div(kernel - phase, stride) : 0),
          last_tap(phase + (taps - 1) * stride) {
        const index_t quotient = phase < pad ? ceil_div(pad - phase, stride) : 0;
        first = quotient * stride + phase - pad;
        count = first < size ? ceil_div(size - first, stride) : 0;
        before = (taps - 1) * dilation - quotient;
        after = quotient + count - out;
    }
    bool is_empty() const { return taps == 0 || count == 0; }

    index_t taps, last_tap;
    index_t first, count;   ///< pixels of dx
    index_t before, after;  ///< padding of dy
};

Axis rows(const Problem& p, index_t phase) {
    return {
        phase,           p.x.h, p.y.h, p.window.kernel_h, p.window.stride_h, p.window.dilation_h,
        p.window.pad_top};
}
Axis cols(const Problem& p, index_t phase) {
    return {phase,
            p.x.w,
            p.y.w,
            p.window.kernel_w,
            p.window.stride_w,
            p.window.dilation_w,
            p.window.pad_left};
}

/// Weights (groups * channels, filters, taps of the phase), in reverse.
template <typename T>
Buffer<T> select_weights(const Problem& problem, const Axis& y, const Axis& x, const T* weight) {
    const Window2d& w = problem.window;
    const index_t area = y.taps * x.taps;
    Buffer<T> selected(problem.groups * problem.channels * problem.filters * area);
    const double elements = static_cast<double>(problem.groups * problem.channels) *
                            static_cast<double>(problem.filters * area);
    parallel_for(problem.groups * problem.channels, elements, [&](index_t i) {
        const index_t group = i / problem.channels, c = i % problem.channels;
        T* to = selected.data() + i * problem.filters * area;
        for (index_t f = 0; f < problem.filters; ++f) {
            const T* from = weight + (group * problem.filters + f) * problem.taps + c * w.taps();
            for (index_t ky = y.last_tap; ky >= 0; ky -= w.stride_h) {
                for (index_t kx = x.last_tap; kx >= 0; kx -= w.stride_w) {
                    *to++ = from[ky * w.kernel_w + kx];
                }
            }
        }
    });
    return selected;
}

/// The same as a packed right operand: columns are channels, depth is (filter, tap of the phase).
template <typename T>
std::vector<gemm::PackedPanels<T>> pack_weights(const Problem& problem, const Axis& y,
                                                const Axis& x, const T* weight) {
    const Window2d& w = problem.window;
    const Kernels<T>& kernel = kernels<T>();
    return gemm::pack_groups<T>(
        {kernel, problem.channels}, problem.groups, problem.filters * y.taps * x.taps,
        [&](index_t group, index_t channel, index_t channels, index_t width, T* panel) {
            const T* from = weight + group * problem.filters * problem.taps + channel * w.taps();
            for (index_t f = 0; f < problem.filters; ++f, from += problem.taps) {
                for (index_t ky = y.last_tap; ky >= 0; ky -= w.stride_h) {
                    for (index_t kx = x.last_tap; kx >= 0; kx -= w.stride_w, panel += width) {
                        const T* tap = from + ky * w.kernel_w + kx;
                        for (index_t c = 0; c < channels; ++c) panel[c] = tap[c * w.taps()];
                        std::fill(panel + channels, panel + width, T{0});
                    }
                }
            }
        });
}

/// The phases of the columns by what is left of a column of dx divided by the stride, and a window
/// on dy that holds the taps of all of them: its column q sees what columns q * stride and on of dx
/// see, those of remainder r through columns [first[r], first[r] + phase[r].taps) of the window.
struct JoinedColumns {
    explicit JoinedColumns(const Problem& problem) {
        const index_t stride = problem.window.stride_w, pad = problem.window.pad_left;
        index_t most = 0;
        for (index_t r = 0; r < std::min(stride, problem.x.w); ++r) {
            phase.push_back(cols(problem, (r + pad) % stride));
            if (phase[static_cast<std::size_t>(r)].is_empty()) continue;
            before = std::max(before, phase.back().taps - 1 - (r + pad) / stride);
            most = std::max(most, (r + pad) / stride);
        }
        for (index_t r = 0; r < count(); ++r) {
            first.push_back(before + (r + pad) / stride -
                            (phase[static_cast<std::size_t>(r)].taps - 1));
        }
        taps = before + most + 1;
        after = ceil_div(problem.x.w, stride) + most - problem.y.w;
    }
    index_t count() const { return static_cast<index_t>(phase.size()); }

    std::vector<Axis> phase;
    std::vector<index_t> first;
    index_t taps = 0, before = 0, after = 0;  ///< of the window: columns, and padding of dy
};

/// All phases of the columns for one phase of the rows. dy is copied once for all of them, and dx
/// written in whole rows: 64x56 to 128, 3x3 stride 2, on one core with AVX-512, 14.8 instead
/// of 17.7 ms, of which a fourth were copies and stores of every second element.
template <typename T>
class RowPhase {
  public:
    RowPhase(const Problem& problem, const Axis& y, const T* dy, const T* weight, T* dx);

    void run() const;

  private:
    using Sums = std::vector<gemm::IndirectSums<T>>;

    static Problem join(const Problem& problem, const Axis& y, const JoinedColumns& columns);
    void block(index_t group, index_t pixel, index_t panel) const;
    void write(const Sums& sums, index_t panel, T* lines, T* to, index_t pixel,
               index_t pixel_end) const;
    void write_lines(index_t channels, const T* lines, T* to, index_t pixel,
                     index_t pixel_end) const;

    /// Channels and pixels that are transposed at once, for each remainder.
    static constexpr index_t kPart = 32;

    const Kernels<T>& kernel_;
    const Problem& problem_;
    JoinedColumns columns_;
    Problem joined_;
    gemm::Panels panels_;
    im2col::ForwardCut cut_;
    const T* dy_;
    T* dx_;                                                    ///< the first row of the phase
    std::vector<std::vector<gemm::PackedPanels<T>>> weights_;  ///< [remainder][group]
};

template <typename T>
RowPhase<T>::RowPhase(const Problem& problem, const Axis& y, const T* dy, const T* weight, T* dx)
    : kernel_(kernels<T>()),
      problem_(problem),
      columns_(problem),
      joined_(join(problem, y, columns_)),
      panels_(kernel_, problem.channels),
      cut_(joined_, panels_),
      dy_(dy),
      dx_(dx + y.first * problem.x.w) {
    for (const Axis& x : columns_.phase) {
        weights_.push_back(x.is_empty() ? std::vector<gemm::PackedPanels<T>>()
                                        : pack_weights(problem, y, x, weight));
    }
}

template <typename T>
Problem RowPhase<T>::join(const Problem& problem, const Axis& y, const JoinedColumns& columns) {
    Window2d window;
    window.kernel_h = y.taps;
    window.kernel_w = columns.taps;
    window.pad_top = y.before;
    window.pad_bottom = y.after;
    window.pad_left = columns.before;
    window.pad_right = columns.after;
    return {problem.y, {window, problem.x.c, problem.groups, ConvAlgorithm::im2col}};
}

template <typename T>
void RowPhase<T>::run() const {
    parallel_for(joined_.groups * cut_.tasks(), joined_.multiply_adds(), [&](index_t i) {
        block(i / cut_.tasks(), i % cut_.tasks() / cut_.panel_blocks * cut_.pixels,
              i % cut_.panel_blocks * cut_.panels_per_task);
    });
}

template <typename T>
void RowPhase<T>::block(index_t group, index_t pixel, index_t panel) const {
    const index_t panel_end = std::min(panels_.count(), panel + cut_.panels_per_task);
    const index_t pixel_end = std::min(joined_.pixels(), pixel + cut_.pixels);
    const index_t area = joined_.window.taps(), step = cut_.channels * area;
    Sums sums;
    for (index_t r = 0; r < columns_.count(); ++r) {
        sums.emplace_back(kernel_, panels_, panel, panel_end, pixel_end - pixel);
    }
    gemm::Slab<T> slab(kernel_, joined_.windows(dy_, group));
    std::vector<index_t> offsets;
    for (index_t tap = 0; tap < joined_.taps; tap += step) {
        const index_t lines = (std::min(joined_.taps, tap + step) - tap) / columns_.taps;
        slab.load(tap, tap + lines * columns_.taps, pixel, pixel_end);
        for (std::size_t r = 0; r < sums.size(); ++r) {
            const index_t taps = columns_.phase[r].is_empty() ? 0 : columns_.phase[r].taps;
            if (taps == 0) continue;
            offsets.clear();
            for (index_t line = 0; line < lines; ++line) {
                const index_t* from = slab.tap_offsets() + line * columns_.taps + columns_.first[r];
                offsets.insert(offsets.end(), from, from + taps);
            }
            sums[r].add(lines * taps, slab.data(), slab.pixel_offsets(), 0, pixel_end - pixel,
                        offsets.data(), weights_[r][static_cast<std::size_t>(group)],
                        tap / columns_.taps * taps, tap > 0);
        }
    }
    const Buffer<T> lines(columns_.count() * kPart * kPart + kPackSlack);
    std::fill_n(lines.data(), columns_.count() * kPart * kPart, T{0});
    T* to = dx_ + group * problem_.channels * problem_.x.plane();
    for (index_t p = panel; p < panel_end; ++p) {
        write(sums, p, lines.data(), to, pixel, pixel_end);
    }
}

/// A panel's channels of the block, by parts that are transposed first.
template <typename T>
void RowPhase<T>::write(const Sums& sums, index_t panel, T* lines, T* to, index_t pixel,
                        index_t pixel_end) const {
    const index_t width = panels_.width(panel), length = panels_.length(panel);
    for (index_t c = 0; c < length; c += kPart) {
        const index_t channels = std::min(kPart, length - c);
        for (index_t p = pixel; p < pixel_end; p += kPart) {
            const index_t count = std::min(kPart, pixel_end - p);
            for (std::size_t r = 0; r < sums.size(); ++r) {
                if (columns_.phase[r].is_empty()) continue;
                kernel_.store_transposed(
                    count, channels, sums[r].data(panel) + (p - pixel) * width + c, width, nullptr,
                    lines + static_cast<index_t>(r) * kPart * kPart, kPart);
            }
            write_lines(channels, lines, to + (panels_.begin(panel) + c) * problem_.x.plane(), p,
                        p + count);
        }
    }
}

/// Pixels [pixel, pixel_end) of all remainders, element by element in turn, to rows of dx.
template <typename T>
void RowPhase<T>::write_lines(index_t channels, const T* lines, T* to, index_t pixel,
                              index_t pixel_end) const {
    const index_t width = joined_.y.w, height = joined_.y.h, stride = problem_.window.stride_w;
    while (pixel < pixel_end) {
        const index_t row = pixel / width, col = pixel % width;
        const index_t count = std::min(width - col, pixel_end - pixel);
        kernel_.interleave_rows(
            channels, stride, std::min(count * stride, problem_.x.w - col * stride), lines, kPart,
            kPart * kPart,
            to + row / height * problem_.x.image() +
                row % height * problem_.window.stride_h * problem_.x.w + col * stride,
            problem_.x.plane());
        pixel += count;
        lines += count;
    }
}

/// The convolution of dy that a phase is.
Conv2d phase_conv(const Problem& problem, ConvAlgorithm algorithm, const Axis& y, const Axis& x) {
    Window2d window;
    window.kernel_h = y.taps;
    window.kernel_w = x.taps;
    window.pad_top = y.before;
    window.pad_bottom = y.after;
    window.pad_left = x.before;
    window.pad_right = x.after;
    window.dilation_h = problem.window.dilation_h;
    window.dilation_w = problem.window.dilation_w;
    return {window, problem.x.c, problem.groups, algorithm};
}

bool is_direct(const Problem& problem, const Conv2d& conv) {
    return conv2d_plan(problem.y, conv, ConvPass::forward).algorithm == ConvAlgorithm::direct;
}

/// Whether the phases of the columns are computed together. Direct convolution, which cannot, is
/// faster with few channels: 16x40 to 4, 2x2 stride 2, 0.88 of the time; with 16 channels joined
/// columns take half of the time, 16x28 to 128, 4x4 stride 4.
bool joins(const Problem& problem, ConvAlgorithm algorithm, const Axis& y) {
    constexpr index_t few_channels = 8;
    const Window2d& w = problem.window;
    if (w.stride_w == 1 || w.taps() == 1 || algorithm == ConvAlgorithm::direct) return false;
    if (problem.channels > few_channels) return true;
    for (index_t j = 0; j < std::min(w.stride_w, w.kernel_w); ++j) {
        const Axis x = cols(problem, j);
        if (!x.is_empty() && !is_direct(problem, phase_conv(problem, algorithm, y, x))) return true;
    }
    return false;
}

template <typename T>
void run_phase(const Problem& problem, ConvAlgorithm algorithm, const Axis& y, const Axis& x,
               const T* dy, const T* weight, T* dx) {
    const Conv2d conv = phase_conv(problem, algorithm, y, x);
    OutputGrid grid(problem.x);
    grid.row = problem.x.w * problem.window.stride_h;
    grid.col = problem.window.stride_w;
    T* to = dx + y.first * problem.x.w + x.first;
    const Problem part(problem.y, conv);
    const T* no_bias = nullptr;
    if (is_direct(problem, conv)) {
        const Buffer<T> selected = select_weights(problem, y, x, weight);
        direct::forward(part, dy, selected.data(), no_bias, to, grid);
    } else if (conv.window.is_pointwise()) {
        const Buffer<T> selected = select_weights(problem, y, x, weight);
        im2col::forward(part, dy, selected.data(), no_bias, to, grid);
    } else if (problem.window.stride_h == 1 && few_pixels::suits(part)) {
        few_pixels::forward_turned(part, dy, weight, to);
    } else {
        im2col::forward(part, dy, pack_weights(problem, y, x, weight), no_bias, to, grid);
    }
}

}  // namespace

bool fits(const Problem& problem) {
    const Window2d& w = problem.window;
    const bool is_strided = w.stride_h > 1 || w.stride_w > 1;
    if (is_strided && (w.dilation_h > 1 || w.dilation_w > 1)) return false;
    const auto fits_axis = [](const Axis& axis) {
        return axis.is_empty() || (axis.before >= 0 && axis.after >= 0);
    };
    for (index_t i = 0; i < std::min(w.stride_h, w.kernel_h); ++i) {
        if (!fits_axis(rows(problem, i))) return false;
    }
    for (index_t i = 0; i < std::min(w.stride_w, w.kernel_w); ++i) {
        if (!fits_axis(cols(problem, i))) return false;
    }
    return true;
}

template <typename T>
void input_grad(const Problem& problem, ConvAlgorithm algorithm, const T* dy, const T* weight,
                T* dx) {
    const Window2d& w = problem.window;
    if (w.stride_h > w.kernel_h || w.stride_w > w.kernel_w) {
        // The windows step over some pixels, which no phase writes.
        constexpr index_t grain = 1 << 14;
        parallel_ranges(problem.x.size(), grain, 1,
                        [&](index_t begin, index_t end) { std::fill(dx + begin, dx + end, T{0}); });
    }
    for (index_t i = 0; i < std::min(w.stride_h, w.kernel_h); ++i) {
        const Axis y = rows(problem, i);
        if (y.is_empty()) continue;
        if (joins(problem, algorithm, y)) {
            RowPhase<T>(problem, y, dy, weight, dx).run();
            continue;
        }
        for (index_t j = 0; j < std::min(w.stride_w, w.kernel_w); ++j) {
            const Axis x = cols(problem, j);
            if (!x.is_empty()) run_phase(problem, algorithm, y, x, dy, weight, dx);
        }
    }
}

#define POCKETCNN_INSTANTIATE(T) \
    template void input_grad(const Problem&, ConvAlgorithm, const T*, const T*, T*);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::conv::phases
