#include "channels_last/separable.h"

#include <algorithm>
#include <vector>

#include "channels_last/pointwise.h"
#include "runtime/cut.h"
#include "runtime/parallel.h"

namespace pocketcnn::channels_last {
namespace {

/// Of what a band keeps between two convolutions, so that it stays in the second cache.
constexpr index_t kBandBytes = index_t{256} << 10;

/// What the depthwise convolution sees of an image, and what it gives.
template <typename T>
struct Geometry {
    explicit Geometry(const Separable<T>& layers)
        : image(layers.image),
          window(layers.window),
          size(image.plane() * (layers.from_planes ? image.c : pitch_of<T>(image.c))),
          out_h(window.out_h(image.h)),
          out_w(window.out_w(image.w)),
          width(std::max((out_w - 1) * window.stride_w + window.span_w(),
                         window.pad_left + image.w)) {}

    /// Lines that so many rows of results see.
    index_t lines(index_t rows) const { return (rows - 1) * window.stride_h + window.span_h(); }

    Shape4 image;
    Window2d window;
    index_t size;  ///< elements from one image to the next
    index_t out_h, out_w;
    index_t width;  ///< pixels of a line, with zeros on both sides
};

/// How the results are cut into bands of rows. Sums do not depend on it.
template <typename T>
struct Cut {
    Cut(const Separable<T>& layers, const Geometry<T>& of, index_t n) {
        const index_t pitch = layers.depthwise->pitch();
        const index_t widest = layers.depthwise->panels().width(0);
        const index_t line_bytes = of.width * widest * index_t{sizeof(T)};
        const index_t fit = std::max(of.window.span_h(), kBandBytes / line_bytes);
        // A band computes lines again that its neighbours see too: at most a third of them.
        const index_t halo = std::max<index_t>(0, of.window.span_h() - of.window.stride_h);
        const index_t least = layers.expand ? ceil_div(3 * halo, of.window.stride_h) : 1;
        const index_t most = (fit - of.window.span_h()) / of.window.stride_h + 1;
        const index_t shared = ceil_div(of.out_h, ceil_div(kEnoughLargeTasks, n));
        rows = std::clamp(std::min(most, std::max(least, shared)), index_t{1}, of.out_h);
        bands = ceil_div(of.out_h, rows);
        rows = ceil_div(of.out_h, bands);
        // Every band reads all the weights; or else every panel of filters reads all the results.
        const index_t weights = pitch * ((layers.expand ? layers.expand->depth() : 0) +
                                         (layers.project ? layers.project->pitch() : 0));
        in_bands = layers.project && (n >= kEnoughLargeTasks ||
                                      (n * bands > 1 && of.out_h * of.out_w * pitch > 2 * weights));
    }

    index_t rows, bands;
    bool in_bands;  ///< whether all of the convolutions are done band by band
};

/// Lines of one panel of channels, with zeros around the image.
template <typename T>
class Lines {
  public:
    Lines(const Separable<T>& layers, const Geometry<T>& of, index_t rows)
        : layers_(layers),
          of_(of),
          data_(of.lines(rows) * of.width * layers.depthwise->panels().width(0)) {}

    /// Takes what rows [row, row + rows) of the results see of an image.
    void load(const T* x, index_t row, index_t rows, index_t panel) {
        const gemm::Panels& panels = layers_.depthwise->panels();
        const index_t count = of_.lines(rows), first = row * of_.window.stride_h - of_.window.pad_top;
        const index_t begin = std::clamp(-first, index_t{0}, count);
        const index_t end = std::clamp(of_.image.h - first, begin, count);
        pitch_ = panels.width(panel);
        const index_t line = of_.width * pitch_, left = of_.window.pad_left * pitch_;
        const index_t right = line - left - of_.image.w * pitch_;
        std::fill_n(data_.data(), begin * line, T{0});
        if (begin < end) {
            fill(x, first + begin, end - begin, panel, data_.data() + begin * line + left);
        }
        for (index_t i = begin; i < end; ++i) {
            std::fill_n(data_.data() + i * line, left, T{0});
            std::fill_n(data_.data() + (i + 1) * line - right, right, T{0});
        }
        std::fill_n(data_.data() + end * line, (count - end) * line, T{0});
    }

    index_t pitch() const { return pitch_; }
    const T* data() const { return data_.data(); }

  private:
    /// Writes `count` lines of the image from `row` on.
    void fill(const T* x, index_t row, index_t count, index_t panel, T* to) const {
        const Kernels<T>& kernels = pocketcnn::kernels<T>();
        const gemm::Panels& panels = layers_.depthwise->panels();
        const index_t w = of_.image.w, line = of_.width * pitch_, channel = panels.begin(panel);
        if (layers_.expand) {
            const Filters<T>& expand = *layers_.expand;
            const index_t from = pitch_of<T>(expand.depth());
            const PanelRows rows = {panels.vectors(panel), pitch_, w, line - w * pitch_};
            kernels.channels_last.multiply(count * w, expand.depth(), x + row * w * from, from,
                                           expand.panel(panel), expand.end(panel), rows, to);
            expand.finish(count, w * pitch_, line, to);
            return;
        }
        for (index_t i = 0; i < count; ++i, to += line) {
            const index_t pixel = (row + i) * w;
            if (layers_.from_planes) {
                kernels.packing.pack_columns(w, panels.length(panel), pitch_,
                                             x + channel * of_.image.plane() + pixel,
                                             of_.image.plane(), to);
            } else {
                const index_t from = pitch_of<T>(of_.image.c);
                kernels.copies.copy_rows(w, pitch_, x + pixel * from + channel, from, to, pitch_, 1);
            }
        }
    }

    const Separable<T>& layers_;
    const Geometry<T>& of_;
    Buffer<T> data_;
    index_t pitch_ = 0;
};

/// The results of the depthwise convolution for one panel of a band: y is where the band begins.
template <typename T>
void depthwise_panel(const Filters<T>& filters, const Geometry<T>& of, index_t panel, index_t rows,
                     const Lines<T>& lines, T* y) {
    const gemm::Panels& panels = filters.panels();
    const Window2d& window = of.window;
    const index_t line = of.width * lines.pitch();
    std::vector<index_t> offsets;
    for (index_t t = 0; t < window.taps(); ++t) {
        offsets.push_back(t / window.kernel_w * window.dilation_h * line +
                          t % window.kernel_w * window.dilation_w * lines.pitch());
    }
    T* to = y + panels.begin(panel);
    for (index_t row = 0; row < rows; ++row, to += of.out_w * filters.pitch()) {
        pocketcnn::kernels<T>().channels_last.depthwise(
            window.taps(), offsets.data(), lines.data() + row * window.stride_h * line,
            window.stride_w * lines.pitch(), filters.panel(panel), filters.end(panel),
            {panels.vectors(panel), filters.pitch(), of.out_w, 0}, to);
        filters.finish(of.out_w, lines.pitch(), filters.pitch(), to);
    }
}

/// One band of one image after the other, through all of the convolutions.
template <typename T>
void separable_in_bands(const Separable<T>& layers, const Geometry<T>& of, const Cut<T>& cut,
                        const T* x, index_t n, const T* addend, T* y, double work) {
    const Filters<T>&depthwise = *layers.depthwise, &project = *layers.project;
    const gemm::Panels& panels = project.panels();
    parallel_for(n * cut.bands, work, [&](index_t i) {
        const index_t row = i % cut.bands * cut.rows, rows = std::min(cut.rows, of.out_h - row);
        const index_t pixels = rows * of.out_w;
        const Buffer<T> middle(pixels * depthwise.pitch());
        Lines<T> lines(layers, of, rows);
        for (index_t p = 0; p < depthwise.panels().count(); ++p) {
            lines.load(x + i / cut.bands * of.size, row, rows, p);
            depthwise_panel(depthwise, of, p, rows, lines, middle.data());
        }
        const index_t first = (i / cut.bands * of.out_h + row) * of.out_w * project.pitch();
        for (index_t p = 0; p < panels.count(); ++p) {
            const index_t at = first + panels.begin(p);
            pocketcnn::kernels<T>().channels_last.multiply(
                pixels, project.depth(), middle.data(), depthwise.pitch(), project.panel(p),
                project.end(p, addend != nullptr ? addend + at : nullptr),
                {panels.vectors(p), project.pitch(), pixels, 0}, y + at);
            project.finish(pixels, panels.width(p), project.pitch(), y + at);
        }
    });
}

}  // namespace

template <typename T>
void separable(const Separable<T>& layers, const T* x, index_t n, const T* addend, T* y) {
    const Geometry<T> of(layers);
    if (n == 0) return;
    const Filters<T>& depthwise = *layers.depthwise;
    const Cut<T> cut(layers, of, n);
    const index_t pixels = n * of.out_h * of.out_w;
    const double taps = static_cast<double>(
        depthwise.depth() + (layers.project ? layers.project->pitch() : 0) +
        (layers.expand ? layers.expand->depth() : 0) * of.window.stride_h * of.window.stride_w);
    const double work = static_cast<double>(pixels * depthwise.pitch()) * taps;
    if (cut.in_bands) return separable_in_bands(layers, of, cut, x, n, addend, y, work);
    const index_t panels = depthwise.panels().count();
    const Buffer<T> middle(layers.project ? pixels * depthwise.pitch() : 0);
    T* to = layers.project ? middle.data() : y;
    parallel_for(n * cut.bands * panels, work, [&](index_t i) {
        const index_t p = i % panels, band = i / panels;
        const index_t row = band % cut.bands * cut.rows, rows = std::min(cut.rows, of.out_h - row);
        Lines<T> lines(layers, of, rows);
        lines.load(x + band / cut.bands * of.size, row, rows, p);
        depthwise_panel(
            depthwise, of, p, rows, lines,
            to + (band / cut.bands * of.out_h + row) * of.out_w * depthwise.pitch());
    });
    if (layers.project) pointwise(*layers.project, to, pixels, addend, y);
}

#define POCKETCNN_INSTANTIATE(T) \
    template void separable(const Separable<T>&, const T*, index_t, const T*, T*);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::channels_last
