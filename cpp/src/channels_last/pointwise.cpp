#include "channels_last/pointwise.h"

#include <algorithm>

#include "runtime/cut.h"
#include "runtime/parallel.h"

namespace pocketcnn::channels_last {
namespace {

/// Of the pixels that a panel of filters meets one after the other, so that they stay in cache.
constexpr index_t kBlockBytes = index_t{128} << 10;
/// Pixels that are worth reading a panel for.
constexpr index_t kFewestPixels = 24;

/// Pixels of a task: as many as fit, but fewer where there would be too few tasks.
template <typename T>
index_t block_pixels(const Filters<T>& filters, index_t pixels) {
    const index_t fit = kBlockBytes / (filters.depth() * index_t{sizeof(T)});
    const index_t parts = ceil_div(kEnoughLargeTasks, filters.panels().count());
    return std::max(kFewestPixels, std::min(fit, ceil_div(pixels, parts)) / kFewestPixels *
                                       kFewestPixels);
}

}  // namespace

template <typename T>
void pointwise(const Filters<T>& filters, const T* x, index_t pixels, const T* addend, T* y) {
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const gemm::Panels& panels = filters.panels();
    const index_t pitch = filters.pitch(), x_pitch = pitch_of<T>(filters.depth());
    const index_t step = block_pixels(filters, pixels), blocks = ceil_div(pixels, step);
    const double work = static_cast<double>(pixels) * static_cast<double>(filters.depth() * pitch);
    parallel_for(blocks * panels.count(), work, [&](index_t i) {
        const index_t p = i % panels.count(), first = i / panels.count() * step;
        const index_t count = std::min(step, pixels - first), at = first * pitch + panels.begin(p);
        const auto end = filters.end(p, addend != nullptr ? addend + at : nullptr);
        kernels.channels_last.multiply(count, filters.depth(), x + first * x_pitch, x_pitch,
                                       filters.panel(p), end, {panels.vectors(p), pitch, count, 0},
                                       y + at);
        filters.finish(count, panels.width(p), pitch, y + at);
    });
}

template <typename T>
void from_planes(ImageView<const T> x, T* y) {
    const Shape4& shape = x.shape;
    const index_t plane = shape.plane(), pitch = pitch_of<T>(shape.c);
    const index_t step = round_up(ceil_div(plane, kEnoughTasks), kFewestPixels);
    const index_t blocks = ceil_div(plane, step);
    parallel_for(shape.n * blocks, static_cast<double>(shape.size()), [&](index_t i) {
        const index_t image = i / blocks, first = i % blocks * step;
        kernels<T>().packing.pack_columns(std::min(step, plane - first), shape.c, pitch,
                                          x.data + image * shape.image() + first, plane,
                                          y + (image * plane + first) * pitch);
    });
}

template <typename T>
void to_planes(const T* x, ImageView<T> y) {
    const Shape4& shape = y.shape;
    const index_t plane = shape.plane(), pitch = pitch_of<T>(shape.c);
    const index_t step = round_up(ceil_div(plane, kEnoughTasks), kFewestPixels);
    const index_t blocks = ceil_div(plane, step);
    parallel_for(shape.n * blocks, static_cast<double>(shape.size()), [&](index_t i) {
        const index_t image = i / blocks, first = i % blocks * step;
        kernels<T>().indirect.store_transposed(
            std::min(step, plane - first), shape.c, x + (image * plane + first) * pitch, pitch,
            nullptr, y.data + image * shape.image() + first, plane);
    });
}

template <typename T>
void scale(const T* x, const Shape4& shape, const T* numbers, T* y) {
    const index_t plane = shape.plane(), pitch = pitch_of<T>(shape.c);
    const index_t step = ceil_div(plane, kEnoughTasks), blocks = ceil_div(plane, step);
    parallel_for(shape.n * blocks, static_cast<double>(shape.size()), [&](index_t i) {
        const index_t image = i / blocks, first = i % blocks * step;
        const index_t at = (image * plane + first) * pitch;
        const Buffer<T> filled_up(pitch);
        std::fill_n(std::copy_n(numbers + image * shape.c, shape.c, filled_up.data()),
                    pitch - shape.c, T{0});
        kernels<T>().channels_last.scale_rows(std::min(step, plane - first), pitch, x + at,
                                              filled_up.data(), y + at);
    });
}

template <typename T>
void average(const T* x, const Shape4& shape, T* y) {
    // Sums of few rows first: their errors grow with the number of terms.
    constexpr index_t few = 64;
    const index_t plane = shape.plane(), pitch = pitch_of<T>(shape.c);
    parallel_for(shape.n, static_cast<double>(shape.size()), [&](index_t n) {
        const Buffer<T> sums(pitch);
        std::fill_n(sums.data(), pitch, T{0});
        for (index_t i = 0; i < plane; i += few) {
            kernels<T>().channels_last.add_rows(std::min(few, plane - i), pitch,
                                                x + (n * plane + i) * pitch, sums.data());
        }
        for (index_t c = 0; c < shape.c; ++c) {
            y[n * shape.c + c] = sums[c] / static_cast<T>(plane);
        }
    });
}

#define POCKETCNN_INSTANTIATE(T)                                                      \
    template void pointwise(const Filters<T>&, const T*, index_t, const T*, T*);      \
    template void from_planes(ImageView<const T>, T*);                                \
    template void to_planes(const T*, ImageView<T>);                                  \
    template void scale(const T*, const Shape4&, const T*, T*);                       \
    template void average(const T*, const Shape4&, T*);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::channels_last
