// Packing: copies that bring the operands of the product into panels [depth][width].
#pragma once

#include <pocketcnn/types.h>

namespace pocketcnn {

/// A stretch of consecutive lanes of a packed panel that are consecutive in the source too.
struct LaneRun {
    index_t source;  ///< offset of the first lane's element, before a tap's own offset
    index_t lane;    ///< first lane
    index_t count;   ///< lanes in the run, at least 1
};

/// Lengths that packing may read or write past the end of an array, in elements.
inline constexpr index_t kPackSlack = 64;

template <typename T>
struct PackingKernels {
    /// panel[k][lane] = source[k * depth_stride + lane], lane < lanes <= width; the other lanes
    /// of the panel are zero.
    void (*pack_rows)(index_t depth, index_t lanes, index_t width, const T* source,
                      index_t depth_stride, T* panel);
    /// panel[k][lane] = source[lane * lane_stride + k], zero for lanes <= lane < width: a
    /// transpose. Writes up to kPackSlack elements past the panel, but none if it is as wide as the
    /// product's tile has rows.
    void (*pack_columns)(index_t depth, index_t lanes, index_t width, const T* source,
                         index_t lane_stride, T* panel);
    /// panel[k][run.lane + i] = source[offsets[k] + run.source + i] for each run. Runs are in
    /// order of their lanes. Reads and writes up to kPackSlack elements past the last lane.
    void (*pack_runs)(index_t depth, const index_t* offsets, const LaneRun* runs, index_t run_count,
                      index_t width, const T* source, T* panel);
};

}  // namespace pocketcnn
