// Convolutions of images whose channels lie together (channels last), pixel by pixel: a layout that
// layers of 1x1 and depthwise convolutions read and write without packing. Between layers the
// channels of a pixel are filled up to whole vectors with finite numbers, which nothing counts.
#pragma once

#include <pocketcnn/activation.h>
#include <pocketcnn/conv2d.h>

#include <limits>
#include <optional>

#include "conv/last_step.h"
#include "gemm/indirect.h"
#include "runtime/isa.h"

namespace pocketcnn::channels_last {

/// From one pixel to the next.
template <typename T>
index_t pitch_of(index_t channels) {
    return round_up(channels, kernels<T>().lanes);
}

/// One run of `length` elements.
inline ElementRuns one_run(index_t length) {
    static constexpr index_t first = 0;
    return {1, length, &first};
}

/// What an activation does to sums if it is no more than keeping them within bounds.
template <typename T>
struct Bounds {
    T low = -std::numeric_limits<T>::infinity(), high = std::numeric_limits<T>::infinity();
};

/// Empty for other activations.
template <typename T>
std::optional<Bounds<T>> bounds_of(const Epilogue& epilogue) {
    if (!epilogue.activation) return Bounds<T>{};
    if (epilogue.activation == Activation::relu) return Bounds<T>{.low = 0};
    if (epilogue.activation == Activation::relu6) return Bounds<T>{.low = 0, .high = 6};
    return {};
}

/// Filters as the kernels take them: panels of their weights, and what is done with their sums.
template <typename T>
class Filters {
  public:
    /// Filter f has the weights [f * depth, (f + 1) * depth), which are copied; bias may be null.
    Filters(const T* weight, const T* bias, index_t count, index_t depth, const Epilogue& epilogue);

    index_t depth() const { return depth_; }
    const gemm::Panels& panels() const { return packed_.panels(); }
    index_t pitch() const { return panels().padded_cols(); }
    const T* panel(index_t p) const { return packed_.data(p); }

    /// What the kernels do with the sums of a panel.
    SumsEnd<T> end(index_t p, const T* addend = nullptr) const {
        return {bias_.data() + panels().begin(p), addend, bounds_.low, bounds_.high};
    }
    /// What the kernels do not do with a line of results.
    void finish(index_t p, index_t pixels, T* y, const PixelGrid& to) const {
        if (last_.is_none()) return;
        const index_t width = panels().width(p);
        if (to.step == width) return last_.apply(y, pixels * width);
        for (index_t i = 0; i < pixels; ++i, y += to.step) last_.apply(y, width);
    }

    /// The results of a panel for `count` pixels. The addend, which may be null, lies as they do.
    void multiply(index_t p, index_t count, const T* x, const PixelGrid& from,
                  const ElementRuns& runs, const T* addend, T* y, const PixelGrid& to) const;

  private:
    index_t depth_;
    gemm::PackedPanels<T> packed_;
    Buffer<T> bias_;
    Bounds<T> bounds_;
    conv::LastStep<T> last_;
};

}  // namespace pocketcnn::channels_last
