// Max pooling and its gradient.
#include <pocketcnn/pool2d.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "pool2d_blocks.h"
#include "pool2d_lanes.h"
#include "runtime/isa.h"
#include "runtime/memory_pool.h"

namespace pocketcnn {
namespace {

/// Whether every index into a plane fits its type.
template <typename Place>
void require_places(const Shape4& shape) {
    if (shape.plane() > std::numeric_limits<Place>::max()) {
        throw std::invalid_argument("a plane of " + std::to_string(shape.plane()) +
                                    " elements is too large");
    }
}

/// What a topic has for places of this type.
template <typename Place, typename Topic>
const auto& of_places(const Topic& topic) {
    if constexpr (std::is_same_v<Place, index_t>) {
        return topic.wide;
    } else {
        return topic.narrow;
    }
}

template <typename T, typename Place>
void max_pool_in_lanes(ImageView<const T> x, const PoolAxes& a, ImageView<T> y, Place* argmax) {
    const LaneResults results(x.shape.w, window_taps(a.y), window_taps(a.x), a.y.dilation,
                              a.x.dilation);
    const LanePoolKernels<T>& lane_pool = kernels<T>().lane_pool;
    const auto store = of_places<Place>(lane_pool.places);
    const index_t seen = results.most_in_rows() * results.cols();
    const index_t given = results.most_rows() * results.cols();
    for_lane_bands<T>(x, y, results, [&](index_t lanes) {
        return [&, values = Buffer<T>(seen * lanes), places = Buffer<LanePlace<T>>(seen * lanes),
                argmax_lanes = Buffer<LanePlace<T>>(given * lanes)](
                   const LanePlanes& planes, const T* rows, T* maxima, const LaneTarget& to) {
            lane_pool.maxima(planes, rows, {values.data(), places.data()},
                             {maxima, argmax_lanes.data()});
            store(to.size, to.planes, argmax_lanes.data(), argmax + to.at, to.stride);
        };
    });
}

}  // namespace

template <typename T, typename Place>
void max_pool2d(ImageView<const T> x, const Pool2d& pool, ImageView<T> y, Place* argmax) {
    require_pooled_shape(y.shape, pool2d_output_shape(x.shape, pool), "y");
    require_places<Place>(x.shape);
    if (y.shape.size() == 0) return;
    const PoolAxes a = pool_axes(x.shape, pool);
    const index_t plane = x.shape.plane();
    const MaxPoolKernels<T>& max_pooling = kernels<T>().max_pool;
    // Of a block of one window, one lane alone would work.
    if (is_global(a) && a.y.dilation == 1 && a.x.dilation == 1) {
        for_plane_ranges(x.shape, plane, [&](index_t i, index_t end) {
            for (; i < end; ++i) {
                const index_t place = max_pooling.first_maximum(plane, x.data + i * plane);
                y.data[i] = x.data[i * plane + place];
                argmax[i] = static_cast<Place>(place);
            }
        });
        return;
    }
    if (lanes_pay<T>(x.shape, a)) return max_pool_in_lanes(x, a, y, argmax);
    const auto max_pool = of_places<Place>(max_pooling);
    for_pool_blocks(
        x.shape, y.shape, pool, blocks_of(a),
        [&](const PlacedBlock& block, const PoolBlock& windows, index_t from, index_t to) {
            max_pool(windows, x.data + from, block.place, y.data + to, argmax + to);
        });
}

template <typename T, typename Place>
void max_pool2d_backward(ImageView<const T> dy, const Place* argmax, ImageView<T> dx) {
    validate(dx.shape, "dx");
    if (dy.shape.n != dx.shape.n || dy.shape.c != dx.shape.c) {
        throw std::invalid_argument("dy and dx differ in batch or channels");
    }
    const index_t plane = dx.shape.plane(), out_plane = dy.shape.plane();
    const Unpool<T, Place>& unpool = of_places<Place>(kernels<T>().unpool);
    std::atomic<bool> outside{false};
    // Most likely the windows were 2x2. That is assumed until a row contradicts it, which is faster
    // than value by value: docs/measurements.md#pooling.
    constexpr index_t most = std::numeric_limits<std::int32_t>::max();
    const bool halved =
        dx.shape.h == 2 * dy.shape.h && dx.shape.w == 2 * dy.shape.w && plane <= most;
    for_plane_ranges(dx.shape, plane, [&](index_t i, index_t end) {
        for (; halved && i < end; ++i) {
            const index_t o = i * out_plane;
            const HalvedPlane windows = {dy.shape.h, dy.shape.w, dy.shape.size() - o,
                                         (end - i) * plane};
            if (!unpool.unpool_halved(windows, dy.data + o, argmax + o, dx.data + i * plane)) break;
        }
        const index_t o = i * out_plane;
        if (!unpool.scatter(end - i, out_plane, dy.data + o, argmax + o, plane,
                            dx.data + i * plane)) {
            outside = true;
        }
    });
    if (outside) {
        throw std::invalid_argument("argmax has an index outside 0.." + std::to_string(plane - 1));
    }
}

#define POCKETCNN_INSTANTIATE(T)                                                              \
    template void max_pool2d(ImageView<const T>, const Pool2d&, ImageView<T>, index_t*);      \
    template void max_pool2d(ImageView<const T>, const Pool2d&, ImageView<T>, std::int32_t*); \
    template void max_pool2d_backward(ImageView<const T>, const index_t*, ImageView<T>);      \
    template void max_pool2d_backward(ImageView<const T>, const std::int32_t*, ImageView<T>);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn
