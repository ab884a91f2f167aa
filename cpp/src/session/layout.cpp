#include "session/layout.h"

#include <algorithm>
#include <numeric>

#include "conv/ways.h"

namespace pocketcnn::session {
namespace {

/// Longest sums that are added up one product after the other.
constexpr index_t kMostTerms = 1 << 13;

template <typename T>
Role role_of(const Chain<T>& chain) {
    if (chain.norm || (chain.pool && chain.pool->kind != PoolKind::max)) return Role::other;
    const Conv2d& conv = chain.conv.conv;
    const Shape4& image = chain.conv.image;
    if (conv.groups > 1) {
        const bool is_depthwise = conv.groups == image.c && conv.filters == image.c;
        return is_depthwise && !chain.pool && !chain.conv.units ? Role::depthwise : Role::other;
    }
    if (image.plane() == 1 || image.c * conv.window.taps() > kMostTerms) return Role::other;
    if (chain.conv.units) return image.c <= kFewChannels ? Role::dense : Role::other;
    return conv.window.is_pointwise() && !chain.pool ? Role::pointwise : Role::dense;
}

template <typename T>
Role role_of(const Step<T>& step, const Shape& result) {
    if (const auto* chain = std::get_if<Chain<T>>(&step.part)) return role_of(*chain);
    if (result.size() != 3) return Role::other;
    if (const auto* pool = std::get_if<BlockPool>(&step.part)) {
        return pool->kind == PoolKind::max ? Role::pool : Role::other;
    }
    if (std::holds_alternative<Function>(step.part)) return Role::function;
    if (std::holds_alternative<Sum>(step.part)) return Role::sum;
    if (std::holds_alternative<Gate>(step.part)) return Role::gate;
    return std::holds_alternative<GlobalAverage>(step.part) ? Role::average : Role::other;
}

template <typename T>
class Stretches {
  public:
    Stretches(const Plan<T>& plan, const std::vector<Shape>& shapes, const Uses& uses, index_t n)
        : plan_(plan), shapes_(shapes), uses_(uses), n_(n), roles_(plan.steps.size()) {
        for (std::size_t i = 0; i < roles_.size(); ++i) {
            roles_[i] = role_of(plan.steps[i], shapes[plan.steps[i].result]);
            if (roles_[i] == Role::dense && gain_of_dense(i) == 0) roles_[i] = Role::other;
        }
    }

    /// The roles, without those of stretches that do not pay.
    std::vector<Role> paying() const {
        std::vector<std::size_t> next(roles_.size());
        std::iota(next.begin(), next.end(), std::size_t{0});
        const auto stretch = [&](std::size_t i) {
            while (next[i] != i) i = next[i];
            return i;
        };
        for (std::size_t i = 0; i < roles_.size(); ++i) {
            if (!is_in(i)) continue;
            for (const std::size_t source : images_of(i)) {
                const std::size_t maker = uses_.maker[source];
                if (is_in(maker)) next[stretch(maker)] = stretch(i);
            }
        }
        std::vector<double> gain(roles_.size());
        for (std::size_t i = 0; i < roles_.size(); ++i) {
            if (is_in(i)) gain[stretch(i)] += gain_of(i);
        }
        std::vector<Role> paying(roles_);
        for (std::size_t i = 0; i < roles_.size(); ++i) {
            if (gain[stretch(i)] <= 0) paying[i] = Role::other;
        }
        return paying;
    }

  private:
    bool is_in(std::size_t step) const {
        return step != Uses::kNone && roles_[step] != Role::other;
    }

    /// The inputs of a step that it takes with channels together.
    std::vector<std::size_t> images_of(std::size_t i) const {
        const Step<T>& step = plan_.steps[i];
        const auto* gate = std::get_if<Gate>(&step.part);
        return gate != nullptr ? std::vector{step.sources[1 - gate->numbers]} : step.sources;
    }

    double size(std::size_t value) const { return static_cast<double>(size_of(shapes_[value])); }

    bool takes_planes(std::size_t i) const {
        if (roles_[i] == Role::depthwise) return true;
        return roles_[i] == Role::dense && shapes_[plan_.steps[i].sources[0]][0] <= kFewChannels;
    }

    /// Elements whose copies a step saves, less those that it costs to change layouts for it.
    double gain_of(std::size_t i) const {
        double gain = 0;
        for (const std::size_t source : images_of(i)) {
            if (roles_[i] == Role::pointwise || roles_[i] == Role::depthwise) gain += size(source);
            if (!is_in(uses_.maker[source]) && !takes_planes(i)) gain -= kCost * size(source);
        }
        if (roles_[i] == Role::dense) gain += gain_of_dense(i);
        const std::size_t result = plan_.steps[i].result;
        const std::vector<std::size_t>& readers = uses_.readers[result];
        const bool leaves = result == plan_.output ||
                            std::any_of(readers.begin(), readers.end(),
                                        [&](std::size_t reader) { return !is_in(reader); });
        if (leaves && roles_[i] != Role::average) gain -= kCost * size(result);
        return gain;
    }
    static constexpr double kCost = 3;

    /// A share of the multiply-adds where few pixels meet filters that are not many
    /// (docs/measurements.md#channels-together); 0 for others. Tiles have no equal.
    double gain_of_dense(std::size_t i) const {
        constexpr index_t few_pixels = 1024, few_terms = 2048;
        constexpr double saved = 0.15, of_an_element = 16;
        const session::Convolution<T>& conv = std::get<Chain<T>>(plan_.steps[i].part).conv;
        const conv::Problem problem(batch(conv.image, n_), conv.conv);
        const conv::Question question = {.problem = problem, .kept = true};
        const bool few = problem.pixels() <= few_pixels && problem.taps <= few_terms;
        if (!few || conv::forward_way(question).about.family == ConvAlgorithm::winograd) return 0;
        return problem.multiply_adds() / static_cast<double>(n_) * saved / of_an_element;
    }

    const Plan<T>& plan_;
    const std::vector<Shape>& shapes_;
    const Uses& uses_;
    index_t n_;
    std::vector<Role> roles_;
};

}  // namespace

template <typename T>
std::vector<Role> roles_of(const Plan<T>& plan, const std::vector<Shape>& shapes, const Uses& uses,
                           index_t n) {
    return Stretches<T>(plan, shapes, uses, n).paying();
}

template std::vector<Role> roles_of(const Plan<float>&, const std::vector<Shape>&, const Uses&,
                                    index_t);
template std::vector<Role> roles_of(const Plan<double>&, const std::vector<Shape>&, const Uses&,
                                    index_t);

}  // namespace pocketcnn::session
