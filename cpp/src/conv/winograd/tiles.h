// How images are cut into tiles, and tiles grouped into strips that share their loads.
#pragma once

#include <algorithm>

#include "kernels/winograd.h"
#include "runtime/cut.h"

namespace pocketcnn::winograd {

/// Largest number of positions of a strip: a long row of tiles, because neighbours in a row share
/// the cache lines at their edges (docs/measurements.md#winograd-sizes).
inline constexpr index_t kStripPositions = 512;
/// Largest number of positions of a strip of several rows of tiles, which share two rows of pixels:
/// 192 vectors of 64 bytes are a quarter of an L1 cache, through which the points pass as well.
/// More is slower (docs/measurements.md#winograd-sizes).
inline constexpr index_t kStripRowsPositions = 192;

/// A few positions on the stack: there are many small workspaces, and the pool has a lock
/// (docs/measurements.md#memory).
template <typename T, index_t count>
class LocalPositions {
  public:
    T* data() { return positions_; }

  private:
    static constexpr index_t kVectorBytes = 64;  // of the widest instruction set
    alignas(kVectorBytes) T positions_[count * kVectorBytes / sizeof(T)];
};

/// The tiles of a batch of images, counted along the rows of tiles, images outermost. Each yields
/// step_h x step_w results; the first starts at (y, x).
struct Grid {
    index_t images, rows, cols;
    index_t step_h, step_w;
    index_t y, x;

    index_t tiles() const { return images * rows * cols; }
    /// Positions that a tile reads, and points that it has.
    index_t tile_h() const { return winograd_points(step_h); }
    index_t tile_w() const { return winograd_points(step_w); }
    index_t points() const { return tile_h() * tile_w(); }
};

/// Consecutive tiles that are a rectangle: rows x cols of them, the first of which has the index
/// `first` in the grid.
struct Strip {
    index_t first, image, row, col, rows, cols;

    Region input(const Grid& grid) const {
        return {grid.y + row * grid.step_h, grid.x + col * grid.step_w,
                (rows - 1) * grid.step_h + grid.tile_h(), (cols - 1) * grid.step_w + grid.tile_w()};
    }
    /// Approximate offset, in pixels, of the next strip's input.
    index_t next(const Grid& grid, index_t width, index_t image_size) const {
        if (col + cols < grid.cols) return cols * grid.step_w;
        if (row + rows < grid.rows) return rows * grid.step_h * width - col * grid.step_w;
        return image_size - row * grid.step_h * width - col * grid.step_w;
    }
    Region output(const Grid& grid) const {
        return {grid.y + row * grid.step_h, grid.x + col * grid.step_w, rows * grid.step_h,
                cols * grid.step_w};
    }
};

/// Elements from what is gathered now, vector v of the vectors [begin, end) of a strip, to what is
/// gathered next.
template <typename T>
index_t gathered_next(const LaneImages<T>& images, const Grid& grid, const Strip& strip,
                      index_t lanes, index_t begin, index_t end, index_t v) {
    const index_t plane = images.h * images.w;
    if (v + 1 < end) return lanes * plane;
    return strip.next(grid, images.w, images.image) - (v - begin) * lanes * plane;
}

/// Calls body(strip) for strips that make up the tiles [begin, end).
template <typename Body>
void for_strips(const Grid& grid, index_t begin, index_t end, Body&& body) {
    const index_t most_cols = (kStripPositions / grid.tile_h() - grid.tile_w()) / grid.step_w + 1;
    const index_t cols = even_step(grid.cols, most_cols);
    const index_t width = (grid.cols - 1) * grid.step_w + grid.tile_w();
    const index_t rows = (kStripRowsPositions / width - grid.tile_h()) / grid.step_h + 1;
    const index_t most_rows = cols < grid.cols ? 1 : std::max<index_t>(1, rows);
    for (index_t tile = begin; tile < end;) {
        Strip strip = {
            tile, tile / (grid.rows * grid.cols), tile / grid.cols % grid.rows, tile % grid.cols, 1,
            1};
        const index_t whole_rows = strip.col > 0 ? 0 : (end - tile) / grid.cols;
        if (cols == grid.cols && whole_rows > 0) {
            strip.rows = std::min({whole_rows, most_rows, grid.rows - strip.row});
            strip.cols = cols;
        } else {
            strip.cols = std::min({cols, grid.cols - strip.col, end - tile});
        }
        body(strip);
        tile += strip.rows * strip.cols;
    }
}

/// Lanes cut into panels of `vectors` vectors; the last may have fewer.
struct LanePanels {
    index_t vectors, lanes_of_vector, total;

    LanePanels(index_t lanes, index_t lanes_of_vector, index_t vectors)
        : vectors(vectors),
          lanes_of_vector(lanes_of_vector),
          total(ceil_div(lanes, lanes_of_vector)) {}

    index_t count() const { return ceil_div(total, vectors); }
    index_t lanes() const { return total * lanes_of_vector; }
    index_t first_lane(index_t panel) const { return panel * vectors * lanes_of_vector; }
    index_t width(index_t panel) const { return std::min(vectors, total - panel * vectors); }
    index_t width_lanes(index_t panel) const { return width(panel) * lanes_of_vector; }
};

}  // namespace pocketcnn::winograd
