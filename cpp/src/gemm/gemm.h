// The blocked matrix product. Convolutions by im2col, their gradients, and the fully connected
// layer are this loop. They differ in how operands are read and how the result is written.
//
//     for each slice of the depth                       (kDepthBlock: a left panel stays in L1)
//         right.pack      the slice, all columns        (the packed block stays in L2)
//         for each panel of rows
//             left.panel  the slice, these rows
//             for each panel of columns
//                 kernels.product.multiply                      (one register tile)
//                 write.tile    after the last slice
//
// Left panels are [depth][kernels.product.rows], right panels [depth][kernels.product.cols].
#pragma once

#include <algorithm>

#include "gemm/long_sums.h"
#include "kernels/kernel_table.h"
#include "runtime/cut.h"
#include "runtime/interrupt.h"
#include "runtime/memory_pool.h"

namespace pocketcnn::gemm {

/// Longest slice of the depth. 512 rows of 8 floats are 16 KiB: half of the smallest L1 cache.
inline constexpr index_t kDepthBlock = 512;
/// Largest size of a packed block of right panels, in bytes. Twice as many are slower with an L2
/// cache of 1 MiB, and make no difference with one of 2 MiB (docs/measurements.md#matrix-product).
inline constexpr index_t kRightBytes = index_t{256} * 1024;

/// The part of the result that one call computes.
struct Block {
    index_t row, row_end;
    index_t col, col_end;
    index_t depth, depth_end;
};

/// Slices of nearly equal length, none longer than `longest`.
inline index_t depth_slice(index_t depth, index_t longest = kDepthBlock) {
    return even_step(depth, longest);
}

/// How a result is cut into blocks. The cut depends on its size only, because sums must not depend
/// on the number of threads.
struct BlockCut {
    index_t row_step, col_step;
    index_t row_blocks, col_blocks;

    index_t blocks() const { return row_blocks * col_blocks; }
    /// Block i of a rows x cols result; columns run fastest.
    Block block(index_t i, index_t rows, index_t cols, index_t depth) const {
        const index_t row = i / col_blocks * row_step, col = i % col_blocks * col_step;
        return {row, std::min(rows, row + row_step), col, std::min(cols, col + col_step), 0, depth};
    }
};

/// The number of columns whose packed block fits kRightBytes: a multiple of the tile's columns, at
/// most `limit`.
template <typename T>
index_t block_cols(const Kernels<T>& kernels, index_t depth, index_t limit,
                   index_t longest_slice = kDepthBlock) {
    const index_t fit = kRightBytes / (depth_slice(depth, longest_slice) * index_t{sizeof(T)});
    return std::max<index_t>(1, std::min(fit, limit) / kernels.product.cols) * kernels.product.cols;
}

/// Rows of a block that are worth packing its columns for once more.
inline constexpr index_t kRowsToPackFor = 64;

/// As many columns as fit kRightBytes. Fewer, and rows are cut too, where there would be too few
/// blocks to share between threads.
template <typename T>
BlockCut cut_blocks(const Kernels<T>& kernels, index_t rows, index_t cols, index_t depth,
                    index_t longest_slice = kDepthBlock) {
    const index_t col_step =
        block_cols(kernels, depth, ceil_div(cols, kEnoughTasks), longest_slice);
    const index_t col_blocks = ceil_div(cols, col_step);
    const index_t wanted =
        std::min(ceil_div(kEnoughTasks, std::max<index_t>(1, col_blocks)), rows / kRowsToPackFor);
    const index_t row_parts =
        std::max({index_t{1}, kEnoughTasks / std::max<index_t>(1, col_blocks), wanted});
    const index_t row_step =
        round_up(std::max<index_t>(1, ceil_div(rows, row_parts)), kernels.product.rows);
    return {row_step, col_step, ceil_div(rows, row_step), col_blocks};
}

/// What the i-th tile of a block asks for of what is packed next: rows of the depth of one of
/// `lines` cache lines. All tiles ask for as much, because memory delivers no faster than that.
struct LineShare {
    index_t line, begin, end;

    LineShare(index_t i, index_t tiles, index_t lines, index_t depth) {
        const index_t tiles_per_line = std::max<index_t>(1, tiles / lines);
        const Split parts = {depth, tiles_per_line};
        line = i / tiles_per_line;
        begin = line < lines ? parts.begin(i % tiles_per_line) : depth;
        end = line < lines ? parts.end(i % tiles_per_line) : depth;
    }
};

/// Computes one block of the product on the calling thread.
///
/// Left:  const T* panel(row, depth, depth_end, scratch): the packed panel of rows
///        [row, row + kernels.product.rows); may use scratch, which has room for one.
/// Right: void pack(block, panels): packs all columns of the block for its slice of the depth.
///        PanelAhead<T> ahead(block, i, tiles): what the i-th of the block's tiles prefetches.
/// Write: void tile(row, rows, col, cols, values): takes a finished tile, of which `rows` x
///        `cols` elements count; consecutive rows of `values` are kernels.product.cols apart.
template <typename T, typename Left, typename Right, typename Write>
void multiply_block(const Kernels<T>& kernels, const Block& block, const Left& left, Right& right,
                    Write& write, index_t longest_slice = kDepthBlock) {
    const index_t rows = kernels.product.rows, cols = kernels.product.cols, tile_size = rows * cols;
    const index_t row_panels = ceil_div(block.row_end - block.row, rows);
    const index_t col_panels = ceil_div(block.col_end - block.col, cols);
    const index_t slice = depth_slice(block.depth_end - block.depth, longest_slice);
    const bool one_slice = slice >= block.depth_end - block.depth;
    const index_t heed_rows = 64 * rows;

    const Buffer<T> left_panel(slice * rows + kPackSlack);
    const Buffer<T> right_panels(col_panels * slice * cols + kPackSlack);
    const index_t tiles_size = one_slice ? tile_size : row_panels * col_panels * tile_size;
    const Buffer<T> tiles(tiles_size);
    LongSums<T> totals(tiles_size, block.depth_end - block.depth);

    index_t depth = block.depth;
    do {
        const index_t depth_end = std::min(depth + slice, block.depth_end);
        const index_t length = depth_end - depth;
        const Block part = {block.row, block.row_end, block.col, block.col_end, depth, depth_end};
        right.pack(part, right_panels.data());
        const bool anew = totals.begin_anew(length, tiles.data());
        T* tile = tiles.data();
        index_t i = 0;
        for (index_t row = block.row; row < block.row_end; row += rows) {
            if ((row - block.row) % heed_rows == 0) heed_interrupt();
            const T* a = left.panel(row, depth, depth_end, left_panel.data());
            const T* b = right_panels.data();
            for (index_t col = block.col; col < block.col_end; col += cols) {
                const index_t vectors =
                    ceil_div(std::min(cols, block.col_end - col), kernels.lanes);
                kernels.product.multiply[vectors - 1](
                    length, a, b, right.ahead(part, i++, row_panels * col_panels), tile, !anew);
                if (depth_end == block.depth_end) {
                    const index_t at = tile - tiles.data();
                    totals.finish(tiles.data(), at, at + tile_size);
                    write.tile(row, std::min(rows, block.row_end - row), col,
                               std::min(cols, block.col_end - col), tile);
                }
                b += length * cols;
                if (!one_slice) tile += tile_size;
            }
        }
        depth = depth_end;
    } while (depth < block.depth_end);
}

}  // namespace pocketcnn::gemm
