#include "conv/patches.h"

#include <algorithm>
#include <vector>

#include "gemm/indirect.h"
#include "runtime/cut.h"
#include "runtime/isa.h"
#include "runtime/memory_pool.h"
#include "runtime/parallel.h"

namespace pocketcnn::conv::patches {
namespace {

/// How the channels of a group are cut into parts, and the taps of a part into pieces. A plane
/// holds a part's channels side by side, and a piece is consecutive in it: the columns of one row
/// of the kernels, or if these are dilated, one column.
struct PatchCut {
    PatchCut(const Problem& problem, index_t lanes) {
        const Window2d& window = problem.window;
        piece_taps = window.dilation_w == 1 ? window.kernel_w : 1;
        pieces = window.taps() / piece_taps;
        // Three or four vectors of columns, the width of the product's tile.
        const index_t most = lanes * std::max<index_t>(1, kIndirectVectors / piece_taps);
        channels = even_step(problem.channels, most);
        parts = ceil_div(problem.channels, channels);
        rows = std::max(problem.x.h + window.pad_top,
                        (problem.y.h - 1) * window.stride_h + window.span_h());
        cols = std::max(problem.x.w + window.pad_left,
                        (problem.y.w - 1) * window.stride_w + window.span_w());
    }

    index_t parts, channels;     ///< channels per part; the last may have fewer
    index_t pieces, piece_taps;  ///< taps of a piece
    index_t rows, cols;          ///< of a plane, including the padding before the image
};

/// The weights of each part and piece: columns (tap, channel), depth filters.
template <typename T>
std::vector<gemm::PackedPanels<T>> pack_weights(const Problem& problem, const PatchCut& cut,
                                                const T* weight) {
    const index_t area = problem.window.taps();
    const gemm::Panels panels(kernels<T>(), cut.piece_taps * cut.channels);
    return gemm::pack_groups<T>(
        panels, problem.groups * cut.parts * cut.pieces, problem.filters,
        [&](index_t i, index_t col, index_t cols, index_t width, T* panel) {
            const index_t part = i / cut.pieces, channel = part % cut.parts * cut.channels;
            std::vector<index_t> places;
            for (index_t j = col; j < col + cols; ++j) {
                const index_t c = channel + j % cut.channels;
                places.push_back(std::min(c, problem.channels - 1) * area + j / cut.channels);
            }
            const T* from = weight + part / cut.parts * problem.filters * problem.taps +
                            i % cut.pieces * cut.piece_taps;
            for (index_t f = 0; f < problem.filters; ++f, from += problem.taps, panel += width) {
                const index_t* place = places.data();
                for (index_t j = 0; j < cols; ++j) panel[j] = from[place[j]];
                for (index_t j = cols; j < width; ++j) panel[j] = T{0};
            }
        });
}

/// Pixels of dy in the order in which they are multiplied.
struct Pixels {
    /// Neighbours in a row update elements that were just written. The processor is fast at that
    /// only for whole vectors; otherwise pixels are ordered down the columns.
    Pixels(const Problem& problem, const PatchCut& cut, index_t lanes) {
        const Window2d& window = problem.window;
        const index_t h = problem.y.h, w = problem.y.w;
        const bool by_rows = cut.channels % lanes == 0;
        for (index_t i = 0; i < h * w; ++i) {
            const index_t y = by_rows ? i / w : i % h, x = by_rows ? i % w : i / h;
            sources.push_back(y * w + x);
            targets.push_back((y * window.stride_h * cut.cols + x * window.stride_w) *
                              cut.channels);
        }
        sources.resize(static_cast<std::size_t>(h * w + kIndirectRowsMultiple), 0);
    }
    std::vector<index_t> sources, targets;
};

template <typename T>
class PartGradient {
  public:
    PartGradient(const Problem& problem, const PatchCut& cut)
        : kernels_(kernels<T>()),
          problem_(problem),
          cut_(cut),
          pixels_(problem, cut, kernels_.lanes) {
        for (index_t f = 0; f < problem.filters; ++f) filters_.push_back(f * problem.y.plane());
    }

    /// Computes one part of the channels of an image; dx points to the first of them. `weights` are
    /// those of its first piece.
    void run(const gemm::PackedPanels<T>* weights, index_t channels, const T* dy, T* dx) const {
        const index_t size = cut_.rows * cut_.cols * cut_.channels + kPackSlack;
        const Buffer<T> plane(size);
        const Buffer<T> tile(kIndirectRowsMultiple * kIndirectVectors * kernels_.lanes +
                             kPackSlack);
        std::fill_n(plane.data(), size, T{0});
        const Window2d& window = problem_.window;
        // Pixels stay in the L1 cache while all pieces are multiplied with them.
        const index_t count = problem_.y.plane();
        for (index_t k = 0; k < problem_.filters; k += gemm::kDepthBlock) {
            for (index_t pixel = 0; pixel < count; pixel += kIndirectRowsMultiple) {
                const index_t end = std::min(count, pixel + kIndirectRowsMultiple);
                for (index_t i = 0; i < cut_.pieces; ++i) {
                    const index_t tap = i * cut_.piece_taps;
                    const index_t y = tap / window.kernel_w * window.dilation_h;
                    const index_t x = tap % window.kernel_w * window.dilation_w;
                    add_piece(weights[i], k, pixel, end, dy, tile.data(),
                              plane.data() + (y * cut_.cols + x) * cut_.channels);
                }
            }
        }
        const T* from =
            plane.data() + (window.pad_top * cut_.cols + window.pad_left) * cut_.channels;
        for (index_t row = 0; row < problem_.x.h; ++row, from += cut_.cols * cut_.channels) {
            kernels_.indirect.store_transposed(problem_.x.w, channels, from, cut_.channels, nullptr,
                                               dx + row * problem_.x.w, problem_.x.plane());
        }
    }

  private:
    /// Adds to the plane the products of filters from k on with pixels [pixel, end). `tile` is
    /// scratch.
    void add_piece(const gemm::PackedPanels<T>& weights, index_t k, index_t pixel, index_t end,
                   const T* dy, T* tile, T* plane) const {
        const gemm::Panels& panels = weights.panels();
        const index_t depth = std::min(gemm::kDepthBlock, problem_.filters - k);
        for (index_t p = 0; p < panels.count(); ++p) {
            const IndirectTile<T>& product = kernels_.indirect.tiles[panels.vectors(p) - 1];
            const T* right = weights.data(p, k);
            for (index_t i = pixel; i < end; i += product.rows) {
                product.multiply(depth, dy, pixels_.sources.data() + i, filters_.data() + k, right,
                                 {}, tile, false);
                kernels_.elementwise.add_rows(std::min(product.rows, end - i), panels.length(p),
                                              tile, panels.width(p), pixels_.targets.data() + i,
                                              plane + panels.begin(p));
            }
        }
    }

    const Kernels<T>& kernels_;
    const Problem& problem_;
    const PatchCut& cut_;
    Pixels pixels_;
    std::vector<index_t> filters_;  ///< where the plane of dy of each filter begins
};

}  // namespace

// Phases multiply as many pixels as x has, and patches as dy has, but patches are added up in
// memory. With few channels the products of phases have idle lanes (docs/measurements.md#patches).
bool pays(const Problem& problem) {
    constexpr index_t short_row = 7, row = 10, long_row = 20, long_strided_row = 28,
                      long_stride = 4;
    // The gradient of an image with few channels is one task, but so many phases, or phases of
    // short rows, take much longer.
    constexpr double fewer_pixels = 1.5, work_to_share = 1e6, many_phases = 30;
    // A part's plane is a task's own memory, which must not grow with the image.
    constexpr index_t largest_plane = 1 << 20;
    const Window2d& window = problem.window;
    const index_t lanes = kernels<float>().lanes, channels = problem.channels;
    const PatchCut cut(problem, lanes);
    const bool one_task = problem.x.n * problem.groups * cut.parts <= 1;
    const double phases = static_cast<double>(std::min(window.kernel_h, window.stride_h)) *
                          static_cast<double>(std::min(window.kernel_w, window.stride_w));
    if (one_task && problem.multiply_adds() > work_to_share && phases < many_phases &&
        problem.y.w > row) {
        return false;
    }
    if (cut.rows * cut.cols * cut.channels > largest_plane) return false;
    const bool half_full = channels > lanes / 2;
    if (window.stride_h > 1 || window.stride_w > 1) {
        const bool is_long = std::max(window.stride_h, window.stride_w) >= long_stride;
        return window.taps() > 1 &&
               (half_full || problem.y.w <= (is_long ? long_strided_row : long_row));
    }
    if (static_cast<double>(problem.x.plane()) >=
        fewer_pixels * static_cast<double>(problem.y.plane())) {
        return true;
    }
    if (half_full && channels <= lanes) return problem.y.w <= long_row;
    return (channels <= 16 && problem.y.w <= row) || (channels <= 32 && problem.y.w <= short_row);
}

template <typename T>
void input_grad(const InputGradCall<T>& call) {
    const Problem& problem = call.problem;
    const PatchCut cut(problem, kernels<T>().lanes);
    const std::vector<gemm::PackedPanels<T>> weights = pack_weights(problem, cut, call.weight);
    const PartGradient<T> gradient(problem, cut);
    parallel_for(problem.x.n * problem.groups * cut.parts, problem.multiply_adds(), [&](index_t i) {
        const index_t image = i / (problem.groups * cut.parts);
        const index_t part = i % (problem.groups * cut.parts), group = part / cut.parts;
        const index_t channel = part % cut.parts * cut.channels;
        const index_t channels = std::min(cut.channels, problem.channels - channel);
        if (channels <= 0) return;
        gradient.run(
            weights.data() + part * cut.pieces, channels,
            call.dy + image * problem.y.image() + group * problem.filters * problem.y.plane(),
            call.dx + image * problem.x.image() +
                (group * problem.channels + channel) * problem.x.plane());
    });
}

#define POCKETCNN_INSTANTIATE(T) template void input_grad(const InputGradCall<T>&);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::conv::patches
