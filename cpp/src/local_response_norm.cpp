#include <pocketcnn/local_response_norm.h>

#include <algorithm>
#include <stdexcept>

#include "runtime/isa.h"
#include "runtime/memory_pool.h"
#include "runtime/parallel.h"

namespace pocketcnn {
namespace {

/// Pixels of a strip in bytes: a window of five channels of the arrays and of the gradient's
/// scratch stay in a first cache of 32 KiB.
constexpr index_t kStripBytes = 2048;
/// Roots and a division beside a copied element.
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

}  // namespace

template <typename T>
void local_response_norm(ImageView<const T> x, const LocalResponseNorm& norm, ImageView<T> y) {
    check(norm, x.shape, y.shape);
    const Kernels<T>& kernel = kernels<T>();
    for_strips<T>(x.shape, norm, [&](const ResponseStrip<T>& strip, index_t at) {
        kernel.response_norm(strip, x.data + at, y.data + at);
    });
}

template <typename T>
void local_response_norm_grad(ImageView<const T> dy, ImageView<const T> x,
                              const LocalResponseNorm& norm, ImageView<T> dx) {
    check(norm, x.shape, dx.shape);
    check(norm, x.shape, dy.shape);
    const Kernels<T>& kernel = kernels<T>();
    for_strips<T>(x.shape, norm, [&](const ResponseStrip<T>& strip, index_t at) {
        const index_t rows = std::min(strip.channels, strip.before + strip.after + 1);
        const Buffer<T> recent(rows * kStripBytes / index_t{sizeof(T)});
        kernel.response_norm_grad(strip, dy.data + at, x.data + at, recent.data(), dx.data + at);
    });
}

#define POCKETCNN_INSTANTIATE(T)                                                                   \
    template void local_response_norm(ImageView<const T>, const LocalResponseNorm&, ImageView<T>); \
    template void local_response_norm_grad(ImageView<const T>, ImageView<const T>,                 \
                                           const LocalResponseNorm&, ImageView<T>);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn
