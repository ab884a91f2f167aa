// The gradient of the weights, with the roles of taps and results exchanged: a tile of x and its
// tile of dy give 36 products. These are summed over all tiles, and then a single transform gives
// the taps.
//
//     for each block of tiles
//         x -> transform -> V [point][depth][tile],  dy -> evaluate -> D [point][lanes][tile]
//         for each point                             S += transpose(V) * D
//     S -> collect -> dweight
//
// The sums depend on how the tiles are cut, so the cut depends on the problem's size only. If S is
// small, each chunk of the tiles has its own sums, which are added in order. If S is large, or
// there are too few tiles for two chunks, all threads work on one S and share V and D.
#include "conv/im2col.h"
#include "conv/winograd/filters.h"
#include "conv/winograd/parts.h"
#include "conv/winograd/winograd.h"
#include "gemm/long_sums.h"
#include "runtime/add_in_order.h"
#include "runtime/cut.h"
#include "runtime/interrupt.h"
#include "runtime/isa.h"
#include "runtime/parallel.h"

namespace pocketcnn::winograd {
namespace {

// The sizes were found by trying halves and doubles on layers of 16 to 512 channels, on a core with
// 1 MB of L2 and a share of 32 MB of L3 (docs/measurements.md#winograd-sizes).

/// Bytes of sums up to which every chunk has its own, if there are enough tiles for four threads'
/// chunks. Threads that share V and D take longer.
constexpr index_t kSmallSums = index_t{1} << 20;
constexpr index_t kMediumSums = index_t{2} << 20;
constexpr index_t kMediumChunks = 4;
constexpr index_t kMostChunks = kEnoughLargeTasks;
/// V and D of a chunk are at least this many times as large as its sums. With smaller chunks,
/// adding up the sums costs more than the chunks save.
constexpr index_t kChunkSums = 3;
/// Bytes of V and D of a block of one thread: 2 MB, the whole of an L2 cache, is slower.
constexpr index_t kPrivateGradBytes = index_t{768} << 10;
/// Bytes of V and D of a block of all threads. Four times as much is slower.
constexpr index_t kSharedGradBytes = index_t{4} << 20;
/// Tiles of one product: 192 tiles by 32 filters and by the 16 channels of a vector are 36 KB,
/// which stay in an L1 cache for all channels. 256 tiles, which fill such a cache, are slower.
constexpr index_t kDepth = 192;

template <typename T>
class WeightGrad {
  public:
    WeightGrad(const conv::Problem& problem, const T* dy, const T* x, index_t group)
        : kernels_(kernels<T>().winograd),
          problem_(problem),
          x_(phases_of_input(problem, x, group)),
          dy_(lanes_of_output(problem, dy, group)),
          grid_(output_grid(problem)),
          panels_(dy_.lanes(), kernels_.lanes, kernels_.grad_vectors),
          depth_vectors_(ceil_div(x_.lanes(), kernels_.lanes)),
          points_(grid_.points()),
          transform_(kernels_.transform[grid_.step_h > 1][grid_.step_w > 1]),
          evaluate_(kernels_.evaluate[grid_.step_h - 1][grid_.step_w - 1]) {}

    /// Whether all of dweight is finite.
    bool run(T* dweight) {
        const index_t sums_bytes = points_ * sums_stride() * index_t{sizeof(T)};
        const index_t tiles = grid_.tiles();
        if (tiles == 0) {
            std::fill_n(dweight, problem_.filters * problem_.taps, T{0});
            return true;
        }
        if ((sums_bytes <= kSmallSums && most_chunks(sums_bytes) > 1) ||
            (sums_bytes <= kMediumSums && most_chunks(sums_bytes) >= kMediumChunks)) {
            // Every block reads and writes its chunk's sums, so it should not be smaller than they
            // are.
            const index_t block = block_tiles(std::max(kPrivateGradBytes, 2 * sums_bytes));
            const index_t chunk = ceil_div(tiles, most_chunks(sums_bytes));
            const index_t chunks = ceil_div(tiles, chunk);
            const index_t size = points_ * sums_stride();
            const Buffer<T> sums(chunks * size);
            parallel_for(chunks, work(tiles), [&](index_t i) {
                private_sums(std::min(tiles, i * chunk), std::min(tiles, (i + 1) * chunk), block,
                             sums.data() + i * size);
            });
            add_in_order(chunks - 1, size, sums.data() + size, sums.data());
            return store_weight_grad(problem_, sums.data(), sums_stride(), panels_.lanes(),
                                     dweight);
        }
        const Buffer<T> sums(points_ * sums_stride());
        // Every block reads and writes all sums, so it should not be much smaller than they are.
        shared_sums(block_tiles(std::max(kSharedGradBytes, sums_bytes / 2)), sums.data());
        return store_weight_grad(problem_, sums.data(), sums_stride(), panels_.lanes(), dweight);
    }

  private:
    index_t depth() const { return depth_vectors_ * kernels_.lanes; }
    index_t sums_stride() const { return depth() * panels_.lanes() + kernels_.lanes; }
    double work(index_t tiles) const {
        return static_cast<double>(tiles * points_) * static_cast<double>(depth()) *
               static_cast<double>(panels_.lanes());
    }
    /// Bytes of V and D of a tile.
    index_t tile_bytes() const {
        return points_ * (depth() + panels_.lanes()) * index_t{sizeof(T)};
    }
    index_t block_tiles(index_t bytes) const {
        return std::clamp<index_t>(bytes / tile_bytes(), 1, std::max<index_t>(1, grid_.tiles()));
    }
    /// A power of two, so that two or four threads get equal parts.
    index_t most_chunks(index_t sums_bytes) const {
        index_t chunks = kMostChunks;
        while (chunks > 1 && grid_.tiles() * tile_bytes() < chunks * kChunkSums * sums_bytes) {
            chunks /= 2;
        }
        return chunks;
    }

    /// Points of a block of tiles, first V then D. A vector lies between points, so that they do
    /// not all share the same cache sets.
    struct Points {
        index_t tiles, v_stride, d_stride;
        Buffer<T> v, d;
    };
    Points points(index_t tiles) const {
        const index_t v = tiles * depth() + kernels_.lanes;
        const index_t d = tiles * panels_.lanes() + kernels_.lanes;
        return {tiles, v, d, Buffer<T>(points_ * v), Buffer<T>(points_ * d)};
    }

    void private_sums(index_t begin, index_t end, index_t block, T* sums) const {
        for (index_t point = 1; point <= points_; ++point) {  // the gaps between points
            std::fill_n(sums + point * sums_stride() - kernels_.lanes, kernels_.lanes, T{0});
        }
        const Points to = points(std::min(block, end - begin));
        gemm::LongSums<T> totals(points_ * sums_stride(), end - begin);
        for (index_t first = begin; first < end; first += block) {
            const index_t last = std::min(end, first + block);
            const bool anew = totals.begin_anew(last - first, sums);
            transform_input(first, last, first, 0, depth_vectors_, to);
            transform_gradient(first, last, first, 0, panels_.total, to);
            for (index_t point = 0; point < points_; ++point) {
                heed_interrupt();
                for (index_t panel = 0; panel < panels_.count(); ++panel) {
                    multiply(to, last - first, point, panel, !anew, sums);
                }
            }
        }
        totals.finish(sums);
    }

    void shared_sums(index_t block, T* sums) const {
        const index_t tiles = grid_.tiles(), vectors = depth_vectors_ + panels_.total;
        constexpr index_t step = 64;  // tiles per task of the transforms
        const Points to = points(std::min(block, tiles));
        gemm::LongSums<T> totals(points_ * sums_stride(), tiles);
        for (index_t first = 0; first < tiles; first += block) {
            const index_t last = std::min(tiles, first + block),
                          parts = ceil_div(last - first, step);
            const bool anew = totals.begin_anew(last - first, sums);
            parallel_for(parts * vectors, work(last - first), [&](index_t i) {
                const index_t begin = first + i % parts * step, vector = i / parts;
                const index_t end = std::min(last, begin + step);
                if (vector < depth_vectors_) {
                    transform_input(begin, end, first, vector, vector + 1, to);
                } else {
                    const index_t v = vector - depth_vectors_;
                    transform_gradient(begin, end, first, v, v + 1, to);
                }
            });
            parallel_for(points_ * panels_.count(), work(last - first), [&](index_t i) {
                multiply(to, last - first, i / panels_.count(), i % panels_.count(), !anew, sums);
            });
        }
        totals.finish(sums);
    }

    void transform_input(index_t begin, index_t end, index_t origin, index_t vector,
                         index_t vector_end, const Points& to) const {
        LocalPositions<T, kStripPositions> positions;
        const TilePlaces places = {to.tiles, 0, kernels_.lanes, to.v_stride};
        for_strips(grid_, begin, end, [&](const Strip& strip) {
            const Region region = strip.input(grid_);
            for (index_t v = vector; v < vector_end; ++v) {
                kernels_.gather(
                    x_, strip.image, v * kernels_.lanes, region,
                    gathered_next(x_, grid_, strip, kernels_.lanes, vector, vector_end, v),
                    positions.data());
                for (index_t row = 0; row < strip.rows; ++row) {
                    transform_(strip.cols, grid_.step_w, region.cols,
                               positions.data() + row * grid_.step_h * region.cols * kernels_.lanes,
                               strip.first + row * strip.cols - origin, places,
                               to.v.data() + v * to.tiles * kernels_.lanes);
                }
            }
        });
    }

    void transform_gradient(index_t begin, index_t end, index_t origin, index_t vector,
                            index_t vector_end, const Points& to) const {
        LocalPositions<T, kStripPositions> positions;
        for_strips(grid_, begin, end, [&](const Strip& strip) {
            const Region region = strip.output(grid_);
            for (index_t v = vector; v < vector_end; ++v) {
                const index_t panel = v / panels_.vectors;
                const TilePlaces places = {to.tiles, 0, panels_.width_lanes(panel), to.d_stride};
                T* points = to.d.data() + panels_.first_lane(panel) * to.tiles +
                            v % panels_.vectors * kernels_.lanes;
                kernels_.gather(
                    dy_, strip.image, v * kernels_.lanes, region,
                    gathered_next(dy_, grid_, strip, kernels_.lanes, vector, vector_end, v),
                    positions.data());
                for (index_t row = 0; row < strip.rows; ++row) {
                    evaluate_(strip.cols, grid_.step_w, region.cols,
                              positions.data() + row * grid_.step_h * region.cols * kernels_.lanes,
                              strip.first + row * strip.cols - origin, places, points);
                }
            }
        });
    }

    /// All channels at one point for one panel of filters.
    void multiply(const Points& from, index_t tiles, index_t point, index_t panel, bool add,
                  T* sums) const {
        const index_t width = panels_.width(panel), rows = kernels_.grad_rows[width - 1];
        const auto accumulate = kernels_.accumulate[width - 1];
        const T* right =
            from.d.data() + point * from.d_stride + panels_.first_lane(panel) * from.tiles;
        T* out = sums + point * sums_stride() + panels_.first_lane(panel);
        for (index_t t = 0; t < tiles; t += kDepth) {
            const index_t count = std::min(kDepth, tiles - t);
            for (index_t c = 0; c < depth(); c += rows) {
                const T* left = from.v.data() + point * from.v_stride +
                                (c / kernels_.lanes * from.tiles + t) * kernels_.lanes +
                                c % kernels_.lanes;
                accumulate(count, left, right + t * panels_.width_lanes(panel),
                           out + c * panels_.lanes(), panels_.lanes(), add || t > 0);
            }
        }
    }

    const WinogradKernels<T>& kernels_;
    const conv::Problem& problem_;
    LaneImages<const T> x_, dy_;
    Grid grid_;
    LanePanels panels_;
    index_t depth_vectors_;
    const index_t points_;  ///< of a tile
    const decltype(kernels_.transform[0][0]) transform_, evaluate_;
};

}  // namespace

template <typename T>
void weight_grad(const conv::WeightGradCall<T>& call) {
    const conv::Problem& problem = call.problem;
    bool finite = true;
    for (index_t group = 0; group < problem.groups && finite; ++group) {
        finite = WeightGrad<T>(problem, call.dy, call.x, group)
                     .run(call.dweight + group * problem.filters * problem.taps);
    }
    // A value that is not finite spreads to all taps of a channel and a filter.
    if (!finite) conv::im2col::weight_grad(call);
}

/// Runs one part of the batch after the other; later sums are added to the first.
template <typename T>
void weight_grad_in_parts(const conv::WeightGradCall<T>& call) {
    const conv::Problem& problem = call.problem;
    const index_t size = parted_weights(problem);
    const Buffer<T> sums(size), more(size);
    gemm::LongSums<T> totals(size, problem.pixels());
    std::fill_n(sums.data(), size, T{0});
    for_parted_batches(problem, sizeof(T), [&](const conv::Problem& part, index_t image) {
        totals.make_room(part.pixels(), sums.data(), size);
        weight_grad<T>({part, call.dy + image * problem.y.image(),
                        moved_images(problem, part, image, call.x).data(), more.data()});
        kernels<T>().elementwise.add(size, more.data(), sums.data());
    });
    totals.finish(sums.data());
    join_weights(problem, sums.data(), call.dweight);
}

#define POCKETCNN_INSTANTIATE(T)                               \
    template void weight_grad(const conv::WeightGradCall<T>&); \
    template void weight_grad_in_parts(const conv::WeightGradCall<T>&);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::winograd
