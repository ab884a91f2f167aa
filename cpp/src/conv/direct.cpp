#include "conv/direct.h"

#include "conv/band.h"
#include "conv/depthwise.h"
#include "conv/plane_sums.h"
#include "gemm/long_sums.h"
#include "runtime/add_in_order.h"
#include "runtime/cut.h"
#include "runtime/interrupt.h"
#include "runtime/isa.h"
#include "runtime/parallel.h"

namespace pocketcnn::conv::direct {
namespace {

/// Weights of all groups as the kernel reads them: part by part, [taps][filters of the part].
template <typename T>
Buffer<T> pack_weights(const Kernels<T>& kernels, const Problem& problem, const Split& parts,
                       const T* weight) {
    Buffer<T> packed(problem.groups * problem.filters * problem.taps);
    const double elements =
        static_cast<double>(problem.groups * problem.filters) * static_cast<double>(problem.taps);
    parallel_for(problem.groups * parts.count, elements, [&](index_t i) {
        const index_t group = i / parts.count, part = i % parts.count;
        const index_t first = (group * problem.filters + parts.begin(part)) * problem.taps;
        const index_t filters = parts.length(part);
        T* to = packed.data() + first;
        if (filters == kernels.product.rows) {
            return kernels.packing.pack_columns(problem.taps, filters, filters, weight + first,
                                                problem.taps, to);
        }
        for (index_t f = 0; f < filters; ++f) {
            const T* from = weight + first + f * problem.taps;
            for (index_t tap = 0; tap < problem.taps; ++tap) to[tap * filters + f] = from[tap];
        }
    });
    return packed;
}

/// The form that costs less, in multiply-adds per output pixel. The dense one copies the image for
/// every column of the kernel. The spread one computes the gaps between rows, and copies the values
/// unless there is no gap.
BandForm form_of(const Problem& problem) {
    // Cost of a copied element in multiply-adds, for rows of 10 to 30 pixels with AVX-512.
    constexpr double copy = 8;
    const BandShape spread(problem, BandForm::spread, 1, sizeof(float));
    const double sums = static_cast<double>(problem.filters) * static_cast<double>(problem.taps);
    const double gaps = static_cast<double>(spread.pitch(spread.cols) - spread.cols) /
                        static_cast<double>(spread.cols);
    const index_t values = spread.is_gapless() ? 0 : problem.filters;
    const index_t copies = problem.channels * (problem.window.kernel_w - 1);
    return sums * gaps + copy * static_cast<double>(values) > copy * static_cast<double>(copies)
               ? BandForm::dense
               : BandForm::spread;
}

/// Blocks of rows of an image that are worth a task each, where there are few images.
index_t blocks_to_share(const Problem& problem) {
    constexpr double worth = 1 << 16;
    const index_t tasks = std::max<index_t>(1, problem.x.n * problem.groups);
    const index_t most = kEnoughLargeTasks / tasks;
    return static_cast<index_t>(
        std::clamp(problem.multiply_adds() / worth / static_cast<double>(tasks), 1.0,
                   std::max(1.0, static_cast<double>(most))));
}

/// Groups per task, so that a task is worth its buffers.
index_t groups_per_task(const Problem& problem, const BandShape& shape) {
    constexpr double worth = 1 << 18;
    const double tasks = static_cast<double>(problem.x.n * shape.blocks() * problem.groups);
    const double work = problem.multiply_adds() / std::max(1.0, tasks);
    return std::clamp<index_t>(static_cast<index_t>(worth / (work + 1)), 1, problem.groups);
}

/// Blocks per task, so that small images share a task's buffers and offsets.
index_t items_per_task(index_t items, double work) {
    constexpr double worth = 1 << 20;
    const double wanted = worth * static_cast<double>(items) / (work + 1);
    const index_t most = items / kEnoughTasks;
    return std::max<index_t>(1, static_cast<index_t>(std::min(wanted, static_cast<double>(most))));
}

/// Receives the results of one block. If its positions are consecutive pixels of y, they are
/// computed in place, otherwise in a scratch buffer from which finished rows are copied.
template <typename T>
class RowWriter {
  public:
    RowWriter(const Kernels<T>& kernels, const Problem& problem, const BandShape& shape, T* y,
              const OutputGrid& grid, const LastStep<T>& last)
        : kernels_(kernels),
          grid_(grid),
          last_(last),
          y_(y),
          in_place_(shape.is_gapless() && grid.is_dense(problem.y)),
          room_(in_place_ ? 0 : shape.positions()),
          scratch_(kernels.direct.rows * room_) {}

    index_t stride() const { return in_place_ ? grid_.plane : room_; }
    /// Destination of the block's first position for this filter; the next filter's is stride()
    /// further.
    T* values(index_t image, index_t filter, const BandBlock& block) const {
        return in_place_ ? place(image, filter, block) : scratch_.data();
    }
    /// To be called when the values of these filters are complete.
    void finish(index_t image, index_t filter, index_t filters, const BandBlock& block) const {
        if (!last_.is_none()) {
            T* values = this->values(image, filter, block);
            for (index_t f = 0; f < filters; ++f) {
                last_.apply(values + f * stride(), block.positions);
            }
        }
        if (in_place_) return;
        for (index_t f = 0; f < filters; ++f) {
            kernels_.copies.copy_rows(block.rows, block.cols, scratch_.data() + f * room_,
                                      block.pitch, place(image, filter + f, block), grid_.row,
                                      grid_.col);
        }
    }

  private:
    T* place(index_t image, index_t filter, const BandBlock& block) const {
        return y_ + image * grid_.image + filter * grid_.plane + block.row * grid_.row +
               block.col * grid_.col;
    }

    const Kernels<T>& kernels_;
    OutputGrid grid_;
    const LastStep<T>& last_;
    T* y_;
    bool in_place_;
    index_t room_;
    Buffer<T> scratch_;
};

/// y of some parts of the filters, one group, one image and one block: band by band of the
/// channels, each added to the sums of the bands before it.
template <typename T>
void forward_block(const Kernels<T>& kernels, const ForwardCall<T>& call, const BandShape& shape,
                   const Split& parts, index_t part, index_t part_end, const BandBlock& block,
                   index_t image, index_t group, const T* weights, Band<T>& band,
                   const RowWriter<T>& writer) {
    const T zeros[16] = {};
    const Problem& problem = call.problem;
    const index_t area = problem.window.taps();
    const auto load = [&](index_t c, index_t channels) {
        c += group * problem.channels;
        band.load(block, call.x + image * problem.x.image() + c * problem.x.plane(), channels,
                  call.units != nullptr ? call.units + c : nullptr);
    };
    const bool one_band = shape.channels >= problem.channels;
    if (one_band) load(0, problem.channels);
    for (; part < part_end; ++part) {
        const index_t filter = group * problem.filters + parts.begin(part);
        const index_t count = parts.length(part);
        T* values = writer.values(image, filter, block);
        const T* start = call.bias != nullptr ? call.bias + filter : zeros;
        for (index_t c = 0; c < problem.channels; c += shape.channels, start = nullptr) {
            const index_t channels = std::min(shape.channels, problem.channels - c);
            if (!one_band) load(c, channels);
            kernels.direct.correlate(count, block.positions, channels * area, band.offsets(),
                                     weights + filter * problem.taps + c * area * count, start,
                                     band.data(), values, writer.stride());
        }
        writer.finish(image, filter, count, block);
    }
}

/// Whether the output rows are so much shorter than the input rows that a quarter of the lanes,
/// which run on from row to row, do useless work (docs/measurements.md#direct-and-depthwise).
bool is_ragged(const Problem& problem) {
    const Window2d& w = problem.window;
    return 4 * problem.y.w * w.stride_w < 3 * (problem.x.w + w.pad_left + w.pad_right);
}

}  // namespace

const char* obstacle(const Problem& problem) {
    constexpr double largest_band = 1 << 20;
    const BandShape shape(problem, form_of(problem), 1, sizeof(float));
    const double band = static_cast<double>(shape.channels) * static_cast<double>(shape.planes()) *
                        static_cast<double>(shape.band_rows(shape.rows)) *
                        static_cast<double>(shape.pitch(shape.cols));
    return band <= largest_band ? nullptr : "takes no window that is dilated this far";
}

namespace {

/// Faster than the products for few taps, and for few filters, because with a narrow panel the
/// products wait for their loads. Channels that need several bands are loaded again for every tile
/// of filters. Short rows leave lanes idle, and so does a stride, with which every tap's pixels are
/// copied: less than vectors gain in long rows with a stride of two, and more with larger ones
/// (docs/measurements.md#first-layers-with-strides).
bool forward_pays(const Problem& problem) {
    constexpr index_t half_tile = 4, one_tile = 8, narrow = 16, fewest_taps = 9, very_few_taps = 32;
    constexpr index_t few_taps = 80, most_taps = 1024;
    constexpr index_t short_row = 7, long_row = 14, very_long_row = 28, many_lanes = 16;
    const index_t row = problem.y.w, taps = problem.taps;
    const BandShape shape(problem, form_of(problem), 1, sizeof(float));
    const bool one_band = shape.channels >= problem.channels;
    const index_t stride = std::max(problem.window.stride_h, problem.window.stride_w);
    if (stride > 1) {
        const bool is_wide = kernels<float>().lanes >= many_lanes;
        const bool few_filters = problem.filters <= (is_wide ? one_tile : half_tile);
        if (!one_band || taps <= fewest_taps || stride > 2) return one_band && taps <= fewest_taps;
        return (row > long_row && (taps <= very_few_taps || few_filters)) ||
               (row > very_long_row && taps <= few_taps);
    }
    if (problem.filters <= one_tile) return row > short_row || taps <= few_taps;
    if (!one_band || (row <= short_row && taps > fewest_taps)) return false;
    return taps <= few_taps ||
           (problem.filters <= narrow && taps <= most_taps && !is_ragged(problem));
}

/// Each weight has a vector of sums, which are joined in the end: faster for few of them, over long
/// rows (docs/measurements.md#direct-and-depthwise).
bool weight_grad_pays(const Problem& problem) {
    constexpr index_t half_tile = 4, few_filters = 8, fewest_taps = 9, few_taps = 32;
    constexpr index_t most_weights = 10000;
    constexpr index_t short_row = 10, long_row = 20;
    const index_t row = problem.y.w, taps = problem.taps;
    if (row <= short_row || problem.filters * taps > most_weights) return false;
    return taps <= fewest_taps || problem.filters <= half_tile ||
           (row > long_row && (taps <= few_taps || problem.filters <= few_filters));
}

/// The problem whose images have one row each: to windows of one pixel rows mean nothing.
Problem with_joined_rows(const Problem& problem) {
    const Shape4 x = {problem.x.n, problem.x.c, 1, problem.x.plane()};
    return {x, {problem.window, problem.y.c, problem.groups}};
}

/// Whether that leaves no lane idle at the end of a row, and all channels stay in a cache
/// (docs/measurements.md#joined-rows).
bool joins_rows(const Problem& problem, const OutputGrid& grid, index_t element_size) {
    if (problem.x.h == 1 || !problem.window.is_pointwise() || !grid.is_dense(problem.y)) {
        return false;
    }
    const BandShape joined(with_joined_rows(problem), BandForm::spread, 1, element_size);
    return joined.channels >= problem.channels && joined.col_blocks == 1;
}

}  // namespace

bool pays(const Problem& problem, ConvPass pass) {
    if (depthwise::obstacle(problem, pass) == nullptr) return true;
    return pass == ConvPass::weight_grad ? weight_grad_pays(problem) : forward_pays(problem);
}

namespace {

template <typename T>
void forward_rows(const ForwardCall<T>& call) {
    const Problem& problem = call.problem;
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    // No part is larger than the kernel's tile.
    const Split parts = Split::at_most(problem.filters, kernels.direct.rows);
    const BandShape shape(problem, form_of(problem), ceil_div(problem.filters, parts.count),
                          sizeof(T), blocks_to_share(problem));
    const Buffer<T> weights = pack_weights(kernels, problem, parts, call.weight);
    const index_t step = groups_per_task(problem, shape);
    const index_t steps = ceil_div(problem.groups, step), blocks = shape.blocks();
    const index_t images = problem.x.n * steps * blocks;
    if (images == 0) return;
    // Where there are few images and blocks, the filters are shared too, so many that each share is
    // worth a copy of the band.
    constexpr index_t worth_parts = 6;
    const Split shares = {parts.count, std::clamp(parts.count / worth_parts, index_t{1},
                                                  ceil_div(kEnoughLargeTasks, images))};
    const index_t items = images * shares.count;
    // For more filters it pays to copy planes, whose rows lie where caches and vectors like them.
    constexpr index_t few_parts = 2;
    const bool in_place = parts.count <= few_parts && call.units == nullptr;
    const double work = problem.multiply_adds();
    parallel_ranges(
        items, items_per_task(items, work), work / static_cast<double>(items),
        [&](index_t item, index_t end) {
            Band<T> band(kernels, problem, shape, in_place ? call.x : nullptr);
            const RowWriter<T> writer(kernels, problem, shape, call.y, call.grid, call.last);
            for (; item < end; ++item) {
                const index_t place = item / shares.count, share = item % shares.count;
                const index_t image = place / (steps * blocks);
                const index_t first = place / blocks % steps * step;
                const BandBlock block(shape, problem.y, place % blocks);
                for (index_t g = first; g < std::min(problem.groups, first + step); ++g) {
                    forward_block(kernels, call, shape, parts, shares.begin(share),
                                  shares.end(share), block, image, g, weights.data(), band, writer);
                }
            }
        });
}

}  // namespace

template <typename T>
void forward(const ForwardCall<T>& call) {
    if (!joins_rows(call.problem, call.grid, sizeof(T))) return forward_rows(call);
    const Problem joined = with_joined_rows(call.problem);
    OutputGrid grid = call.grid;
    grid.row = joined.y.w;
    forward_rows<T>(
        {joined, call.x, call.weight, call.bias, call.y, grid, call.last, call.kept, call.units});
}

namespace {

/// How the gradient of the weights is cut: the blocks of all images into chunks, each with its own
/// sums.
struct GradCut {
    GradCut(const Problem& problem, const BandShape& shape)
        : groups(groups_per_task(problem, shape)), group_tasks(ceil_div(problem.groups, groups)) {
        const index_t blocks = problem.x.n * shape.blocks();
        chunks = {blocks, std::clamp<index_t>(ceil_div(kEnoughTasks, group_tasks), 1,
                                              std::max<index_t>(1, blocks))};
    }
    index_t groups, group_tasks;
    Split chunks;
};

/// Filters whose dy is spread together: their rows and the band share the cache.
constexpr index_t kGradFilters = 32;
/// Terms that a lane of the weights' gradient adds up in succession.
constexpr index_t kLaneTerms = 512;

/// Adds blocks [item, item_end) of the batch to the sums of one group's dweight, and the sums of
/// dy's planes of the images that end there to plane_sums, unless it is null.
template <typename T>
class BlockGradient {
  public:
    BlockGradient(const Kernels<T>& kernels, const Problem& problem, const BandShape& shape)
        : kernels_(kernels),
          problem_(problem),
          shape_(shape),
          in_place_(shape.is_gapless()),
          room_(in_place_ ? 0 : round_up(shape.positions(), kernels.lanes)),
          band_(kernels, problem, shape),
          scratch_(std::min(kGradFilters, problem.filters) * room_ + kPackSlack) {}

    void add(index_t item, index_t item_end, const T* dy, const T* x, T* sums, double* plane_sums) {
        const index_t size = problem_.filters * problem_.taps * kernels_.lanes;
        const index_t most = ceil_div(shape_.positions(), kernels_.lanes);
        gemm::LongSums<T> totals(size, (item_end - item) * most, kLaneTerms);
        for (; item < item_end; ++item) {
            const index_t image = item / shape_.blocks();
            const BandBlock block(shape_, problem_.y, item % shape_.blocks());
            totals.make_room(most, sums, size);
            for (index_t c = 0; c < problem_.channels; c += shape_.channels) {
                if (c > 0 || item % 8 == 0) heed_interrupt();
                const index_t channels = std::min(shape_.channels, problem_.channels - c);
                band_.load(block, x + image * problem_.x.image() + c * problem_.x.plane(),
                           channels);
                add_channels(block, c, channels,
                             dy + image * problem_.y.image() + block.row * problem_.y.w + block.col,
                             sums);
            }
            if (plane_sums == nullptr || item % shape_.blocks() < shape_.blocks() - 1) continue;
            for (index_t f = 0; f < problem_.filters; ++f) {
                plane_sums[image * problem_.y.c + f] = kernels_.elementwise.sum(
                    problem_.y.plane(), dy + image * problem_.y.image() + f * problem_.y.plane());
            }
        }
        totals.finish(sums);
    }

  private:
    /// Adds one block's contribution to the weights of the channels in the band. Their sums are
    /// stored together: [channels in steps of shape.channels][filters][taps].
    void add_channels(const BandBlock& block, index_t channel, index_t channels, const T* dy,
                      T* sums) {
        const index_t lanes = kernels_.lanes, taps = channels * problem_.window.taps();
        sums += channel * problem_.window.taps() * problem_.filters * lanes;
        for (index_t f = 0; f < problem_.filters; f += kGradFilters) {
            const index_t count = std::min(kGradFilters, problem_.filters - f);
            const T* rows = dy + f * problem_.y.plane();
            index_t stride = problem_.y.plane();
            if (!in_place_) {
                spread(block, rows, count);
                rows = scratch_.data();
                stride = room_;
            }
            const Split parts = Split::at_most(count, kernels_.direct.rows);
            for (index_t part = 0; part < parts.count; ++part) {
                const index_t row = parts.begin(part);
                kernels_.direct.correlate_backward(parts.length(part), block.positions, taps,
                                                   rows + row * stride, stride, band_.offsets(),
                                                   band_.data(), sums + (f + row) * taps * lanes);
            }
        }
    }

    /// dy of one block at the positions of its band, with zeros between the rows.
    void spread(const BandBlock& block, const T* dy, index_t filters) {
        T* to = scratch_.data();
        // The last row ends at the last position: there may be no room for a whole pitch.
        const index_t before = (block.rows - 1) * block.pitch;
        const index_t last = round_up(block.positions, kernels_.lanes) - before;
        for (index_t f = 0; f < filters; ++f, dy += problem_.y.plane(), to += room_) {
            kernels_.copies.pad_rows(block.rows - 1, 0, block.cols, block.pitch, dy, problem_.y.w,
                                     1, to, nullptr);
            kernels_.copies.pad_rows(1, 0, block.cols, last, dy + (block.rows - 1) * problem_.y.w,
                                     problem_.y.w, 1, to + before, nullptr);
        }
    }

    const Kernels<T>& kernels_;
    const Problem& problem_;
    const BandShape& shape_;
    bool in_place_;
    index_t room_;
    Band<T> band_;
    Buffer<T> scratch_;
};

/// Adds up the lanes of the sums and puts them into the order of the weights.
template <typename T>
void finish_sums(const Kernels<T>& kernels, const Problem& problem, const BandShape& shape,
                 const T* sums, T* dweight) {
    const index_t area = problem.window.taps();
    for (index_t c = 0; c < problem.channels; c += shape.channels) {
        const index_t taps = std::min(shape.channels, problem.channels - c) * area;
        for (index_t f = 0; f < problem.filters; ++f, sums += taps * kernels.lanes) {
            kernels.direct.fold_lanes(taps, sums, dweight + f * problem.taps + c * area);
        }
    }
}

/// plane_sums (images, filters of all groups) may be null.
template <typename T>
void sum_gradients(const WeightGradCall<T>& call, double* plane_sums) {
    const Problem& problem = call.problem;
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const BandShape shape(problem, form_of(problem), std::min(kGradFilters, problem.filters),
                          sizeof(T));
    const GradCut cut(problem, shape);
    const index_t group_size = problem.filters * problem.taps, size = problem.groups * group_size;
    const Buffer<T> others((cut.chunks.count - 1) * size);  // of all chunks but the first
    parallel_for(cut.chunks.count * cut.group_tasks, problem.multiply_adds(), [&](index_t i) {
        const index_t chunk = i / cut.group_tasks, first = i % cut.group_tasks * cut.groups;
        BlockGradient<T> gradient(kernels, problem, shape);
        const Buffer<T> sums(group_size * kernels.lanes);
        T* to = chunk > 0 ? others.data() + (chunk - 1) * size : call.dweight;
        for (index_t g = first; g < std::min(problem.groups, first + cut.groups); ++g) {
            std::fill_n(sums.data(), group_size * kernels.lanes, T{0});
            gradient.add(cut.chunks.begin(chunk), cut.chunks.end(chunk),
                         call.dy + g * problem.filters * problem.y.plane(),
                         call.x + g * problem.channels * problem.x.plane(), sums.data(),
                         plane_sums != nullptr ? plane_sums + g * problem.filters : nullptr);
            finish_sums(kernels, problem, shape, sums.data(), to + g * group_size);
        }
    });
    add_in_order(cut.chunks.count - 1, size, others.data(), call.dweight);
}

}  // namespace

template <typename T>
void weight_grad(const WeightGradCall<T>& call) {
    const Shape4& y = call.problem.y;
    if (call.dbias == nullptr) return sum_gradients<T>(call, nullptr);
    const Buffer<double> plane_sums(y.n * y.c);
    sum_gradients(call, plane_sums.data());
    add_planes(y, plane_sums.data(), call.dbias);
}

#define POCKETCNN_INSTANTIATE(T)                  \
    template void forward(const ForwardCall<T>&); \
    template void weight_grad(const WeightGradCall<T>&);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::conv::direct
