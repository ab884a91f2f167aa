#include "channels_last/maps.h"

#include <algorithm>

#include "channels_last/lines.h"
#include "runtime/cut.h"
#include "runtime/parallel.h"

namespace pocketcnn::channels_last {
namespace {

/// How the pixels of n images are cut into tasks.
struct PixelCut {
    explicit PixelCut(const Shape4& shape)
        : plane(shape.plane()),
          step(round_up(ceil_div(plane, kEnoughTasks), 16)),
          blocks(ceil_div(plane, step)) {}

    index_t image(index_t task) const { return task / blocks; }
    index_t first(index_t task) const { return task % blocks * step; }
    index_t count(index_t task) const { return std::min(step, plane - first(task)); }

    index_t plane, step, blocks;
};

}  // namespace

template <typename T>
void from_planes(ImageView<const T> x, T* y) {
    const Shape4& shape = x.shape;
    const PixelCut cut(shape);
    const index_t pitch = pitch_of<T>(shape.c);
    parallel_for(shape.n * cut.blocks, static_cast<double>(shape.size()), [&](index_t i) {
        const index_t pixel = cut.image(i) * cut.plane + cut.first(i);
        kernels<T>().packing.pack_columns(cut.count(i), shape.c, pitch,
                                          x.data + cut.image(i) * shape.image() + cut.first(i),
                                          cut.plane, y + pixel * pitch);
    });
}

template <typename T>
void to_planes(const T* x, ImageView<T> y) {
    const Shape4& shape = y.shape;
    const PixelCut cut(shape);
    const index_t pitch = pitch_of<T>(shape.c);
    parallel_for(shape.n * cut.blocks, static_cast<double>(shape.size()), [&](index_t i) {
        const index_t pixel = cut.image(i) * cut.plane + cut.first(i);
        kernels<T>().indirect.store_transposed(
            cut.count(i), shape.c, x + pixel * pitch, pitch, nullptr,
            y.data + cut.image(i) * shape.image() + cut.first(i), cut.plane);
    });
}

template <typename T>
void max_pool(const T* x, const Shape4& image, index_t n, const Window2d& window, T* y) {
    const Geometry of(image, window);
    const index_t pitch = pitch_of<T>(image.c), vectors = pitch / kernels<T>().lanes;
    const BandCut cut(of.out_h, ceil_div(kEnoughTasks, std::max<index_t>(1, n)), 1, of.out_h);
    const PixelGrid to = {pitch, of.out_w, of.out_w * pitch};
    const double work = static_cast<double>(n * image.image());
    parallel_for(n * cut.bands, work, [&](index_t i) {
        const index_t which = i / cut.bands;
        const BandOfRows band = cut.band(i % cut.bands, of.out_h);
        Lines<T> lines(of, band.rows, pitch, -std::numeric_limits<T>::infinity());
        lines.copy(band, pitch, x + which * image.plane() * pitch);
        kernels<T>().channels_last.largest(band.rows, vectors, lines.taps(), lines.data(),
                                           lines.pixels(),
                                           y + (which * of.out_h + band.row) * to.line, to);
    });
}

template <typename T>
void scale(const T* x, const Shape4& shape, const T* numbers, T* y) {
    const PixelCut cut(shape);
    const index_t pitch = pitch_of<T>(shape.c);
    parallel_for(shape.n * cut.blocks, static_cast<double>(shape.size()), [&](index_t i) {
        const index_t at = (cut.image(i) * cut.plane + cut.first(i)) * pitch;
        const Buffer<T> filled_up(pitch);
        std::fill_n(std::copy_n(numbers + cut.image(i) * shape.c, shape.c, filled_up.data()),
                    pitch - shape.c, T{0});
        kernels<T>().channels_last.scale_rows(cut.count(i), pitch, x + at, filled_up.data(),
                                              y + at);
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

#define POCKETCNN_INSTANTIATE(T)                                                   \
    template void from_planes(ImageView<const T>, T*);                             \
    template void to_planes(const T*, ImageView<T>);                               \
    template void max_pool(const T*, const Shape4&, index_t, const Window2d&, T*); \
    template void scale(const T*, const Shape4&, const T*, T*);                    \
    template void average(const T*, const Shape4&, T*);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::channels_last
