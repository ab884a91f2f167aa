#include "conv/direct.h"

#include "conv/band.h"
#include "runtime/isa.h"
#include "runtime/parallel.h"

namespace pocketcnn::conv::direct {
namespace {

/// Filters are taken in parts of nearly equal size, no larger than the kernel's tile.
struct Parts {
    Parts(index_t all, index_t largest) : size(all), count(ceil_div(all, largest)) {}
    index_t begin(index_t part) const { return part * size / count; }
    index_t length(index_t part) const { return begin(part + 1) - begin(part); }
    index_t size, count;
};

/// Weights of all groups as the kernel reads them: part by part, [taps][filters of the part].
template <typename T>
Buffer<T> pack_weights(const Problem& problem, const Parts& parts, const T* weight) {
    Buffer<T> packed(problem.groups * problem.filters * problem.taps);
    T* to = packed.data();
    for (index_t group = 0; group < problem.groups; ++group) {
        for (index_t part = 0; part < parts.count; ++part) {
            const T* from = weight + (group * problem.filters + parts.begin(part)) * problem.taps;
            for (index_t tap = 0; tap < problem.taps; ++tap) {
                for (index_t f = 0; f < parts.length(part); ++f) {
                    *to++ = from[f * problem.taps + tap];
                }
            }
        }
    }
    return packed;
}

/// Groups that one task takes, so that a task is worth its buffers.
index_t groups_per_task(const Problem& problem, const BandShape& shape) {
    constexpr double worth = 1 << 18;
    const double tasks = static_cast<double>(problem.x.n * shape.blocks() * problem.groups);
    const double work = problem.multiply_adds() / std::max(1.0, tasks);
    return std::clamp<index_t>(static_cast<index_t>(worth / (work + 1)), 1, problem.groups);
}

/// Writes finished rows of one block into the result, with the bias.
template <typename T>
struct StoreRows {
    const Kernels<T>& kernels;
    const Problem& problem;
    const T* bias;
    T* y;

    /// values holds the block's positions of consecutive filters, `stride` apart.
    void write(index_t image, index_t filter, index_t filters, const BandBlock& block,
               const T* values, index_t stride) const {
        const Shape4& shape = problem.y;
        T* to =
            y + image * shape.image() + filter * shape.plane() + block.row * shape.w + block.col;
        for (index_t f = 0; f < filters; ++f) {
            kernels.store_rows(block.rows, block.cols, values + f * stride, block.pitch,
                               bias != nullptr ? bias[filter + f] : T{0}, to + f * shape.plane(),
                               shape.w);
        }
    }
};

/// dy of one block at the positions of its band, with zeros between the rows.
template <typename T>
void spread_rows(const Kernels<T>& kernels, const Shape4& y, const BandBlock& block, const T* dy,
                 index_t filters, index_t stride, T* to) {
    dy += block.row * y.w + block.col;
    for (index_t f = 0; f < filters; ++f, dy += y.plane(), to += stride) {
        if (block.rows > 1) {
            kernels.pad_rows(block.rows - 1, 0, block.cols, block.pitch, dy, y.w, 1, to);
        }
        kernels.pad_rows(1, 0, block.cols, stride - (block.rows - 1) * block.pitch,
                         dy + (block.rows - 1) * y.w, y.w, 1, to + (block.rows - 1) * block.pitch);
    }
}

}  // namespace

bool fits(const Problem& problem) {
    constexpr double largest = 4 << 20;
    const BandShape shape(problem, 1, sizeof(float));
    return static_cast<double>(problem.channels) * static_cast<double>(shape.phases()) *
               static_cast<double>(shape.band_rows(shape.rows)) *
               static_cast<double>(shape.pitch(shape.cols)) * sizeof(float) <
           largest;
}

template <typename T>
void forward(const Problem& problem, const T* x, const T* weight, const T* bias, T* y) {
    const Kernels<T>& kernel = kernels<T>();
    const Parts parts(problem.filters, kernel.direct_rows);
    const BandShape shape(problem, ceil_div(problem.filters, parts.count), sizeof(T));
    const Buffer<T> weights = pack_weights(problem, parts, weight);
    const StoreRows<T> rows = {kernel, problem, bias, y};
    const index_t step = groups_per_task(problem, shape);
    const index_t steps = ceil_div(problem.groups, step), blocks = shape.blocks();
    parallel_for(problem.x.n * steps * blocks, problem.multiply_adds(), [&](index_t i) {
        const index_t image = i / (steps * blocks), first = i / blocks % steps * step;
        const BandBlock block(shape, problem.y, i % blocks);
        Band<T> band(kernel, problem, shape);
        const index_t stride = round_up(block.positions, kernel.lanes);
        const Buffer<T> values(kernel.direct_rows * stride);
        for (index_t g = first; g < std::min(problem.groups, first + step); ++g) {
            band.load(block,
                      x + image * problem.x.image() + g * problem.channels * problem.x.plane());
            for (index_t part = 0; part < parts.count; ++part) {
                const index_t filter = g * problem.filters + parts.begin(part);
                kernel.correlate(parts.length(part), block.positions, problem.taps, band.offsets(),
                                 weights.data() + filter * problem.taps, band.data(), values.data(),
                                 stride);
                rows.write(image, filter, parts.length(part), block, values.data(), stride);
            }
        }
    });
}

namespace {

/// How the gradient of the weights is cut: the blocks of all images into chunks, each with sums of
/// its own.
struct GradCut {
    GradCut(const Problem& problem, const BandShape& shape)
        : items(problem.x.n * shape.blocks()), groups(groups_per_task(problem, shape)) {
        constexpr index_t enough_tasks = 16;
        group_tasks = ceil_div(problem.groups, groups);
        chunks = std::clamp<index_t>(ceil_div(enough_tasks, group_tasks), 1,
                                     std::max<index_t>(1, items));
    }
    index_t items, groups, group_tasks, chunks;
};

/// Filters whose dy is spread at once: their rows and the band share the cache.
constexpr index_t kGradFilters = 32;

/// dweight of one group from blocks [item, item_end) of the batch.
template <typename T>
void add_blocks(const Kernels<T>& kernel, const Problem& problem, const BandShape& shape,
                Band<T>& band, index_t item, index_t item_end, const T* dy, const T* x, T* spread,
                T* sums) {
    const index_t lanes = kernel.lanes;
    for (; item < item_end; ++item) {
        const index_t image = item / shape.blocks();
        const BandBlock block(shape, problem.y, item % shape.blocks());
        const index_t stride = round_up(block.positions, lanes);
        band.load(block, x + image * problem.x.image());
        for (index_t f = 0; f < problem.filters; f += kGradFilters) {
            const index_t count = std::min(kGradFilters, problem.filters - f);
            spread_rows(kernel, problem.y, block,
                        dy + image * problem.y.image() + f * problem.y.plane(), count, stride,
                        spread);
            const Parts parts(count, kernel.direct_grad_rows);
            for (index_t part = 0; part < parts.count; ++part) {
                const index_t row = parts.begin(part);
                kernel.correlate_grad(parts.length(part), block.positions, problem.taps,
                                      spread + row * stride, stride, band.offsets(), band.data(),
                                      sums + (f + row) * problem.taps * lanes);
            }
        }
    }
}

}  // namespace

template <typename T>
void weight_grad(const Problem& problem, const T* dy, const T* x, T* dweight) {
    const Kernels<T>& kernel = kernels<T>();
    const index_t spread_filters = std::min(kGradFilters, problem.filters);
    const BandShape shape(problem, spread_filters, sizeof(T));
    const GradCut cut(problem, shape);
    const index_t group_size = problem.filters * problem.taps, size = problem.groups * group_size;
    const Buffer<T> chunks(cut.chunks > 1 ? cut.chunks * size : 0);
    parallel_for(cut.chunks * cut.group_tasks, problem.multiply_adds(), [&](index_t i) {
        const index_t chunk = i / cut.group_tasks, first = i % cut.group_tasks * cut.groups;
        Band<T> band(kernel, problem, shape);
        const Buffer<T> spread(spread_filters * round_up(shape.positions(), kernel.lanes));
        const Buffer<T> sums(group_size * kernel.lanes);
        T* to = cut.chunks > 1 ? chunks.data() + chunk * size : dweight;
        for (index_t g = first; g < std::min(problem.groups, first + cut.groups); ++g) {
            std::fill_n(sums.data(), group_size * kernel.lanes, T{0});
            add_blocks(kernel, problem, shape, band, chunk * cut.items / cut.chunks,
                       (chunk + 1) * cut.items / cut.chunks,
                       dy + g * problem.filters * problem.y.plane(),
                       x + g * problem.channels * problem.x.plane(), spread.data(), sums.data());
            kernel.fold_lanes(group_size, sums.data(), to + g * group_size);
        }
    });
    if (cut.chunks > 1) {
        std::copy_n(chunks.data(), size, dweight);
        for (index_t chunk = 1; chunk < cut.chunks; ++chunk) {
            kernel.add(size, chunks.data() + chunk * size, dweight);
        }
    }
}

#define POCKETCNN_INSTANTIATE(T)                                             \
    template void forward(const Problem&, const T*, const T*, const T*, T*); \
    template void weight_grad(const Problem&, const T*, const T*, T*);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::conv::direct
