#include "channels_last/convolve.h"

#include <algorithm>
#include <vector>

#include "channels_last/lines.h"
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
    return std::max(kFewestPixels,
                    std::min(fit, ceil_div(pixels, parts)) / kFewestPixels * kFewestPixels);
}

template <typename T>
double work_of(const Filters<T>& filters, index_t pixels) {
    return static_cast<double>(pixels) * static_cast<double>(filters.depth() * filters.pitch());
}

/// The sums of a window: whole rows of the kernel where their pixels follow each other.
struct Runs {
    Runs(const Taps& taps, index_t channels) {
        const bool whole = taps.col_step == channels;
        for (index_t row = 0; row < taps.rows; ++row) {
            for (index_t col = 0; col < (whole ? 1 : taps.cols); ++col) {
                offsets.push_back(row * taps.row_step + col * taps.col_step);
            }
        }
        length = whole ? taps.cols * channels : channels;
    }
    ElementRuns all() const {
        return {static_cast<index_t>(offsets.size()), length, offsets.data()};
    }

    std::vector<index_t> offsets;
    index_t length;
};

/// Takes all channels of what a band sees.
template <typename T>
void load_channels(const Convolution<T>& layer, const BandOfRows& band, const T* x,
                   Lines<T>& lines) {
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const Shape4& image = layer.image;
    if (!layer.from_planes) return lines.copy(band, lines.pitch(), x);
    lines.load(band, image.c, [&](index_t row, index_t count, T* to) {
        for (index_t c = 0; c < image.c; ++c) {
            const T* from = x + c * image.plane() + row * image.w;
            kernels.copies.copy_rows(count, image.w, from, image.w, to + c, lines.line(), image.c);
        }
    });
}

}  // namespace

template <typename T>
void pointwise(const Filters<T>& filters, const T* x, index_t pixels, const T* addend, T* y) {
    const gemm::Panels& panels = filters.panels();
    const index_t pitch = filters.pitch(), x_pitch = pitch_of<T>(filters.depth());
    const index_t step = block_pixels(filters, pixels), blocks = ceil_div(pixels, step);
    parallel_for(blocks * panels.count(), work_of(filters, pixels), [&](index_t i) {
        const index_t p = i % panels.count(), first = i / panels.count() * step;
        const index_t count = std::min(step, pixels - first), at = first * pitch + panels.begin(p);
        filters.multiply(p, count, x + first * x_pitch, {x_pitch, count, 0},
                         one_run(filters.depth()), addend != nullptr ? addend + at : nullptr,
                         y + at, {pitch, count, 0});
    });
}

template <typename T>
std::shared_ptr<const Filters<T>> filters_of(const T* weight, const T* bias, const Shape4& shape,
                                             const Epilogue& epilogue) {
    const index_t taps = shape.plane();
    const Buffer<T> turned(shape.size());
    for (index_t f = 0; f < shape.n; ++f) {
        for (index_t c = 0; c < shape.c; ++c) {
            for (index_t t = 0; t < taps; ++t) {
                turned[(f * taps + t) * shape.c + c] = weight[(f * shape.c + c) * taps + t];
            }
        }
    }
    return std::make_shared<const Filters<T>>(turned.data(), bias, shape.n, shape.image(),
                                              epilogue);
}

template <typename T>
void convolve(const Convolution<T>& layer, const T* x, index_t n, const T* addend, T* y) {
    if (n == 0) return;
    const Filters<T>& filters = *layer.filters;
    const gemm::Panels& panels = filters.panels();
    const Geometry of(layer.image, layer.window);
    const index_t channels = layer.image.c, pixels = of.out_h * of.out_w, pitch = filters.pitch();
    const index_t x_pitch = layer.from_planes ? channels : pitch_of<T>(channels);
    const index_t fit = kBlockBytes / (of.width * x_pitch * index_t{sizeof(T)});
    const BandCut cut(of.out_h, ceil_div(kEnoughLargeTasks, n), of.shared_lines(),
                      std::max<index_t>(1, fit / of.window.stride_h));
    // Where there are few bands, their panels are shared, each with a copy of the lines of its own.
    const index_t parts = std::min(panels.count(), ceil_div(kEnoughLargeTasks / 2, n * cut.bands));
    parallel_for(n * cut.bands * parts, work_of(filters, n * pixels), [&](index_t i) {
        const index_t which = i / parts / cut.bands;
        const BandOfRows band = cut.band(i / parts % cut.bands, of.out_h);
        Lines<T> lines(of, band.rows, x_pitch);
        load_channels(layer, band, x + which * layer.image.plane() * x_pitch, lines);
        const Runs runs(lines.taps(), channels);
        const Split split = {panels.count(), parts};
        for (index_t p = split.begin(i % parts); p < split.end(i % parts); ++p) {
            const index_t at = (which * pixels + band.row * of.out_w) * pitch + panels.begin(p);
            filters.multiply(p, band.rows * of.out_w, lines.data(), lines.pixels(), runs.all(),
                             addend != nullptr ? addend + at : nullptr, y + at,
                             {pitch, of.out_w, of.out_w * pitch});
        }
    });
}

#define POCKETCNN_INSTANTIATE(T)                                                             \
    template void pointwise(const Filters<T>&, const T*, index_t, const T*, T*);             \
    template std::shared_ptr<const Filters<T>> filters_of(const T*, const T*, const Shape4&, \
                                                          const Epilogue&);                  \
    template void convolve(const Convolution<T>&, const T*, index_t, const T*, T*);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::channels_last
