#include "session/fusion.h"

#include <cstdint>
#include <set>

namespace pocketcnn::session {
namespace {

/// A convolution and what follows it, as one operation.
template <typename T>
Run<T> run_of_block(const Convolution<T>& conv, const std::optional<Normalization<T>>& norm,
                    const ConvBlock& block) {
    return [=](const Call<T>& call) {
        const Shape4 image = batch(conv.image, call.n);
        const Shape4 out = conv_block_output_shape(image, block);
        const Buffer<std::int32_t> places(block.pools(PoolKind::max) ? out.size() : 0);
        const KnownNorm<T> known = norm ? norm->known() : KnownNorm<T>{};
        conv_block<T>({call.x[0], image}, conv.weight, conv.bias, block,
                      {{call.y, out}, places.data(), nullptr}, norm ? &known : nullptr,
                      conv.kept.get());
    };
}

/// Whether Python computes a convolution, this activation and the pooling one by one.
bool is_layered(Activation activation, const std::optional<BlockPool>& pool) {
    const bool averages = pool && pool->kind == PoolKind::average;
    return (activation == Activation::sigmoid || activation == Activation::tanh) && !averages;
}

template <typename T>
class Fusion {
  public:
    Fusion(const Graph<T>& graph, Norms norms)
        : graph_(graph), norms_(norms), readers_(graph.shapes.size()), done_(graph.nodes.size()) {
        for (std::size_t place = 0; place < graph.nodes.size(); ++place) {
            for (const std::size_t source : graph.nodes[place].sources) {
                readers_[source].push_back(place);
            }
        }
        for (std::size_t place = 0; place < graph.nodes.size(); ++place) {
            if (!done_[place]) steps_.push_back(step_from(place));
        }
        std::set<std::size_t> later;
        for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) {
            for (const std::size_t source : step->sources) {
                if (later.insert(source).second) step->spent.push_back(source);
            }
        }
    }

    std::vector<Step<T>> finished() && { return std::move(steps_); }

  private:
    static constexpr std::size_t kNone = SIZE_MAX;

    /// The node that takes what `place` gives and nothing else, if no other takes it.
    std::size_t next(std::size_t place) const {
        const std::vector<std::size_t>& readers = readers_[place + 1];
        if (readers.size() != 1 || graph_.nodes[readers[0]].sources.size() != 1) return kNone;
        return readers[0];
    }

    /// What the node behind `last` is, if it is that; then it becomes the last.
    template <typename P>
    std::optional<P> follow(std::size_t& last) const {
        const std::size_t place = next(last);
        const P* part = place == kNone ? nullptr : std::get_if<P>(&graph_.nodes[place].layer.part);
        if (part == nullptr) return {};
        last = place;
        return *part;
    }

    Step<T> step_from(std::size_t first) {
        const Node<T>& node = graph_.nodes[first];
        std::size_t last = first;
        Run<T> run = node.layer.run;
        if (auto conv = convolution_from(last)) {
            conv->kept = std::make_shared<const KeptWeights<T>>(
                norms_ == Norms::folded ? KeptChoice::fastest : KeptChoice::as_without);
            run = run_of(*conv);
            if (Run<T> block = block_from(*conv, last)) run = block;
        } else if (std::holds_alternative<Sum>(node.layer.part)) {
            std::size_t behind = first;
            if (const auto f = follow<Function>(behind); f && f->kind == Activation::relu) {
                last = behind;
                run = sum_of_two<T>(node.layer.output, true).run;
            }
        }
        for (std::size_t place = first; place != last; place = next(place))
            done_[next(place)] = true;
        return {node.sources, last + 1, size_of(graph_.shapes[last + 1]), run, {}};
    }

    /// The convolution at `last`, or behind it, with other weights instead of the units there.
    std::optional<Convolution<T>> convolution_from(std::size_t& last) const {
        const Part<T>& part = graph_.nodes[last].layer.part;
        if (const auto* conv = std::get_if<Convolution<T>>(&part)) return *conv;
        const auto* units = std::get_if<Units>(&part);
        std::size_t behind = last;
        const auto conv = units != nullptr && norms_ == Norms::folded
                              ? follow<Convolution<T>>(behind)
                              : std::nullopt;
        auto whole = conv ? folded(*units, *conv) : std::nullopt;
        if (whole) last = behind;
        return whole;
    }

    /// Empty where the convolution is computed by itself; otherwise `last` becomes the last node of
    /// the block.
    Run<T> block_from(Convolution<T> conv, std::size_t& last) const {
        std::size_t end = last;
        auto norm = follow<Normalization<T>>(end);
        const bool normalized = norm.has_value();
        if (normalized && norms_ == Norms::folded) {
            conv = folded(conv, *norm);
            norm.reset();
            last = end;
        }
        const auto activation = follow<Function>(end);
        if (!norm && !activation) return normalized ? run_of(conv) : Run<T>();
        const auto pool = follow<BlockPool>(end);
        if (!normalized && is_layered(activation->kind, pool)) return {};
        last = end;
        ConvBlock block;
        block.conv = conv.conv;
        block.pool = pool;
        if (activation) {
            block.activation = activation->kind;
            block.parameter = activation->parameter;
        }
        return run_of_block<T>(conv, norm, block);
    }

    const Graph<T>& graph_;
    Norms norms_;
    std::vector<std::vector<std::size_t>> readers_;  // of every value
    std::vector<bool> done_;
    std::vector<Step<T>> steps_;
};

}  // namespace

template <typename T>
std::vector<Step<T>> fuse(const Graph<T>& graph, Norms norms) {
    return Fusion<T>(graph, norms).finished();
}

template std::vector<Step<float>> fuse(const Graph<float>&, Norms);
template std::vector<Step<double>> fuse(const Graph<double>&, Norms);

}  // namespace pocketcnn::session
