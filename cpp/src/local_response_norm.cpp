#include <pocketcnn/local_response_norm.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include "runtime/isa.h"
#include "runtime/memory_pool.h"
#include "runtime/parallel.h"

namespace pocketcnn {
namespace {

/// Bytes of a strip of pixels: five channels (a window) of the arrays and of the gradient's scratch
/// fit an L1 cache of 32 KiB.
constexpr index_t kStripBytes = 2048;
/// Cost of roots and a division, relative to copying an element.
constexpr double kPowerCost = 8;

void check(const LocalResponseNorm& norm, const Shape4& x, const Shape4& other) {
    if (norm.size < 1) throw std::invalid_argument("the window's size must be at least 1");
    if (x != other) throw std::invalid_argument("input and output must have one shape");
}

/// Runs body(strip, offset of its first element) over all strips of pixels of all images.
template <typename T, typename Body>
void for_strips(const Shape4& x, const LocalResponseNorm& norm, Body&& body) {
    if (x.size() == 0) return;
    constexpr index_t width = kStripBytes / sizeof(T);
    const index_t strips = ceil_div(x.plane(), width), size = std::min(norm.size, 2 * x.c);
    const double cost = kPowerCost + static_cast<double>(size);
    parallel_for(x.n * strips, cost * static_cast<double>(x.size()), [&](index_t i) {
        const index_t pixel = i % strips * width;
        const ResponseStrip<T> strip = {
            .channels = x.c,
            .plane = x.plane(),
            .pixels = std::min(width, x.plane() - pixel),
            .before = std::min(norm.size / 2, x.c),
            .after = std::min((norm.size - 1) / 2, x.c),
            .k = static_cast<T>(norm.k),
            .share = static_cast<T>(norm.alpha / static_cast<double>(norm.size)),
            .beta = static_cast<T>(norm.beta),
        };
        body(strip, i / strips * x.image() + pixel);
    });
}

/// Computes a pixel whose squares, or sums of them, overflow T, in a type where they do not.
template <typename T>
class WidePixel {
  public:
    WidePixel(const ResponseStrip<T>& strip, const T* x)
        : strip_(strip), x_(x), scales_(static_cast<std::size_t>(strip.channels)) {
        constexpr long double most = std::numeric_limits<T>::max();
        for (index_t c = 0; c < strip.channels; ++c) {
            long double squares = 0;
            const index_t end = std::min(strip.channels, c + strip.after + 1);
            for (index_t i = std::max<index_t>(0, c - strip.before); i < end; ++i) {
                squares += value(i) * value(i);
            }
            const long double s = strip.k + strip.share * squares;
            scales_[static_cast<std::size_t>(c)] = s;
            overflows_ = overflows_ || squares > most || s > most;
            finite_ = finite_ && std::isfinite(s);
        }
    }

    /// Whether the pixel must be computed again: values of x that are not finite stay as they are.
    bool overflows() const { return overflows_ && finite_; }

    void normalize(T* y) const {
        for (index_t c = 0; c < strip_.channels; ++c) {
            y[c * strip_.plane] = static_cast<T>(value(c) * power(c));
        }
    }

    void gradient(const T* dy, T* dx) const {
        const long double factor = 2.0L * strip_.share * strip_.beta;
        const auto direct = [&](index_t c) {
            return static_cast<long double>(dy[c * strip_.plane]) * power(c);
        };
        for (index_t c = 0; c < strip_.channels; ++c) {
            long double total = 0;
            const index_t end = std::min(strip_.channels, c + strip_.before + 1);
            for (index_t i = std::max<index_t>(0, c - strip_.after); i < end; ++i) {
                total += direct(i) * value(i) / scale(i);
            }
            dx[c * strip_.plane] = static_cast<T>(direct(c) - factor * value(c) * total);
        }
    }

  private:
    long double value(index_t c) const { return x_[c * strip_.plane]; }
    long double scale(index_t c) const { return scales_[static_cast<std::size_t>(c)]; }
    long double power(index_t c) const {
        return std::pow(scale(c), -static_cast<long double>(strip_.beta));
    }

    const ResponseStrip<T>& strip_;
    const T* x_;
    std::vector<long double> scales_;
    bool overflows_ = false, finite_ = true;
};

}  // namespace

template <typename T>
void local_response_norm(ImageView<const T> x, const LocalResponseNorm& norm, ImageView<T> y) {
    check(norm, x.shape, y.shape);
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    for_strips<T>(x.shape, norm, [&](const ResponseStrip<T>& strip, index_t at) {
        if (kernels.normalization.response_norm(strip, x.data + at, y.data + at)) return;
        for (index_t i = at; i < at + strip.pixels; ++i) {
            const WidePixel<T> pixel(strip, x.data + i);
            if (pixel.overflows()) pixel.normalize(y.data + i);
        }
    });
}

template <typename T>
void local_response_norm_backward(ImageView<const T> dy, ImageView<const T> x,
                                  const LocalResponseNorm& norm, ImageView<T> dx) {
    check(norm, x.shape, dx.shape);
    check(norm, x.shape, dy.shape);
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    for_strips<T>(x.shape, norm, [&](const ResponseStrip<T>& strip, index_t at) {
        const index_t rows = std::min(strip.channels, strip.before + strip.after + 1);
        const Buffer<T> recent(rows * kStripBytes / index_t{sizeof(T)});
        if (kernels.normalization.response_norm_backward(strip, dy.data + at, x.data + at,
                                                         recent.data(), dx.data + at)) {
            return;
        }
        for (index_t i = at; i < at + strip.pixels; ++i) {
            const WidePixel<T> pixel(strip, x.data + i);
            if (pixel.overflows()) pixel.gradient(dy.data + i, dx.data + i);
        }
    });
}

#define POCKETCNN_INSTANTIATE(T)                                                                   \
    template void local_response_norm(ImageView<const T>, const LocalResponseNorm&, ImageView<T>); \
    template void local_response_norm_backward(ImageView<const T>, ImageView<const T>,             \
                                               const LocalResponseNorm&, ImageView<T>);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn
