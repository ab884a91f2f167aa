#include "channels_last/separable.h"

#include "channels_last/convolve.h"
#include "channels_last/lines.h"
#include "runtime/cut.h"
#include "runtime/parallel.h"

namespace pocketcnn::channels_last {
namespace {

/// Of what a band keeps between two convolutions, so that it stays in the second cache.
constexpr index_t kBandBytes = index_t{256} << 10;

/// How the results are cut into bands of rows. Sums do not depend on it.
template <typename T>
BandCut cut_of(const Separable<T>& layers, const Geometry& of, index_t n) {
    const index_t widest = layers.depthwise->panels().width(0);
    const index_t fit = kBandBytes / (of.width * widest * index_t{sizeof(T)});
    const index_t most = (fit - of.window.span_h()) / of.window.stride_h + 1;
    // A band computes lines again that its neighbour sees too: at most a quarter of them.
    const index_t least = layers.expand ? ceil_div(3 * of.shared_lines(), of.window.stride_h) : 1;
    return {of.out_h, ceil_div(kEnoughLargeTasks, n), least, std::max<index_t>(1, most)};
}

/// Whether a band passes through all of the convolutions at once. Then every band reads all the
/// weights; or else every panel of the last convolution reads all results of the depthwise one.
template <typename T>
bool goes_in_bands(const Separable<T>& layers, const Geometry& of, index_t n, index_t bands) {
    if (!layers.project) return false;
    if (n >= kEnoughLargeTasks) return true;
    const index_t weights = (layers.expand ? layers.expand->depth() : 0) + layers.project->pitch();
    return n * bands > 1 && of.out_h * of.out_w > 2 * weights;
}

/// Takes one panel of the channels of an image: computed from x, or copied.
template <typename T>
void load_panel(const Separable<T>& layers, const Geometry& of, const BandOfRows& band,
                index_t panel, const T* x, Lines<T>& lines) {
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const gemm::Panels& panels = layers.depthwise->panels();
    const index_t w = of.image.w, plane = of.image.plane(), width = panels.width(panel);
    const index_t pitch = pitch_of<T>(of.image.c), channel = panels.begin(panel);
    lines.load(band, width, [&](index_t row, index_t count, T* to) {
        if (layers.expand) {
            const Filters<T>& expand = *layers.expand;
            expand.multiply(panel, count * w, x + row * w * pitch, {pitch, w, w * pitch},
                            one_run(expand.depth()), nullptr, to, {width, w, lines.line()});
            return;
        }
        for (index_t i = 0; i < count; ++i, to += lines.line()) {
            const index_t pixel = (row + i) * w;
            if (layers.from_planes) {
                kernels.packing.pack_columns(w, panels.length(panel), width,
                                             x + channel * plane + pixel, plane, to);
            } else {
                kernels.copies.copy_rows(w, width, x + pixel * pitch + channel, pitch, to, width,
                                         1);
            }
        }
    });
}

/// The results of the depthwise convolution for one panel of a band: y is where the band begins.
template <typename T>
void depthwise_panel(const Filters<T>& filters, const Geometry& of, const BandOfRows& band,
                     index_t panel, const Lines<T>& lines, T* y) {
    const gemm::Panels& panels = filters.panels();
    const PixelGrid to = {filters.pitch(), of.out_w, of.out_w * filters.pitch()};
    T* first = y + panels.begin(panel);
    pocketcnn::kernels<T>().channels_last.depthwise(
        band.rows, panels.vectors(panel), lines.taps(), lines.data(), lines.pixels(),
        filters.panel(panel), filters.end(panel), first, to);
    filters.finish(panel, band.rows * of.out_w, first, to);
}

/// One band of one image after the other, through all of the convolutions.
template <typename T>
void separable_in_bands(const Separable<T>& layers, const Geometry& of, const BandCut& cut,
                        const T* x, index_t n, index_t image, const T* addend, T* y, double work) {
    const Filters<T>&depthwise = *layers.depthwise, &project = *layers.project;
    parallel_for(n * cut.bands, work, [&](index_t i) {
        const BandOfRows band = cut.band(i % cut.bands, of.out_h);
        const index_t pixels = band.rows * of.out_w, pitch = depthwise.pitch();
        const Buffer<T> middle(pixels * pitch);
        Lines<T> lines(of, band.rows, depthwise.panels().width(0));
        for (index_t p = 0; p < depthwise.panels().count(); ++p) {
            load_panel(layers, of, band, p, x + i / cut.bands * image, lines);
            depthwise_panel(depthwise, of, band, p, lines, middle.data());
        }
        const index_t first = (i / cut.bands * of.out_h + band.row) * of.out_w * project.pitch();
        const PixelGrid from = {pitch, pixels, 0}, to = {project.pitch(), pixels, 0};
        for (index_t p = 0; p < project.panels().count(); ++p) {
            const index_t at = first + project.panels().begin(p);
            project.multiply(p, pixels, middle.data(), from, one_run(project.depth()),
                             addend != nullptr ? addend + at : nullptr, y + at, to);
        }
    });
}

}  // namespace

template <typename T>
void separable(const Separable<T>& layers, const T* x, index_t n, const T* addend, T* y) {
    if (n == 0) return;
    const Filters<T>& depthwise = *layers.depthwise;
    const Geometry of(layers.image, layers.window);
    const BandCut cut = cut_of(layers, of, n);
    const index_t image =
        of.image.plane() * (layers.from_planes ? of.image.c : pitch_of<T>(of.image.c));
    const index_t pixels = of.out_h * of.out_w, strides = of.window.stride_h * of.window.stride_w;
    const index_t taps = depthwise.depth() + (layers.project ? layers.project->pitch() : 0) +
                         (layers.expand ? layers.expand->depth() : 0) * strides;
    const double work = static_cast<double>(n * pixels * depthwise.pitch()) * double(taps);
    if (goes_in_bands(layers, of, n, cut.bands)) {
        return separable_in_bands(layers, of, cut, x, n, image, addend, y, work);
    }
    const index_t panels = depthwise.panels().count();
    const Buffer<T> middle(layers.project ? n * pixels * depthwise.pitch() : 0);
    T* to = layers.project ? middle.data() : y;
    parallel_for(n * cut.bands * panels, work, [&](index_t i) {
        const index_t p = i % panels, which = i / panels / cut.bands;
        const BandOfRows band = cut.band(i / panels % cut.bands, of.out_h);
        Lines<T> lines(of, band.rows, depthwise.panels().width(0));
        load_panel(layers, of, band, p, x + which * image, lines);
        depthwise_panel(depthwise, of, band, p, lines,
                        to + (which * pixels + band.row * of.out_w) * depthwise.pitch());
    });
    if (layers.project) pointwise(*layers.project, to, n * pixels, addend, y);
}

#define POCKETCNN_INSTANTIATE(T) \
    template void separable(const Separable<T>&, const T*, index_t, const T*, T*);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::channels_last
