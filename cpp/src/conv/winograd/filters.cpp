#include "conv/winograd/filters.h"

#include "conv/winograd/parts.h"

#include <atomic>
#include <cstring>

#include "runtime/isa.h"
#include "runtime/parallel.h"

namespace pocketcnn::winograd {
namespace {

/// Weights (and positions of them) per task.
constexpr index_t kChunk = 16;
constexpr index_t kMostTaps = kWinogradMostTaps * kWinogradMostTaps;

/// Weights (f, c, kh, kw) as a row of positions (c, kh, kw), with filters in the lanes.
template <typename T>
LaneImages<T> filters_as_lanes(const conv::Problem& problem, T* weight) {
    return {.data = weight,
            .end = weight + problem.filters * problem.taps,
            .image = 0,
            .channels = problem.filters,
            .h = 1,
            .w = problem.taps};
}

/// Weights (f, c, kh, kw) as one image per filter, with phases of the channels in the lanes.
template <typename T>
LaneImages<T> channels_as_lanes(const conv::Problem& problem, T* weight) {
    return {.data = weight,
            .end = weight + problem.filters * problem.taps,
            .image = problem.taps,
            .channels = problem.channels,
            .h = problem.window.kernel_h,
            .w = problem.window.kernel_w,
            .stride_h = problem.window.stride_h,
            .stride_w = problem.window.stride_w};
}

/// Calls body(tap of a phase, tap of the kernel) for each tap of the phase (py, px).
template <typename Body>
void for_phase_taps(const Window2d& window, index_t phase, Body&& body) {
    const Taps taps(window);
    const index_t py = phase / window.stride_w, px = phase % window.stride_w;
    for (index_t a = 0; a < taps.h; ++a) {
        for (index_t b = 0; b < taps.w; ++b) {
            const index_t y = a * window.stride_h + py, x = b * window.stride_w + px;
            if (y < window.kernel_h && x < window.kernel_w) {
                body(a * taps.w + b, y * window.kernel_w + x);
            }
        }
    }
}

/// Calls body(part, tap of the part, tap of the kernel, taps) for rows of taps of all parts of a
/// window that is cut, or else for each tap of the phase as if it were the only part.
template <typename Body>
void for_parts_or_phase(const Window2d& window, index_t parts, index_t phase, Body&& body) {
    if (parts == 1) {
        return for_phase_taps(window, phase,
                              [&](index_t tap, index_t source) { body(0, tap, source, 1); });
    }
    for (index_t part = 0; part < parts; ++part) {
        for_part_rows(window, part, [&](index_t tap, index_t source, index_t taps) {
            body(part, tap, source, taps);
        });
    }
}

template <typename T>
void copy_vectors(const WinogradKernels<T>& kernels, const T* from, index_t i, T* to, index_t k,
                  index_t count) {
    std::memcpy(to + k * kernels.lanes, from + i * kernels.lanes,
                static_cast<std::size_t>(count * kernels.lanes) * sizeof(T));
}

/// The parts of a window, and the taps of each.
struct PartsOfTaps {
    explicit PartsOfTaps(const conv::Problem& problem)
        : count(is_parted(problem.window) ? WindowParts(problem.window).count() : 1),
          taps(count > 1 ? parted(problem, 1).window : problem.window) {}
    index_t count;
    Taps taps;
};

/// Runs task(vector of lanes, depth begin, depth end, destination of the taps) over all filters.
/// The taps are [part][depth][tap].
template <typename T, typename Task>
Filters<T> transform_filters(index_t lanes, index_t depth, const PartsOfTaps& parts, index_t chunk,
                             Task&& task) {
    const WinogradKernels<T>& kernels = pocketcnn::kernels<T>().winograd;
    const Taps& taps = parts.taps;
    Filters<T> filters(lanes, depth * parts.count, taps.points(), kernels);
    const index_t chunks = ceil_div(depth, chunk);
    const double work =
        static_cast<double>(lanes) * static_cast<double>(filters.depth * taps.points());
    const auto evaluate = kernels.evaluate[taps.h - 1][taps.w - 1];
    parallel_for(filters.panels.total * chunks, work, [&](index_t i) {
        const index_t vector = i / chunks, begin = i % chunks * chunk;
        const index_t end = std::min(depth, begin + chunk);
        const index_t panel = vector / kernels.vectors;
        const TilePlaces places = {filters.depth, 0, filters.panels.width_lanes(panel),
                                   filters.point_stride(panel)};
        const index_t part_size = (end - begin) * taps.count() * kernels.lanes;
        const Buffer<T> strip(parts.count * part_size);
        task(vector * kernels.lanes, begin, end, strip.data());
        for (index_t part = 0; part < parts.count; ++part) {
            evaluate(end - begin, taps.count(), taps.w, strip.data() + part * part_size,
                     part * depth + begin, places,
                     filters.panel(panel) + vector % kernels.vectors * kernels.lanes);
        }
    });
    return filters;
}

/// The taps [begin, end) of the depth as transform_filters takes them, from runs of a kernel each.
template <typename T>
void gather_taps(const Window2d& window, const PartsOfTaps& parts, const LaneImages<const T>& runs,
                 index_t lane, index_t begin, index_t end, T* strip) {
    const WinogradKernels<T>& kernels = pocketcnn::kernels<T>().winograd;
    const index_t phases = window.stride_h * window.stride_w, area = window.taps();
    const index_t c = begin / phases, c_end = end / phases, depth = end - begin;
    const index_t count = parts.taps.count();
    const Region region = {0, c * area, 1, (c_end - c) * area};
    const index_t ahead = region.cols;
    if (phases * parts.count == 1) return kernels.gather(runs, 0, lane, region, ahead, strip);
    const Buffer<T> row(region.cols * kernels.lanes);
    kernels.gather(runs, 0, lane, region, ahead, row.data());
    std::fill_n(strip, parts.count * depth * count * kernels.lanes, T{0});
    for (index_t k = 0; k < depth; ++k) {
        const T* from = row.data() + k / phases * area * kernels.lanes;
        for_parts_or_phase(window, parts.count, (begin + k) % phases,
                           [&](index_t part, index_t tap, index_t source, index_t taps) {
                               copy_vectors(kernels, from, source, strip,
                                            (part * depth + k) * count + tap, taps);
                           });
    }
}

/// The filters of one group.
template <typename T>
Filters<T> forward_filters(const conv::Problem& problem, const T* weight) {
    const LaneImages<const T> lanes = filters_as_lanes(problem, weight);
    const PartsOfTaps parts(problem);
    const index_t phases = problem.window.stride_h * problem.window.stride_w;
    const auto task = [&](index_t lane, index_t begin, index_t end, T* strip) {
        gather_taps(problem.window, parts, lanes, lane, begin, end, strip);
    };
    return transform_filters<T>(problem.filters, problem.channels * phases, parts,
                                ceil_div(kChunk, phases) * phases, task);
}

/// The taps of the filters [begin, end) for a vector of channels, in runs that are rotated first:
/// between one filter and the next the channels have few taps in a line, too few for a gathering of
/// their own.
template <typename T>
void gather_turned_taps(const conv::Problem& problem, const PartsOfTaps& parts, const T* weight,
                        index_t lane, index_t begin, index_t end, T* strip) {
    const index_t area = problem.window.taps(), size = (end - begin) * area;
    const index_t lanes = std::min(pocketcnn::kernels<T>().winograd.lanes, problem.channels - lane);
    const Buffer<T> turned(lanes * size);
    for (index_t k = begin; k < end; ++k) {
        const T* from = weight + k * problem.taps + lane * area;
        T* to = turned.data() + (k - begin) * area;
        for (index_t tap = 0; tap < area; ++tap) {
            for (index_t i = 0; i < lanes; ++i) to[i * size + tap] = from[(i + 1) * area - 1 - tap];
        }
    }
    const LaneImages<const T> runs = {.data = turned.data(),
                                      .end = turned.data() + lanes * size,
                                      .image = 0,
                                      .channels = lanes,
                                      .h = 1,
                                      .w = size};
    gather_taps(problem.window, parts, runs, 0, 0, end - begin, strip);
}

template <typename T>
Filters<T> input_grad_filters(const conv::Problem& problem, const T* weight) {
    const WinogradKernels<T>& kernels = pocketcnn::kernels<T>().winograd;
    const LaneImages<const T> lanes = channels_as_lanes(problem, weight);
    const PartsOfTaps parts(problem);
    const Taps& taps = parts.taps;
    const bool in_runs = parts.count > 1 || taps.h == 1 || taps.w == 1;
    const auto task = [&](index_t lane, index_t begin, index_t end, T* strip) {
        if (in_runs) return gather_turned_taps(problem, parts, weight, lane, begin, end, strip);
        LocalPositions<T, kMostTaps> row;
        for (index_t f = begin; f < end; ++f) {
            kernels.gather(lanes, f, lane, {0, 0, taps.h, taps.w}, problem.taps, row.data());
            for (index_t tap = 0; tap < taps.count(); ++tap) {
                copy_vectors(kernels, row.data(), tap, strip,
                             (f - begin + 1) * taps.count() - 1 - tap, 1);
            }
        }
    };
    return transform_filters<T>(lanes.lanes(), problem.filters, parts, kChunk, task);
}

/// What make(problem, weights of a group) returns for each.
template <typename T, typename Make>
std::vector<Filters<T>> for_groups(const conv::Problem& problem, const T* weight, Make&& make) {
    std::vector<Filters<T>> filters;
    for (index_t group = 0; group < problem.groups; ++group) {
        filters.push_back(make(problem, weight + group * problem.filters * problem.taps));
    }
    return filters;
}

}  // namespace

template <typename T>
std::vector<Filters<T>> all_forward_filters(const conv::Problem& problem, const T* weight) {
    return for_groups(problem, weight, forward_filters<T>);
}

template <typename T>
std::vector<Filters<T>> all_input_grad_filters(const conv::Problem& problem, const T* weight) {
    return for_groups(problem, weight, input_grad_filters<T>);
}

template <typename T>
bool store_weight_grad(const conv::Problem& problem, const T* points, index_t point_stride,
                       index_t lane_stride, T* dweight) {
    const WinogradKernels<T>& kernels = pocketcnn::kernels<T>().winograd;
    const LaneImages<T> lanes = filters_as_lanes(problem, dweight);
    const Taps taps(problem.window);
    const index_t area = problem.window.taps();
    const index_t phases = problem.window.stride_h * problem.window.stride_w;
    const auto collect = kernels.collect[taps.h - 1][taps.w - 1];
    const index_t chunk = ceil_div(kChunk, phases), chunks = ceil_div(problem.channels, chunk);
    const TilePlaces places = {problem.channels * phases, 0, lane_stride, point_stride};
    const double work = static_cast<double>(problem.filters) *
                        static_cast<double>(problem.channels * phases * taps.points());
    std::atomic<bool> finite{true};
    parallel_for(ceil_div(problem.filters, kernels.lanes) * chunks, work, [&](index_t i) {
        const index_t lane = i / chunks * kernels.lanes, begin = i % chunks * chunk;
        const index_t end = std::min(problem.channels, begin + chunk);
        const Buffer<T> row((end - begin) * area * kernels.lanes);
        bool all = true;
        if (phases == 1) {
            all = collect(end - begin, area, taps.w, points + lane, begin, places, nullptr,
                          row.data());
        } else {
            LocalPositions<T, kMostTaps> strip;
            for (index_t k = begin * phases; k < end * phases; ++k) {
                all &= collect(1, 0, taps.w, points + lane, k, places, nullptr, strip.data());
                for_phase_taps(problem.window, k % phases, [&](index_t tap, index_t target) {
                    copy_vectors(kernels, strip.data(), tap, row.data(),
                                 (k / phases - begin) * area + target, 1);
                });
            }
        }
        if (!all) finite.store(false, std::memory_order_relaxed);
        kernels.scatter(lanes, 0, lane, {0, begin * area, 1, (end - begin) * area}, {}, row.data());
    });
    return finite;
}

#define POCKETCNN_INSTANTIATE(T)                                                             \
    template std::vector<Filters<T>> all_forward_filters(const conv::Problem&, const T*);    \
    template std::vector<Filters<T>> all_input_grad_filters(const conv::Problem&, const T*); \
    template bool store_weight_grad(const conv::Problem&, const T*, index_t, index_t, T*);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::winograd
