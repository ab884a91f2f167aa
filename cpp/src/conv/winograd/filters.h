// Transforms the weights to the points of a tile, and their gradient back.
#pragma once

#include <vector>

#include "conv/winograd/geometry.h"
#include "runtime/memory_pool.h"

namespace pocketcnn::winograd {

/// Filters at the points, panel by panel: [point][depth][lanes of the panel].
template <typename T>
struct Filters {
    LanePanels panels;
    index_t depth, points;
    Buffer<T> data;

    Filters(index_t lanes, index_t depth, index_t points, const WinogradKernels<T>& kernels)
        : panels(lanes, kernels.lanes, kernels.vectors),
          depth(depth),
          points(points),
          data(points * (panels.lanes() * depth + panels.total * kernels.lanes)) {}

    /// From one point to the next. One vector more than needed, so that points do not all share the
    /// same cache sets.
    index_t point_stride(index_t panel) const {
        return depth * panels.width_lanes(panel) + panels.lanes_of_vector;
    }
    T* panel(index_t i) const {
        return data.data() + points * (panels.first_lane(i) * depth + i * panels.lanes_of_vector);
    }
};

/// The weights of each group as multiplied with the phases of x: depth (c, phase), lanes f. With a
/// window that is cut into parts, depth (part, c).
template <typename T>
std::vector<Filters<T>> all_forward_filters(const conv::Problem& problem, const T* weight);

/// The same, rotated by 180 degrees, as multiplied with dy: depth f, lanes (c, phase). With a
/// window that is cut, depth (part, f).
template <typename T>
std::vector<Filters<T>> all_input_grad_filters(const conv::Problem& problem, const T* weight);

/// The gradient of the weights from its points, [point][depth][lanes], depth (c, phase), lanes f,
/// point_stride from point to point and lane_stride from one depth to the next. Returns whether all
/// of it is finite.
template <typename T>
bool store_weight_grad(const conv::Problem& problem, const T* points, index_t point_stride,
                       index_t lane_stride, T* dweight);

}  // namespace pocketcnn::winograd
