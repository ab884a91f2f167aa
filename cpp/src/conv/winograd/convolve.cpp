// For a block of tiles that stays in the cache from the first step to the last:
//
//     for each strip                                source -> transform -> V [point][tile][depth]
//     for each panel of filters
//         for each point                            M = V * filters        M [point][tile][lanes]
//         for each strip                            M -> collect + bias -> result
//
// If a block's V fits the L2 cache, a task is a block. With more channels, or few blocks, all
// threads together take a much larger block through the steps one by one, with V and M in the L3
// cache or in memory. A task of the products is then a point: V and the filters at one point fit
// the L2 cache, so all of V, M and the filters pass through it once per block.
#include "conv/winograd/convolve.h"

#include <vector>

#include "runtime/cut.h"
#include "runtime/isa.h"
#include "runtime/parallel.h"

namespace pocketcnn::winograd {
namespace {

// The sizes were found by trying halves and doubles on layers of 16 to 512 channels, on cores with
// 1 MB of L2 and a share of 32 MB of L3, and on cores with 2 MB of L2 and a slow L3.

/// Panels of product rows whose products M with one panel of filters are stored together: 56 tiles
/// by 32 filters are 258 KB. Tiles in a line have a sixth of the points, and a block of them three
/// times as many panels (docs/measurements.md#windows-of-one-row-or-column).
constexpr index_t kTilePanels = 4, kLinePanels = 12;
/// If there would be fewer blocks than this, they get fewer panels, provided there is enough work
/// (docs/measurements.md#winograd-sizes).
constexpr double kMuchWork = 1e7;
/// Threads do not share fewer blocks evenly. Then there is a task for each of them, if it has as
/// much work; where that is much, or there are too few tiles, they share each block's points.
constexpr index_t kFewBlocks = 4;
constexpr double kWorkToShare = 1e5;
/// Tiles that make the lower products worth while.
constexpr index_t kFewTiles = 8;
/// Bytes of V that one task may use.
constexpr index_t kPrivateBytes = index_t{2} << 20;
/// Bytes of V and M of a block that goes point by point. With smaller blocks the filters are read
/// more often; larger ones gained nothing (docs/measurements.md#winograd-sizes).
constexpr index_t kSharedBytes = index_t{48} << 20;
/// Panels of filters per task at one point: 256 filters of 384 channels are 393 KB, and fit the L2
/// cache together with as much of V.
constexpr index_t kPointPanels = 8;

template <typename T>
class Convolver {
  public:
    Convolver(const LaneConvolution<T>& convolution, const Filters<T>& filters, const T* bias,
              const SpoiledPart& spoiled)
        : kernels_(kernels<T>().winograd),
          conv_(convolution),
          filters_(filters),
          spoiled_(spoiled),
          depth_vectors_(ceil_div(convolution.source.lanes(), kernels_.lanes)),
          bias_(filters.panels.lanes()),
          points_(conv_.grid.points()),
          tile_panels_(points_ == kWinogradPoints ? kTilePanels : kLinePanels),
          transform_(kernels_.transform[conv_.grid.step_h > 1][conv_.grid.step_w > 1]),
          collect_(kernels_.collect[conv_.grid.step_h - 1][conv_.grid.step_w - 1]) {
        std::fill_n(bias_.data(), filters.panels.lanes(), T{0});
        if (bias != nullptr) std::copy_n(bias, conv_.result.lanes(), bias_.data());
    }

    void run() {
        const index_t tiles = conv_.grid.tiles(), rows = kernels_.rows;
        if (tiles == 0) return;
        const index_t panel_bytes = points_ * panel_size() * index_t{sizeof(T)};
        const index_t panels = std::min(tile_panels_, kPrivateBytes / panel_bytes);
        const index_t share = std::max<index_t>(1, tiles / (kEnoughLargeTasks * rows));
        const index_t block = (work() > kMuchWork ? std::min(panels, share) : panels) * rows;
        const bool fits = panels >= kTilePanels || panels * rows >= tiles;
        if (fits && (ceil_div(tiles, block) >= kFewBlocks || work() < kWorkToShare)) {
            return private_blocks(block, 1);
        }
        if (fits && work() < kMuchWork) {
            const TaskPerThread cut(*this);
            if (cut.wanted == 1 || cut.blocks * cut.parts > 1) {
                return private_blocks(ceil_div(tiles, cut.blocks), cut.parts);
            }
        }
        // Blocks of equal size, so that the last is not small.
        const index_t tile_bytes =
            points_ * (panel_size() / rows + filters_.panels.lanes()) * index_t{sizeof(T)};
        const index_t step = even_step(tiles, std::max(rows, kSharedBytes / tile_bytes));
        const Buffer<T> points(points_ * point_stride(step));
        const Buffer<T> sums(points_ * point_sums_stride(ceil_div(step, rows)));
        for (index_t begin = 0; begin < tiles; begin += step) {
            shared_block(begin, std::min(tiles, begin + step), points.data(), sums.data());
        }
    }

  private:
    /// Elements of V of a panel of tiles at one point.
    index_t panel_size() const { return depth_vectors_ * kernels_.lanes * kernels_.rows; }
    /// One vector more than needed, so that points do not all share the same cache sets.
    index_t point_stride(index_t tiles) const {
        return ceil_div(tiles, kernels_.rows) * panel_size() + kernels_.lanes;
    }
    /// The lowest that holds the tiles that are left.
    std::size_t height(index_t tiles) const {
        std::size_t h = 0;
        while (h < 2 && kernels_.heights[h] < tiles) ++h;
        return h;
    }
    double work() const {
        return static_cast<double>(conv_.grid.tiles() * points_) *
               static_cast<double>(filters_.depth) * static_cast<double>(filters_.panels.lanes());
    }

    /// Few tiles, or else panels, cut into one task for each thread: no sum depends on that.
    struct TaskPerThread {
        explicit TaskPerThread(const Convolver& of) {
            const auto most = static_cast<index_t>(of.work() / kWorkToShare);
            wanted = std::clamp<index_t>(threads_for_loop(), 1, most);
            const index_t tiles = of.conv_.grid.tiles();
            blocks = std::clamp(tiles / kFewTiles, index_t{1}, wanted);
            blocks *= ceil_div(tiles, blocks * of.tile_panels_ * of.kernels_.rows);
            const index_t panels = of.filters_.panels.count();
            parts = std::min(panels, ceil_div(wanted, blocks));
            const bool even = panels % parts == 0 || panels >= 4 * parts;
            if (!even) parts = 1;
        }
        index_t wanted, blocks, parts;
    };

    /// Tasks of a block of tiles and one of the parts of the panels.
    void private_blocks(index_t block, index_t parts) const {
        const index_t tiles = conv_.grid.tiles();
        const Split panels = {filters_.panels.count(), parts};
        parallel_for(ceil_div(tiles, block) * parts, work(), [&](index_t i) {
            const index_t begin = i / parts * block;
            private_block(begin, std::min(tiles, begin + block), panels.begin(i % parts),
                          panels.end(i % parts));
        });
    }

    void private_block(index_t begin, index_t end, index_t panel, index_t panel_end) const {
        const index_t stride = point_stride(end - begin);
        const Buffer<T> points(points_ * stride);
        transform(begin, end, begin, 0, depth_vectors_, stride, points.data());
        const Buffer<T> sums(sums_size());
        const std::vector<Strip> strips = strips_of(begin, end);
        for (; panel < panel_end; ++panel) {
            finish(begin, end, strips, panel, stride, points.data(), sums.data());
        }
    }

    void shared_block(index_t begin, index_t end, T* points, T* sums) const {
        const index_t stride = point_stride(end - begin), rows = kernels_.rows;
        constexpr index_t vectors = 4;  // of the depth per task: 128 KB to write
        const index_t parts = ceil_div(end - begin, rows);
        const index_t depth_parts = ceil_div(depth_vectors_, vectors);
        const double share = static_cast<double>(end - begin) / conv_.grid.tiles() * work();
        parallel_for(parts * depth_parts, share, [&](index_t i) {
            const index_t first = begin + i / depth_parts * rows;
            const index_t vector = i % depth_parts * vectors;
            transform(first, std::min(end, first + rows), begin, vector,
                      std::min(depth_vectors_, vector + vectors), stride, points);
        });
        const index_t panels = filters_.panels.count(), groups = ceil_div(panels, kPointPanels);
        parallel_for(points_ * groups, share, [&](index_t i) {
            const index_t point = i / groups, panel = i % groups * kPointPanels;
            multiply_point(point, panel, std::min(panels, panel + kPointPanels), end - begin,
                           points + point * stride, sums + point * point_sums_stride(parts));
        });
        const index_t step = rows * tile_panels_;
        parallel_for(panels * ceil_div(end - begin, step), share, [&](index_t i) {
            const index_t first = begin + i / panels * step;
            collect_panel(first, std::min(end, first + step), begin, i % panels, parts, sums);
        });
    }

    index_t point_sums_stride(index_t tile_panels) const {
        return tile_panels * kernels_.rows * filters_.panels.lanes() + kernels_.lanes;
    }

    /// M of panels [panel, panel_end) at one point: [panel][tile][lanes].
    void multiply_point(index_t point, index_t panel, index_t panel_end, index_t tiles,
                        const T* left, T* sums) const {
        const index_t rows = kernels_.rows, tile_panels = ceil_div(tiles, rows);
        for (; panel < panel_end; ++panel) {
            const index_t width = filters_.panels.width_lanes(panel);
            const T* right = filters_.panel(panel) + point * filters_.point_stride(panel);
            T* out = sums + filters_.panels.first_lane(panel) * tile_panels * rows;
            const auto& multiply = kernels_.multiply[filters_.panels.width(panel) - 1];
            for (index_t i = 0; i < tile_panels; ++i) {
                multiply[height(tiles - i * rows)](filters_.depth, left + i * panel_size(),
                                                   rows * kernels_.lanes, right,
                                                   out + i * rows * width);
            }
        }
    }

    /// The results of one panel for tiles [begin, end) of a block whose first tile is `origin`.
    void collect_panel(index_t begin, index_t end, index_t origin, index_t panel,
                       index_t tile_panels, const T* sums) const {
        const index_t lane = filters_.panels.first_lane(panel);
        const index_t width = filters_.panels.width_lanes(panel),
                      tiles = tile_panels * kernels_.rows;
        const TilePlaces places = {tiles, 0, width, point_sums_stride(tile_panels)};
        LocalPositions<T, kStripPositions> strip_positions;
        for_strips(conv_.grid, begin, end, [&](const Strip& strip) {
            for (index_t v = 0; v < width; v += kernels_.lanes) {
                collect(strip, origin, lane + v, places, sums + lane * tiles + v,
                        strip_positions.data());
            }
        });
    }

    /// Tiles [begin, end) to V of a block whose first tile is `origin`.
    void transform(index_t begin, index_t end, index_t origin, index_t vector, index_t vector_end,
                   index_t stride, T* points) const {
        const Grid& grid = conv_.grid;
        LocalPositions<T, kStripPositions> strip_positions;
        const index_t part = kernels_.rows * kernels_.lanes;
        const TilePlaces places = {kernels_.rows, panel_size(), kernels_.lanes, stride};
        for_strips(grid, begin, end, [&](const Strip& strip) {
            const Region region = strip.input(grid);
            for (index_t v = vector; v < vector_end; ++v) {
                gather(
                    strip, region,
                    gathered_next(conv_.source, grid, strip, kernels_.lanes, vector, vector_end, v),
                    v * kernels_.lanes, strip_positions.data());
                for (index_t row = 0; row < strip.rows; ++row) {
                    transform_(
                        strip.cols, grid.step_w, region.cols,
                        strip_positions.data() + row * grid.step_h * region.cols * kernels_.lanes,
                        strip.first + row * strip.cols - origin, places, points + v * part);
                }
            }
        });
        clear_rest(end - origin, vector, vector_end, stride, points);
    }

    void gather(const Strip& strip, const Region& region, index_t ahead, index_t lane,
                T* positions) const {
        if (conv_.source.pitch > 0) {
            kernels_.gather_together(conv_.source, strip.image, lane, region, positions);
        } else {
            kernels_.gather(conv_.source, strip.image, lane, region, ahead, positions);
        }
    }

    /// Zeros for the missing tiles of the last panel. Their products are not used, but old contents
    /// may be denormal numbers, which take the processor a hundred times as long
    /// (docs/measurements.md#winograd-sizes).
    void clear_rest(index_t tiles, index_t vector, index_t vector_end, index_t stride,
                    T* points) const {
        const index_t rows = kernels_.rows, row = tiles % rows;
        if (row == 0) return;
        for (index_t point = 0; point < points_; ++point) {
            T* panel = points + point * stride + tiles / rows * panel_size();
            for (index_t v = vector; v < vector_end; ++v) {
                std::fill_n(panel + (v * rows + row) * kernels_.lanes,
                            (rows - row) * kernels_.lanes, T{0});
            }
        }
    }

    index_t sums_size() const {
        return points_ * sums_stride(filters_.panels.vectors * kernels_.lanes) +
               kStripPositions * kernels_.lanes;
    }
    index_t sums_stride(index_t width) const {
        return tile_panels_ * kernels_.rows * width + kernels_.lanes;
    }

    /// Computes products and results of one panel for tiles [begin, end), whose V is `points`.
    void finish(index_t begin, index_t end, const std::vector<Strip>& strips, index_t panel,
                index_t stride, const T* points, T* sums) const {
        const index_t vectors = filters_.panels.width(panel), width = vectors * kernels_.lanes;
        const index_t tile_panels = ceil_div(end - begin, kernels_.rows);
        const auto& multiply = kernels_.multiply[vectors - 1];
        for (index_t point = 0; point < points_; ++point) {
            const T* right = filters_.panel(panel) + point * filters_.point_stride(panel);
            const T* left = points + point * stride;
            T* out = sums + point * sums_stride(width);
            announce(strips, panel, point);
            for (index_t i = 0; i < tile_panels; ++i) {
                multiply[height(end - begin - i * kernels_.rows)](
                    filters_.depth, left, kernels_.rows * kernels_.lanes, right, out);
                left += panel_size();
                out += kernels_.rows * width;
            }
        }
        T* strip_positions = sums + points_ * sums_stride(width);
        const TilePlaces places = {end - begin, 0, width, sums_stride(width)};
        for (const Strip& strip : strips) {
            for (index_t v = 0; v < vectors; ++v) {
                collect(strip, begin, filters_.panels.first_lane(panel) + v * kernels_.lanes,
                        places, sums + v * kernels_.lanes, strip_positions);
            }
        }
    }

    std::vector<Strip> strips_of(index_t begin, index_t end) const {
        std::vector<Strip> strips;
        for_strips(conv_.grid, begin, end, [&](const Strip& strip) { strips.push_back(strip); });
        return strips;
    }

    /// Prefetches what `finish` writes, one strip per point, while the products are computed.
    void announce(const std::vector<Strip>& strips, index_t panel, index_t point) const {
        const index_t lane = filters_.panels.first_lane(panel), count = std::ssize(strips);
        const index_t lane_end = lane + filters_.panels.width_lanes(panel);
        for (index_t i = point; i < count; i += points_) {
            Region region = strips[i].output(conv_.grid);
            if (conv_.pools) region = halved(region);
            if (conv_.result.pitch > 0) {
                kernels_.prefetch_together(conv_.result, strips[i].image, lane, lane_end, region);
            } else {
                kernels_.prefetch(conv_.result, strips[i].image, lane, lane_end, region,
                                  conv_.gate);
            }
        }
    }

    void collect(const Strip& strip, index_t origin, index_t lane, const TilePlaces& places,
                 const T* sums, T* positions) const {
        const Grid& grid = conv_.grid;
        const Region region = strip.output(grid);
        bool finite = true;
        for (index_t row = 0; row < strip.rows; ++row) {
            finite &= collect_(strip.cols, grid.step_w, region.cols, sums,
                               strip.first + row * strip.cols - origin, places, bias_.data() + lane,
                               positions + row * grid.step_h * region.cols * kernels_.lanes);
        }
        if (!finite) spoiled_.mark(strip.image);
        if (conv_.result.pitch > 0) {
            const auto scatter = conv_.pools ? kernels_.scatter_maxima : kernels_.scatter_together;
            scatter(conv_.result, strip.image, lane, region, conv_.end, positions);
        } else {
            kernels_.scatter(conv_.result, strip.image, lane, region, conv_.gate, positions);
        }
    }

    const WinogradKernels<T>& kernels_;
    const LaneConvolution<T>& conv_;
    const Filters<T>& filters_;
    const SpoiledPart& spoiled_;
    index_t depth_vectors_;
    Buffer<T> bias_;
    const index_t points_;       ///< of a tile
    const index_t tile_panels_;  ///< of product rows whose products are stored together, at most
    const decltype(kernels_.transform[0][0]) transform_;
    const decltype(kernels_.collect[0][0]) collect_;
};

}  // namespace

template <typename T>
void convolve(const LaneConvolution<T>& convolution, const Filters<T>& filters, const T* bias,
              const SpoiledPart& spoiled) {
    Convolver<T>(convolution, filters, bias, spoiled).run();
}

template void convolve(const LaneConvolution<float>&, const Filters<float>&, const float*,
                       const SpoiledPart&);
template void convolve(const LaneConvolution<double>&, const Filters<double>&, const double*,
                       const SpoiledPart&);

}  // namespace pocketcnn::winograd
