#include "session/fusion.h"

#include <cstdint>

namespace pocketcnn::session {
namespace {

template <typename T>
Run<T> run_of(const Chain<T>& chain) {
    const Convolution<T>& conv = chain.conv;
    if (!chain.norm && !chain.activation) return run_of(conv);
    ConvBlock block;
    block.conv = conv.conv;
    block.pool = chain.pool;
    if (chain.activation) {
        block.activation = chain.activation->kind;
        block.parameter = chain.activation->parameter;
    }
    return [conv, block, norm = chain.norm](const Call<T>& call) {
        const Shape4 image = batch(conv.image, call.n);
        const Shape4 out = conv_block_output_shape(image, block);
        const Buffer<std::int32_t> places(block.pools(PoolKind::max) ? out.size() : 0);
        const KnownNorm<T> known = norm ? norm->known() : KnownNorm<T>{};
        const KnownNorm<T> units = conv.units ? conv.units->known() : KnownNorm<T>{};
        conv_block<T>({call.x[0], image}, conv.weight, conv.bias, block,
                      {{call.y, out}, places.data(), nullptr}, norm ? &known : nullptr,
                      conv.kept.get(), conv.units ? &units : nullptr);
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
    }

    Plan<T> finished() && {
        return {std::move(steps_), graph_.shapes.size(), graph_.shapes.size() - 1};
    }

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
        const Layer<T>& layer = graph_.nodes[first].layer;
        Step<T> step = {graph_.nodes[first].sources, 0, 0, layer.run};
        std::size_t last = first;
        if (auto conv = convolution_from(last)) {
            conv->kept = std::make_shared<const KeptWeights<T>>(
                norms_ == Norms::folded ? KeptChoice::fastest : KeptChoice::as_without);
            const Chain<T> chain = chain_from(*conv, last);
            step.run = run_of(chain);
            step.part = chain;
        } else if (std::holds_alternative<Sum>(layer.part)) {
            std::size_t behind = first;
            const auto f = follow<Function>(behind);
            const bool rectify = f && f->kind == Activation::relu;
            if (rectify) last = behind;
            step.run = sum_of_two<T>(layer.output, rectify).run;
            step.part = Sum{rectify};
        } else if (const auto* f = std::get_if<Function>(&layer.part)) {
            step.part = *f;
        } else if (const auto* pool = std::get_if<BlockPool>(&layer.part)) {
            step.part = *pool;
        } else if (const auto* average = std::get_if<GlobalAverage>(&layer.part)) {
            step.part = *average;
        } else if (const auto* gate = std::get_if<Gate>(&layer.part)) {
            step.part = *gate;
        }
        for (std::size_t place = first; place != last; place = next(place))
            done_[next(place)] = true;
        step.result = last + 1;
        step.size = size_of(graph_.shapes[last + 1]);
        return step;
    }

    /// The convolution at `last`, or behind it, with the units there.
    std::optional<Convolution<T>> convolution_from(std::size_t& last) const {
        const Part<T>& part = graph_.nodes[last].layer.part;
        if (const auto* conv = std::get_if<Convolution<T>>(&part)) return *conv;
        const auto* units = std::get_if<std::shared_ptr<const Units<T>>>(&part);
        auto conv = units != nullptr ? follow<Convolution<T>>(last) : std::nullopt;
        if (conv) conv->units = *units;
        return conv;
    }

    /// The convolution at `last` with what is computed together with it; `last` becomes the last
    /// node of that.
    Chain<T> chain_from(const Convolution<T>& conv, std::size_t& last) const {
        Chain<T> chain = {conv};
        std::size_t end = last;
        chain.norm = follow<Normalization<T>>(end);
        const bool normalized = chain.norm.has_value();
        if (normalized && norms_ == Norms::folded) {
            chain.conv = folded(conv, *chain.norm);
            chain.norm.reset();
            last = end;
        }
        const auto activation = follow<Function>(end);
        if (!chain.norm && !activation) return chain;
        const auto pool = follow<BlockPool>(end);
        if (!normalized && is_layered(activation->kind, pool)) return chain;
        last = end;
        chain.activation = activation;
        chain.pool = pool;
        return chain;
    }

    const Graph<T>& graph_;
    Norms norms_;
    std::vector<std::vector<std::size_t>> readers_;  // of every value
    std::vector<bool> done_;
    std::vector<Step<T>> steps_;
};

}  // namespace

template <typename T>
Plan<T> fuse(const Graph<T>& graph, Norms norms) {
    return Fusion<T>(graph, norms).finished();
}

template Plan<float> fuse(const Graph<float>&, Norms);
template Plan<double> fuse(const Graph<double>&, Norms);

}  // namespace pocketcnn::session
