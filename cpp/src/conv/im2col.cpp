#include "conv/im2col.h"

#include <pocketcnn/linear.h>

#include <algorithm>
#include <vector>

#include "conv/kept_weights.h"
#include "conv/pointwise.h"
#include "gemm/images.h"
#include "gemm/indirect.h"
#include "runtime/add_in_order.h"
#include "runtime/cut.h"
#include "runtime/interrupt.h"
#include "runtime/isa.h"
#include "runtime/parallel.h"

namespace pocketcnn::conv::im2col {
namespace {

using gemm::Panels;

/// Elements of a slab; a common L2 cache then has room for a panel and the sums.
constexpr index_t kSlabSize = 1 << 15;

/// Input elements that one output pixel adds to a slab of one channel, apart from the edges.
index_t slab_share(const Window2d& window) {
    return std::min(window.stride_h, window.span_h()) * window.stride_w;
}

/// Channels whose taps are one slice of the depth.
index_t slice_channels(const Problem& problem) {
    const index_t most = std::max<index_t>(1, gemm::kDepthBlock / problem.window.taps());
    return even_step(problem.channels, most);
}

/// About `blocks` parts of the pixels, each of as many whole images, or as many of each image.
index_t whole_images(index_t blocks, index_t images) {
    return blocks < images ? ceil_div(images, images / blocks) : round_up(blocks, images);
}

/// Whether images without padding are read in place. If they are large, and each panel of filters
/// reads them anew, they are copied to where a cache holds them
/// (docs/measurements.md#few-tasks).
gemm::SlabReading slab_reading(const Problem& problem, const Panels& panels) {
    constexpr index_t large = 1 << 20;
    return problem.x.size() >= large && panels.count() > 1 ? gemm::SlabReading::copied
                                                           : gemm::SlabReading::in_place_if_whole;
}

/// So many blocks of one image's pixels, or fewer, down to half as many, where that leaves less of
/// their last tiles empty.
index_t fuller_blocks(index_t blocks, index_t pixels, index_t tile) {
    constexpr index_t fewest = 4;
    const auto rows = [&](index_t count) {
        return count * round_up(ceil_div(pixels, count), tile);
    };
    index_t best = blocks;
    for (index_t count = blocks - 2; count >= std::max(fewest, blocks / 2); count -= 2) {
        if (50 * rows(count) < 49 * rows(best)) best = count;
    }
    return best;
}

/// How the forward pass is cut: pixels into equal blocks, which read all weights once each, and if
/// these are few, the filters too, which copies slabs once more
/// (docs/measurements.md#few-tasks).
struct ForwardCut {
    template <typename T>
    ForwardCut(const Kernels<T>& kernels, const Problem& problem, const Panels& panels) {
        constexpr index_t fewest = 48, most = 784, slab_size = 9 << 14, filters_of_part = 128;
        const index_t share = slice_channels(problem) * slab_share(problem.window);
        const index_t enough = ceil_div(kEnoughLargeTasks, problem.groups);
        const index_t wanted = std::max(fewest, std::min(most, slab_size / share));
        const index_t shared = ceil_div(
            enough, std::clamp(problem.filters / filters_of_part, index_t{1}, panels.count()));
        const index_t blocks = std::max(ceil_div(problem.pixels(), wanted),
                                        std::min(shared, ceil_div(problem.pixels(), fewest)));
        pixels = {problem.pixels(), even_count(whole_images(blocks, problem.x.n))};
        if (problem.x.n == 1 && pixels.count < kEnoughTasks) {
            const index_t tile = kernels.indirect.tiles[panels.vectors(0) - 1].rows;
            pixels.count = fuller_blocks(pixels.count, pixels.size, tile);
        }
        const index_t parts =
            ceil_div(kEnoughLargeTasks, std::max<index_t>(1, pixels.count * problem.groups));
        panels_per_task = ceil_div(panels.count(), std::min(parts, panels.count()));
        panel_blocks = ceil_div(panels.count(), panels_per_task);
    }
    index_t tasks() const { return pixels.count * panel_blocks; }

    Split pixels;
    index_t panels_per_task, panel_blocks;
};

template <typename T>
std::vector<gemm::PackedPanels<T>> pack_weights(const Problem& problem, const T* weight) {
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    return gemm::pack_groups<T>(
        {kernels, problem.filters}, problem.groups, problem.taps,
        [&](index_t group, index_t filter, index_t filters, index_t width, T* panel) {
            kernels.packing.pack_columns(problem.taps, filters, width,
                                         weight + (group * problem.filters + filter) * problem.taps,
                                         problem.taps, panel);
        });
}

/// y of one group for pixels [pixel, pixel_end) and panels of filters.
template <typename T, typename Write>
void forward_block(const Kernels<T>& kernels, const Problem& problem,
                   const gemm::WindowedImages<T>& x, const gemm::PackedPanels<T>& weights,
                   index_t pixel, index_t pixel_end, index_t panel, index_t panel_end,
                   const Write& write) {
    const Panels& panels = weights.panels();
    const index_t area = problem.window.taps(), step = slice_channels(problem) * area;
    const index_t slice = gemm::depth_slice(step);
    gemm::IndirectSums<T> sums(kernels, panels, panel, panel_end, pixel_end - pixel, problem.taps);
    gemm::Slab<T> slab(kernels, x, slab_reading(problem, panels));
    for (index_t tap = 0; tap < problem.taps; tap += step) {
        const index_t tap_end = std::min(problem.taps, tap + step);
        slab.load(tap, tap_end, pixel, pixel_end);
        for (index_t k = tap; k < tap_end; k += slice) {
            const index_t length = std::min(slice, tap_end - k);
            const bool anew = sums.begin_anew(length);
            sums.add(length, slab.data(), slab.pixel_offsets(), 0, pixel_end - pixel,
                     slab.tap_offsets() + k - tap, weights, k, !anew);
        }
    }
    sums.finish();
    for (index_t p = panel; p < panel_end; ++p) {
        write.transposed(panels.begin(p), panels.length(p), pixel, pixel_end - pixel, sums.data(p),
                         panels.width(p));
    }
}

/// How the gradient of the weights is cut: channels into parts with enough taps to be worth a copy
/// of dy. If that gives too few tasks, pixels are cut into chunks, each with its own sum; if there
/// are too few pixels for that, the parts are smaller.
struct WeightGradCut {
    explicit WeightGradCut(const Problem& problem) {
        constexpr index_t worth_taps = 288, smallest_chunk = 1024;
        const index_t area = problem.window.taps();
        const index_t shared =
            std::max<index_t>(1, problem.pixels() / smallest_chunk) * problem.groups;
        const index_t most_parts =
            std::max(std::min(kEnoughTasks, ceil_div(problem.taps, worth_taps)),
                     small_parts(problem.taps, shared));
        channels = ceil_div(problem.channels, std::min(most_parts, problem.channels));
        parts = ceil_div(problem.channels, channels);
        const index_t wanted = ceil_div(kEnoughTasks, parts * problem.groups);
        chunks = std::clamp(problem.pixels() / smallest_chunk, index_t{1}, wanted);
        chunk_pixels = ceil_div(problem.pixels(), chunks);
        slice = gemm::depth_slice(chunk_pixels);
        const index_t room = kSlabSize / (slice * slab_share(problem.window));
        const index_t fewest = ceil_div(kIndirectRowsMultiple, area);
        slab_channels = even_step(channels, std::max<index_t>(room, fewest));
    }

    /// A power of two, so that two or four threads get equal parts.
    static index_t small_parts(index_t taps, index_t shared) {
        constexpr index_t fewest_taps = 128, fewest_for_two = 48;
        index_t parts = shared == 1 && taps >= 2 * fewest_for_two ? 2 : 1;
        while (2 * parts * shared <= kEnoughLargeTasks && 2 * parts * fewest_taps <= taps)
            parts *= 2;
        return parts;
    }

    index_t channels, parts;       ///< channels per task, parts per group
    index_t chunks, chunk_pixels;  ///< pixels per task
    index_t slice;                 ///< pixels packed at a time
    index_t slab_channels;         ///< channels per slab
};

/// Takes the gradient of one group's weights. Its rows are taps and its columns are filters; or, if
/// it is turned, filters and channels.
template <typename T>
struct WeightGradStore {
    const Kernels<T>& kernels;
    T* dweight;
    index_t pitch;  ///< weights of a filter
    bool turned;

    void operator()(index_t row, index_t rows, index_t col, index_t cols, const T* sums,
                    index_t width) const {
        if (!turned) {
            kernels.indirect.store_transposed(rows, cols, sums, width, nullptr,
                                              dweight + col * pitch + row, pitch);
            return;
        }
        for (index_t i = 0; i < rows; ++i) {
            std::copy_n(sums + i * width, cols, dweight + (row + i) * pitch + col);
        }
    }
};

/// The gradient of the weights of some channels of one group, from a chunk of the pixels.
template <typename T>
void weight_grad_block(const Kernels<T>& kernels, const Problem& problem, const WeightGradCut& cut,
                       const gemm::ChannelImages<T>& dy, const gemm::WindowedImages<T>& x,
                       index_t channel, index_t pixel, const WeightGradStore<T>& store) {
    const index_t area = problem.window.taps();
    const index_t channel_end = std::min(problem.channels, channel + cut.channels);
    const index_t pixel_end = std::min(problem.pixels(), pixel + cut.chunk_pixels);
    const index_t room = round_up(cut.slab_channels * area, kIndirectRowsMultiple);
    const Panels panels(kernels, problem.filters);
    const gemm::PackedPanels<T> gradient(panels, cut.slice);
    gemm::IndirectSums<T> sums(kernels, panels, 0, panels.count(),
                               ceil_div(channel_end - channel, cut.slab_channels) * room,
                               pixel_end - pixel);
    gemm::Slab<T> slab(kernels, x);
    const auto for_slabs = [&](auto&& body) {
        index_t row = 0;
        for (index_t c = channel; c < channel_end; c += cut.slab_channels, row += room) {
            body(c * area, std::min(channel_end, c + cut.slab_channels) * area, row);
        }
    };
    for (index_t p = pixel; p < pixel_end; p += cut.slice) {
        const index_t p_end = std::min(pixel_end, p + cut.slice);
        gemm::pack_pixels(kernels, dy, p, p_end, gradient);
        const bool anew = sums.begin_anew(p_end - p);
        for_slabs([&](index_t tap, index_t tap_end, index_t row) {
            heed_interrupt();
            slab.load(tap, tap_end, p, p_end);
            sums.add(p_end - p, slab.data(), slab.tap_offsets(), row, tap_end - tap,
                     slab.pixel_offsets(), gradient, 0, !anew);
        });
    }
    sums.finish();
    for_slabs([&](index_t tap, index_t tap_end, index_t row) {
        for (index_t p = 0; p < panels.count(); ++p) {
            const index_t width = panels.width(p);
            store(tap, tap_end - tap, panels.begin(p), panels.length(p), sums.data(p) + row * width,
                  width);
        }
    });
}

/// Whether x rather than dy is copied into panels, which takes longer than to read it in place: for
/// windows of one pixel, where both are images, x if it has fewer channels.
bool turns(const Problem& problem, index_t lanes) {
    const auto padded = [&](index_t channels) { return round_up(channels, lanes) - channels; };
    return problem.window.is_pointwise() && problem.channels < problem.filters &&
           padded(problem.channels) * 8 <= problem.channels;
}

/// The convolution whose weights have the transposed gradient if x and dy change places.
Problem turned(const Problem& problem) {
    return {problem.y, {{}, problem.x.c, problem.groups}};
}

template <typename T>
void weight_grad(const Problem& problem, const T* dy, const T* x, T* dweight, bool turned) {
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const index_t pixels = problem.pixels();
    const index_t group_size = problem.filters * problem.taps, size = problem.groups * group_size;
    if (pixels == 0) {
        std::fill_n(dweight, size, T{0});
        return;
    }
    const WeightGradCut cut(problem);
    const Buffer<T> sums((cut.chunks - 1) * size);  // of all chunks but the first
    parallel_for(cut.chunks * problem.groups * cut.parts, problem.multiply_adds(), [&](index_t i) {
        const index_t chunk = i / (problem.groups * cut.parts);
        const index_t group = i / cut.parts % problem.groups;
        T* to = chunk > 0 ? sums.data() + (chunk - 1) * size : dweight;
        const index_t filter = group * problem.filters;
        weight_grad_block<T>(
            kernels, problem, cut,
            {dy + filter * problem.y.plane(), problem.filters, problem.y.image(),
             problem.y.plane()},
            problem.windows(x, group), i % cut.parts * cut.channels, chunk * cut.chunk_pixels,
            {kernels, to + group * group_size, turned ? problem.filters : problem.taps, turned});
    });
    add_in_order(cut.chunks - 1, size, sums.data(), dweight);
}

}  // namespace

template <typename T>
void forward(const ForwardCall<T>& call) {
    std::vector<gemm::PackedPanels<T>> own;
    const auto& weights = form_of(call.kept, &KeptWeights<T>::Forms::columns, own,
                                  [&] { return pack_weights(call.problem, call.weight); });
    forward_packed(call.problem, call.x, weights, call.bias, call.y, call.grid, call.last,
                   call.units);
}

template <typename T>
void forward_packed(const Problem& problem, const T* x,
                    const std::vector<gemm::PackedPanels<T>>& weights, const T* bias, T* y,
                    const OutputGrid& grid, const LastStep<T>& last, const ChannelNorm<T>* units) {
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const Panels panels(kernels, problem.filters);
    const ForwardCut cut(kernels, problem, panels);
    parallel_for(problem.groups * cut.tasks(), problem.multiply_adds(), [&](index_t i) {
        const index_t group = i / cut.tasks(), filter = group * problem.filters;
        const index_t block = i % cut.tasks() / cut.panel_blocks;
        const index_t pixel = cut.pixels.begin(block), pixel_end = cut.pixels.end(block);
        const index_t panel = i % cut.panel_blocks * cut.panels_per_task;
        const gemm::StorePixels<T, OutputGrid> write(kernels, y + filter * grid.plane, problem.y,
                                                     grid,
                                                     bias != nullptr ? bias + filter : nullptr);
        const index_t panel_end = std::min(panels.count(), panel + cut.panels_per_task);
        forward_block(kernels, problem, problem.windows(x, group, units),
                      weights[static_cast<std::size_t>(group)], pixel, pixel_end, panel, panel_end,
                      write);
        last.apply(y, problem.y, filter + panels.begin(panel),
                   std::min(filter + problem.filters, filter + panels.begin(panel_end)), pixel,
                   pixel_end);
    });
}

template <typename T>
void weight_grad(const WeightGradCall<T>& call) {
    const Problem& problem = call.problem;
    if (pointwise::is_linear(problem)) {
        return linear_backward_weight<T>({call.dy, problem.y.n, problem.filters},
                                         {call.x, problem.x.n, problem.taps},
                                         {call.dweight, problem.filters, problem.taps});
    }
    const Window2d& window = problem.window;
    if (!window.is_pointwise() && pointwise::strided_obstacle(window) == nullptr) {
        const Buffer<T> seen = pointwise::seen_pixels(problem, call.x);
        const Problem dense = pointwise::of_seen_pixels(problem);
        return weight_grad<T>({dense, call.dy, seen.data(), call.dweight});
    }
    if (turns(problem, pocketcnn::kernels<T>().lanes)) {
        weight_grad(turned(problem), call.x, call.dy, call.dweight, true);
    } else {
        weight_grad(problem, call.dy, call.x, call.dweight, false);
    }
}

#define POCKETCNN_INSTANTIATE(T)                                                                \
    template void forward(const ForwardCall<T>&);                                               \
    template void forward_packed(const Problem&, const T*,                                      \
                                 const std::vector<gemm::PackedPanels<T>>&, const T*, T*,       \
                                 const OutputGrid&, const LastStep<T>&, const ChannelNorm<T>*); \
    template void weight_grad(const WeightGradCall<T>&);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::conv::im2col
