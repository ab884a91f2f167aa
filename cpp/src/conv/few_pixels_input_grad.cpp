// The gradient of the input where there are few pixels: the phases of a stride share one copy of
// the weights.
#include <algorithm>
#include <vector>

#include "conv/few_pixels.h"
#include "conv/few_pixels_product.h"
#include "conv/phase.h"

namespace pocketcnn::conv::few_pixels {
namespace {

/// Weights (filters, channels, kh, kw) of some channels, those of a slice of the filters side by
/// side: in place, each filter's would be on a page of its own.
template <typename T>
class SliceOfWeights {
  public:
    SliceOfWeights(const Problem& problem, index_t channel, index_t channel_end, index_t filters)
        : pitch_(problem.taps),
          first_(channel * problem.window.taps()),
          size_((channel_end - channel) * problem.window.taps()),
          data_(filters * size_) {}

    index_t size() const { return size_; }  ///< of a filter
    const T* data() const { return data_.data(); }
    void load(const T* weight, index_t filter, index_t filter_end) {
        for (index_t f = filter; f < filter_end; ++f) {
            std::copy_n(weight + f * pitch_ + first_, size_, data_.data() + (f - filter) * size_);
        }
    }

  private:
    index_t pitch_, first_, size_;
    Buffer<T> data_;
};

/// A phase of the gradient of the input: its taps, and dy in columns.
template <typename T>
struct PhaseColumns {
    PhaseColumns(const Problem& problem, const Phase& of, const T* dy, index_t step)
        : phase(of), columns(of.part, dy, step) {
        of.for_taps(problem.window, [&](index_t ky, index_t kx) {
            taps.push_back(ky * problem.window.kernel_w + kx);
        });
    }

    /// Where the weights of so many filters are, `pitch` apart.
    std::vector<index_t> depth(index_t filters, index_t pitch) const {
        std::vector<index_t> offsets;
        for (index_t f = 0; f < filters; ++f) {
            for (const index_t tap : taps) offsets.push_back(f * pitch + tap);
        }
        return offsets;
    }

    Phase phase;
    std::vector<index_t> taps;
    PackedColumns<T> columns;
};

/// dx of channels [channel, channel_end): the weights are copied once for all phases.
template <typename T>
void input_grad_block(const InputGradCall<T>& call, const std::vector<PhaseColumns<T>>& phases,
                      index_t channel, index_t channel_end) {
    const Problem& problem = call.problem;
    const PackedColumns<T>& slices = phases.front().columns;
    SliceOfWeights<T> weights(problem, channel, channel_end, slices.channel(1));
    const std::vector<index_t> rows = row_offsets(channel_end - channel, problem.window.taps());
    std::vector<Sums<T>> sums;
    std::vector<std::vector<index_t>> depths;
    for (const PhaseColumns<T>& p : phases) {
        sums.emplace_back(kernels<T>(), p.phase.part, p.columns, channel_end - channel);
        depths.push_back(p.depth(slices.channel(1), weights.size()));
    }
    for (index_t i = 0; i < slices.slices(); ++i) {
        const index_t filter = slices.channel(i), filter_end = slices.channel(i + 1);
        weights.load(call.weight, filter, filter_end);
        for (std::size_t p = 0; p < phases.size(); ++p) {
            const auto taps = static_cast<index_t>(phases[p].taps.size());
            sums[p].add((filter_end - filter) * taps, weights.data(), rows, depths[p],
                        phases[p].columns[i]);
        }
    }
    const T* no_bias = nullptr;
    for (std::size_t p = 0; p < phases.size(); ++p) {
        const Phase& phase = phases[p].phase;
        sums[p].finish();
        write(phases[p].columns, sums[p], channel, channel_end, no_bias,
              Target<T>(phase.part, call.dx + phase.first, phase.grid));
    }
}

}  // namespace

template <typename T>
void input_grad(const InputGradCall<T>& call) {
    const Problem& problem = call.problem;
    clear_skipped(problem, call.dx);
    const std::vector<Phase> all = Phase::all(problem);
    // The slices of all phases are the same filters. There are no dot products, because the weights
    // of a channel are not consecutive.
    index_t most_taps = 1;
    for (const Phase& phase : all) most_taps = std::max(most_taps, phase.part.window.taps());
    const index_t step = slice_channels(problem.filters, most_taps);
    std::vector<PhaseColumns<T>> phases;
    for (const Phase& phase : all) phases.emplace_back(problem, phase, call.dy, step);
    if (phases.empty()) return;
    for_blocks(problem.channels, problem.multiply_adds(),
               [&](index_t channel, index_t end) { input_grad_block(call, phases, channel, end); });
}

template void input_grad(const InputGradCall<float>&);
template void input_grad(const InputGradCall<double>&);

}  // namespace pocketcnn::conv::few_pixels
