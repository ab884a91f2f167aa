#include "conv/pointwise.h"

#include <pocketcnn/linear.h>

#include "conv/kept_weights.h"
#include "gemm/images.h"
#include "gemm/matrix.h"
#include "gemm/pointwise.h"
#include "runtime/isa.h"
#include "runtime/memory_pool.h"
#include "runtime/parallel.h"

namespace pocketcnn::conv::pointwise {

template <typename T>
Buffer<T> seen_pixels(const Problem& problem, const T* x) {
    const Window2d& w = problem.window;
    Buffer<T> seen(problem.x.n * problem.x.c * problem.y.plane());
    const double elements = static_cast<double>(problem.x.n * problem.x.c * problem.y.plane());
    parallel_for(problem.x.n * problem.x.c, elements, [&](index_t i) {
        T* to = seen.data() + i * problem.y.plane();
        for (index_t row = 0; row < problem.y.h; ++row) {
            const T* from = x + (i * problem.x.h + row * w.stride_h) * problem.x.w;
            for (index_t col = 0; col < problem.y.w; ++col) *to++ = from[col * w.stride_w];
        }
    });
    return seen;
}

Problem of_seen_pixels(const Problem& problem) {
    return {{problem.x.n, problem.x.c, problem.y.h, problem.y.w},
            {{}, problem.y.c, problem.groups}};
}

namespace {

using gemm::Block;
using gemm::BlockCut;

/// The filters of each group; turned, weights are [taps][filters].
template <typename T>
std::vector<gemm::PackedLeft<T>> pack_weights(const Problem& problem, const T* weight,
                                              bool turned) {
    std::vector<gemm::PackedLeft<T>> packed;
    for (index_t group = 0; group < problem.groups; ++group) {
        const T* filters = weight + group * problem.filters * problem.taps;
        const gemm::Operand<T> rows = {filters, problem.filters, problem.taps, 1};
        const gemm::Operand<T> columns = {filters, problem.filters, 1, problem.filters};
        packed.emplace_back(pocketcnn::kernels<T>(), turned ? columns : rows, problem.taps);
    }
    return packed;
}

/// How one image is cut into blocks that read it in place: by rows first, which costs nothing, then
/// by columns of at least two tiles.
struct RowCut {
    Split rows;  ///< panels
    Split cols;  ///< vectors

    template <typename T>
    RowCut(const Kernels<T>& kernels, const Problem& problem)
        : rows{ceil_div(problem.filters, kernels.product.rows), 1},
          cols{ceil_div(problem.x.plane(), kernels.lanes), 1} {
        constexpr index_t worth = 32, tile = kProductVectors;
        const index_t wanted = ceil_div(kEnoughTasks, problem.x.n);
        rows.count = std::clamp(problem.filters / worth, index_t{1}, wanted);
        cols.count = std::clamp(cols.size / (2 * tile), index_t{1}, ceil_div(wanted, rows.count));
    }
    index_t blocks() const { return rows.count * cols.count; }
};

template <typename T>
void multiply_in_place(const ForwardCall<T>& call, index_t group, const gemm::PackedLeft<T>& left) {
    const Problem& problem = call.problem;
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const index_t plane = problem.x.plane(), filter = group * problem.filters;
    const double work = problem.multiply_adds() / static_cast<double>(problem.groups);
    const RowCut cut(kernels, problem);
    parallel_for(problem.x.n * cut.blocks(), work, [&](index_t i) {
        const index_t image = i / cut.blocks(), block = i % cut.blocks();
        const index_t rows = block / cut.cols.count, cols = block % cut.cols.count;
        const index_t row = cut.rows.begin(rows) * kernels.product.rows;
        const index_t row_end =
            std::min(problem.filters, cut.rows.end(rows) * kernels.product.rows);
        const index_t col = cut.cols.begin(cols) * kernels.lanes;
        const index_t col_end = std::min(plane, cut.cols.end(cols) * kernels.lanes);
        const T* x = call.x + image * problem.x.image() + group * problem.channels * plane + col;
        T* y = call.y + image * call.grid.image + (filter + row) * call.grid.plane + col;
        const RowProduct size = {row_end - row,     col_end - col, problem.taps,
                                 left.panel_size(), plane,         call.grid.plane};
        kernels.product.multiply_rows(size, left.panel(row, 0, problem.taps, nullptr), x,
                                      call.bias != nullptr ? call.bias + filter + row : nullptr, y);
        for (index_t f = row; f < row_end; ++f, y += call.grid.plane) {
            call.last.apply(y, size.cols);
        }
    });
}

template <typename T>
void multiply_packed(const ForwardCall<T>& call, index_t group, const gemm::PackedLeft<T>& left) {
    const Problem& problem = call.problem;
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const index_t pixels = problem.pixels(), filter = group * problem.filters;
    const BlockCut cut = gemm::cut_blocks(kernels, problem.filters, pixels, problem.taps);
    const double work = problem.multiply_adds() / static_cast<double>(problem.groups);
    parallel_for(cut.blocks(), work, [&](index_t i) {
        const Block block = cut.block(i, problem.filters, pixels, problem.taps);
        gemm::StorePixels<T, OutputGrid> write(kernels, call.y + filter * call.grid.plane,
                                               problem.y, call.grid,
                                               call.bias != nullptr ? call.bias + filter : nullptr);
        gemm::RightPixels<T> right(kernels, problem.windows(call.x, group),
                                   call.x + problem.x.size());
        gemm::multiply_block(kernels, block, left, right, write);
        call.last.apply(call.y, problem.y, filter + block.row, filter + block.row_end, block.col,
                        block.col_end);
    });
}

template <typename T>
void multiply(const ForwardCall<T>& call, const std::vector<gemm::PackedLeft<T>>& weights,
              void (*of_group)(const ForwardCall<T>&, index_t, const gemm::PackedLeft<T>&)) {
    for (index_t group = 0; group < call.problem.groups; ++group) {
        of_group(call, group, weights[static_cast<std::size_t>(group)]);
    }
}

/// The weights' rows: the kept ones, or new ones that go into `own`.
template <typename T>
const std::vector<gemm::PackedLeft<T>>& kept_rows(const ForwardCall<T>& call,
                                                  std::vector<gemm::PackedLeft<T>>& own) {
    return form_of(call.kept, &KeptWeights<T>::Forms::rows, own,
                   [&] { return pack_weights(call.problem, call.weight, false); });
}

}  // namespace

const char* obstacle(const Window2d& window) {
    return window.is_pointwise() ? nullptr : "takes 1x1 windows with stride 1, without padding";
}

const char* strided_obstacle(const Window2d& window) {
    return window.taps() == 1 && !gemm::is_padded(window) ? nullptr
                                                          : "takes 1x1 windows without padding";
}

const char* in_place_obstacle(const Problem& problem) {
    const bool fits =
        problem.x.plane() >= kernels<float>().product.cols && problem.taps <= gemm::kDepthBlock;
    return problem.window.is_pointwise() && fits
               ? nullptr
               : "takes 1x1 windows with stride 1, without padding, of up to 512 channels, over "
                 "planes of a tile of the product or more";
}

/// Where packing is not worth its time, all of x is in cache, and rows do not push each other out.
/// Packed pixels of all images fill whole vectors, those of a plane may not; but packing takes as
/// long as the sums of some filters, and storing packed results as those of some channels. Vectors
/// of less than a cache line gain less (docs/measurements.md#pixels-in-place).
bool in_place_pays(const Problem& problem) {
    constexpr index_t few_filters = 64, line = 64 / sizeof(float);
    constexpr index_t bad_stride = 2048 / sizeof(float);
    constexpr double packing = 10, storing = 10;
    const Kernels<float>& kernels = pocketcnn::kernels<float>();
    const bool is_wide = kernels.lanes >= line && problem.filters <= few_filters;
    const index_t plane = problem.x.plane(), most = is_wide ? 1 << 22 : 1 << 18;
    const double idle =
        static_cast<double>(round_up(plane, kernels.lanes) - plane) / static_cast<double>(plane);
    const double saved = packing / static_cast<double>(problem.filters) +
                         storing / static_cast<double>(problem.channels);
    return problem.x.size() <= most && plane % bad_stride != 0 && idle <= saved;
}

bool is_linear(const Problem& problem) {
    return problem.window.is_pointwise() && problem.x.plane() == 1 && problem.groups == 1;
}

bool strided_pays(const Problem& problem) {
    // Images beyond the second cache, or as many filters (docs/measurements.md#strided-pixels).
    constexpr index_t large_image = 1 << 18, many = 1 << 19, enough_filters = 256;
    const index_t image = problem.channels * problem.x.plane();
    return image >= large_image ||
           (problem.filters >= enough_filters && problem.x.n * image >= many);
}

template <typename T>
void forward(const ForwardCall<T>& call) {
    const Problem& problem = call.problem;
    if (is_linear(problem) && call.grid.image == problem.y.c) {
        const MatrixView<T> y = {call.y, problem.y.n, problem.filters};
        linear<T>({call.x, problem.x.n, problem.taps}, {call.weight, problem.filters, problem.taps},
                  call.bias, y);
        return call.last.apply(call.y, problem.y.size());
    }
    std::vector<gemm::PackedLeft<T>> own;
    multiply(call, kept_rows(call, own), multiply_packed<T>);
}

template <typename T>
void forward_in_place(const ForwardCall<T>& call) {
    std::vector<gemm::PackedLeft<T>> own;
    multiply(call, kept_rows(call, own), multiply_in_place<T>);
}

template <typename T>
void forward_turned(const Problem& problem, const T* x, const T* weight, T* y,
                    const OutputGrid& grid, bool in_place) {
    if (is_linear(problem) && grid.image == problem.y.c) {
        return linear_backward_input<T>({x, problem.x.n, problem.taps},
                                        {weight, problem.taps, problem.filters},
                                        {y, problem.y.n, problem.filters});
    }
    const T* no_bias = nullptr;
    multiply<T>({problem, x, weight, no_bias, y, grid}, pack_weights(problem, weight, true),
                in_place ? multiply_in_place<T> : multiply_packed<T>);
}

template <typename T>
void forward_strided(const ForwardCall<T>& call) {
    const Problem& problem = call.problem;
    const Problem dense = of_seen_pixels(problem);
    const Buffer<T> pixels = seen_pixels(problem, call.x);
    forward<T>(
        {dense, pixels.data(), call.weight, call.bias, call.y, call.grid, call.last, call.kept});
}

#define POCKETCNN_INSTANTIATE(T)                                                                   \
    template Buffer<T> seen_pixels(const Problem&, const T*);                                      \
    template void forward(const ForwardCall<T>&);                                                  \
    template void forward_in_place(const ForwardCall<T>&);                                         \
    template void forward_turned(const Problem&, const T*, const T*, T*, const OutputGrid&, bool); \
    template void forward_strided(const ForwardCall<T>&);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::conv::pointwise
