#include "conv/im2col.h"

#include <algorithm>

#include "gemm/images.h"
#include "gemm/matrix.h"
#include "gemm/pointwise.h"
#include "runtime/isa.h"
#include "runtime/parallel.h"

namespace pocketcnn::conv::im2col {
namespace {

using gemm::Block;
using gemm::Partition;

/// How the gradient of the weights is cut: over the result, and where that gives too few tasks
/// also over the pixels, each chunk with a sum of its own.
struct WeightGradCut {
    Partition partition;
    index_t chunks, chunk_pixels;
};

template <typename T>
WeightGradCut cut_weight_grad(const Kernels<T>& kernel, const Problem& problem) {
    constexpr index_t enough_tasks = 16, smallest_chunk = 256;
    const index_t pixels = problem.pixels();
    // dy is packed once a block of columns and the slab copied once a block of rows: blocks as
    // large as the packed right operand may be.
    const auto step = [](index_t size, index_t tile, index_t most_tiles) {
        const index_t tiles = ceil_div(size, tile);
        return ceil_div(tiles, ceil_div(tiles, most_tiles)) * tile;
    };
    const index_t right_tiles =
        gemm::block_cols(kernel, gemm::kDepthBlock, problem.taps) / kernel.cols;
    const index_t col_step = step(problem.taps, kernel.cols, right_tiles);
    const index_t row_step = step(problem.filters, kernel.rows, 64);
    const Partition partition = {row_step, col_step, ceil_div(problem.filters, row_step),
                                 ceil_div(problem.taps, col_step)};
    const index_t wanted = ceil_div(enough_tasks, partition.blocks() * problem.groups);
    const index_t chunks =
        std::clamp(ceil_div(pixels, smallest_chunk), index_t{1}, std::max(index_t{1}, wanted));
    return {partition, chunks, ceil_div(pixels, chunks)};
}

/// to = the sum of the chunks' results, in the order of the chunks.
template <typename T>
void add_chunks(const Kernels<T>& kernel, const T* sums, index_t chunks, index_t size, T* to) {
    constexpr index_t grain = 4096;
    parallel_ranges(size, grain, static_cast<double>(chunks), [&](index_t begin, index_t end) {
        std::copy(sums + begin, sums + end, to + begin);
        for (index_t chunk = 1; chunk < chunks; ++chunk) {
            kernel.add(end - begin, sums + chunk * size + begin, to + begin);
        }
    });
}

}  // namespace

template <typename T>
void forward(const Problem& problem, const T* x, const T* weight, const T* bias, T* y,
             const OutputGrid& grid) {
    const Kernels<T>& kernel = kernels<T>();
    const index_t pixels = problem.pixels();
    const Partition cut = gemm::partition(kernel, problem.filters, pixels, problem.taps);
    for (index_t group = 0; group < problem.groups; ++group) {
        const index_t filter = group * problem.filters;
        const gemm::PackedLeft<T> left(
            kernel, {weight + filter * problem.taps, problem.filters, problem.taps, 1},
            problem.taps);
        const double work = problem.multiply_adds() / static_cast<double>(problem.groups);
        parallel_for(cut.blocks(), work, [&](index_t i) {
            const Block block = cut.block(i, problem.filters, pixels, problem.taps);
            gemm::StorePixels<T, OutputGrid> write(kernel, y + filter * grid.plane, problem.y, grid,
                                                   bias != nullptr ? bias + filter : nullptr);
            if (problem.window.is_pointwise()) {
                gemm::RightPixels<T> right(kernel, problem.windows(x, group), x + problem.x.size());
                gemm::multiply_block(kernel, block, left, right, write);
            } else {
                gemm::RightWindows<T> right(kernel, problem.windows(x, group));
                gemm::multiply_block(kernel, block, left, right, write);
            }
        });
    }
}

/// The product transpose(weight) * dy, whose rows are the columns of im2col, added back to the
/// places they came from. One task owns some channels of one image.
template <typename T>
void input_grad(const Problem& problem, const T* dy, const T* weight, T* dx) {
    const Kernels<T>& kernel = kernels<T>();
    constexpr index_t enough_tasks = 16;
    const index_t parts =
        std::min(problem.channels,
                 ceil_div(enough_tasks, std::max<index_t>(1, problem.x.n * problem.groups)));
    const index_t step = ceil_div(problem.channels, parts);
    const index_t area = problem.window.taps();
    const index_t col_step = gemm::block_cols(kernel, problem.filters, problem.y.plane());
    parallel_for(problem.x.n * problem.groups * parts, problem.multiply_adds(), [&](index_t i) {
        const index_t image = i / (problem.groups * parts), group = i / parts % problem.groups;
        const index_t channel = i % parts * step;
        const index_t channel_end = std::min(problem.channels, channel + step);
        if (channel >= channel_end) return;

        const index_t first = group * problem.channels + channel;
        T* to = dx + image * problem.x.image() + first * problem.x.plane();
        std::fill_n(to, (channel_end - channel) * problem.x.plane(), T{0});
        const index_t rows = (channel_end - channel) * area;
        const gemm::LeftMatrix<T> left(
            kernel, {weight + group * problem.filters * problem.taps + channel * area, rows, 1,
                     problem.taps});
        gemm::RightMatrix<T> right(
            kernel, {dy + image * problem.y.image() + group * problem.filters * problem.y.plane(),
                     problem.y.plane(), 1, problem.y.plane()});
        gemm::AddWindows<T> write(kernel, to, problem.x.h, problem.x.w, problem.window);
        for (index_t col = 0; col < problem.y.plane(); col += col_step) {
            const index_t col_end = std::min(problem.y.plane(), col + col_step);
            gemm::multiply_block(kernel, {0, rows, col, col_end, 0, problem.filters}, left, right,
                                 write);
        }
    });
}

template <typename T>
void weight_grad(const Problem& problem, const T* dy, const T* x, T* dweight) {
    const Kernels<T>& kernel = kernels<T>();
    const index_t pixels = problem.pixels();
    const index_t group_size = problem.filters * problem.taps, size = problem.groups * group_size;
    if (pixels == 0) {
        std::fill_n(dweight, size, T{0});
        return;
    }
    const WeightGradCut cut = cut_weight_grad(kernel, problem);
    const Buffer<T> sums(cut.chunks > 1 ? cut.chunks * size : 0);
    const index_t blocks = cut.partition.blocks();
    parallel_for(cut.chunks * problem.groups * blocks, problem.multiply_adds(), [&](index_t i) {
        const index_t chunk = i / (problem.groups * blocks), group = i / blocks % problem.groups;
        Block block = cut.partition.block(i % blocks, problem.filters, problem.taps, pixels);
        block.depth = chunk * cut.chunk_pixels;
        block.depth_end = std::min(pixels, block.depth + cut.chunk_pixels);
        const gemm::LeftPixels<T> left(kernel, dy + group * problem.filters * problem.y.plane(),
                                       problem.filters, problem.y.image(), problem.y.plane());
        T* to = cut.chunks > 1 ? sums.data() + chunk * size : dweight;
        gemm::StoreMatrix<T> write(kernel, to + group * group_size, problem.taps);
        if (problem.window.is_pointwise()) {
            gemm::RightChannels<T> right(kernel, problem.windows(x, group));
            gemm::multiply_block(kernel, block, left, right, write);
        } else {
            gemm::RightTaps<T> right(kernel, problem.windows(x, group));
            gemm::multiply_block(kernel, block, left, right, write);
        }
    });
    if (cut.chunks > 1) add_chunks(kernel, sums.data(), cut.chunks, size, dweight);
}

#define POCKETCNN_INSTANTIATE(T)                                                                \
    template void forward(const Problem&, const T*, const T*, const T*, T*, const OutputGrid&); \
    template void input_grad(const Problem&, const T*, const T*, T*);                           \
    template void weight_grad(const Problem&, const T*, const T*, T*);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::conv::im2col
