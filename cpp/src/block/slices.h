// A batch cut into slices of images that pass together through several operations, a convolution
// first, while they are in cache.
#pragma once

#include <pocketcnn/conv2d.h>
#include <pocketcnn/conv_block.h>

#include <algorithm>

#include "conv/ways.h"
#include "gemm/long_sums.h"
#include "runtime/add_in_order.h"
#include "runtime/cut.h"
#include "runtime/isa.h"
#include "runtime/memory_pool.h"
#include "runtime/parallel.h"

namespace pocketcnn {

/// Feature maps that are to stay in cache between the steps: half of a common L2 cache.
inline constexpr index_t kCacheBytes = index_t{512} * 1024;
/// The batch is cut into as many slices, or a multiple, which threads share evenly; where there
/// are not as many images, or one image's maps overflow the cache, the steps run one by one.
inline constexpr index_t kSlices = kEnoughLargeTasks;

/// Whether a pass of the convolution begins with work on the weights that every slice would repeat.
/// Then the batch is not cut (docs/measurements.md#fusion).
inline bool transforms_weights(const Shape4& x, const Conv2d& conv) {
    const conv::Problem problem(x, conv);
    return conv::forward_way({problem, conv.algorithm}).transforms_weights;
}

/// Whether the backward pass does.
inline bool grads_transform_weights(const conv::Question& question, bool input_grad) {
    return conv::weight_grad_way(question).transforms_weights ||
           (input_grad && conv::input_grad_way(question).transforms_weights);
}

/// The batch as slices of images that pass through the block together.
class Slices {
  public:
    Slices(const Shape4& x, const Shape4& maps, index_t element_size, bool undivided)
        : images_{x.n, 0} {
        const index_t fit = kCacheBytes / std::max<index_t>(1, maps.image() * element_size);
        const bool whole = undivided || fit < 1 || x.n < kSlices;
        images_.count = whole ? std::min<index_t>(1, x.n)
                              : std::min(x.n, round_up(ceil_div(x.n, fit), kSlices));
    }

    index_t count() const { return images_.count; }
    index_t begin(index_t slice) const { return images_.begin(slice); }
    index_t end(index_t slice) const { return images_.end(slice); }

    /// Runs body(slice) for [0, count). A single slice runs here, so that its steps can use all
    /// threads themselves.
    template <typename Body>
    static void run(index_t count, double work, Body&& body) {
        if (count == 1) {
            body(index_t{0});
        } else {
            parallel_for(count, work, body);
        }
    }

  private:
    Split images_;
};

template <typename T>
ImageView<T> images(ImageView<T> batch, index_t begin, index_t end) {
    Shape4 shape = batch.shape;
    shape.n = end - begin;
    return {batch.data + begin * shape.image(), shape};
}

template <typename T>
ImageView<const T> constant(ImageView<T> view) {
    return {view.data, view.shape};
}

inline double multiply_adds(const Shape4& x, const Shape4& maps, const Conv2d& conv) {
    const index_t channels = x.c / conv.groups;
    return static_cast<double>(maps.size()) * static_cast<double>(channels) *
           static_cast<double>(conv.window.taps());
}

/// Sums of slices are kept apart in groups whose number depends on nothing but the batch.
inline constexpr index_t kSums = kEnoughTasks;
/// Slices whose gradients are added up in a row.
inline constexpr index_t kSlicesSum = 64;

/// The gradients of a batch, slice by slice: body(begin, end, grads) overwrites those of images
/// [begin, end). Gradients of weights are added in an order that depends on the batch alone.
template <typename T, typename Body>
void slice_gradients(const Shape4& x, const Shape4& maps, const Conv2d& conv, const Slices& slices,
                     const ConvGrads<T>& grads, Body&& body) {
    const index_t weights = conv.filters * (x.c / conv.groups) * conv.window.taps();
    if (slices.count() == 0) {
        std::fill_n(grads.dweight, weights, T{0});
        std::fill_n(grads.dbias, conv.filters, T{0});
        return;
    }
    if (slices.count() == 1) {
        body(index_t{0}, x.n, grads);
        return;
    }
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const index_t size = weights + conv.filters;  // a sum: dweight, then dbias
    const index_t count = std::min(kSums, slices.count());
    const Split groups = {slices.count(), count};
    const Buffer<T> sums(count * size);
    Slices::run(count, multiply_adds(x, maps, conv), [&](index_t i) {
        T* sum = sums.data() + i * size;
        const Buffer<T> one(size);
        const index_t first = groups.begin(i), last = groups.end(i);
        gemm::LongSums<T> totals(size, last - first, kSlicesSum);
        for (index_t s = first; s < last; ++s) {
            totals.make_room(1, sum, size);
            const index_t begin = slices.begin(s);
            T* dx = grads.dx != nullptr ? grads.dx + begin * x.image() : nullptr;
            body(begin, slices.end(s), {dx, one.data(), one.data() + weights});
            kernels.elementwise.add(size, one.data(), sum);
        }
        totals.finish(sum);
    });
    add_in_order(count - 1, size, sums.data() + size, sums.data());
    std::copy_n(sums.data(), weights, grads.dweight);
    std::copy_n(sums.data() + weights, conv.filters, grads.dbias);
}

}  // namespace pocketcnn
