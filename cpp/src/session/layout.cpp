#include "session/layout.h"

#include <algorithm>
#include <numeric>

#include "channels_last/filters.h"
#include "conv/ways.h"

namespace pocketcnn::session {
namespace {

/// Longest sums that are added up one product after the other.
constexpr index_t kMostTerms = 1 << 13;

template <typename T>
Role role_of(const Chain<T>& chain) {
    if (chain.norm || chain.conv.units) return Role::other;
    if (chain.pool && chain.pool->kind != PoolKind::max) return Role::other;
    const Conv2d& conv = chain.conv.conv;
    const Shape4& image = chain.conv.image;
    if (conv.groups > 1) {
        const bool is_depthwise = conv.groups == image.c && conv.filters == image.c;
        return is_depthwise && !chain.pool ? Role::depthwise : Role::other;
    }
    if (image.plane() == 1 || image.c * conv.window.taps() > kMostTerms) return Role::other;
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
            if (roles_[i] != Role::dense) continue;
            if (is_tiled(i)) {
                roles_[i] = Role::tiles;
            } else if (gain_of_dense(i) == 0) {
                roles_[i] = Role::other;
            }
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

    const Chain<T>& chain(std::size_t i) const { return std::get<Chain<T>>(plan_.steps[i].part); }

    /// Which algorithm computes the convolution of images as planes.
    ConvAlgorithm algorithm(std::size_t i) const {
        const session::Convolution<T>& conv = chain(i).conv;
        const conv::Problem problem(batch(conv.image, n_), conv.conv);
        return conv::forward_way({.problem = problem, .kept = true}).about.algorithm;
    }

    bool is_tiled(std::size_t i) const {
        const Window2d& window = chain(i).conv.conv.window;
        return window.stride_h == 1 && window.stride_w == 1 &&
               channels_last::bounds_of<T>(epilogue_of(chain(i))) &&
               algorithm(i) == ConvAlgorithm::winograd;
    }

    /// Elements whose copies a step saves, less those that it costs to change layouts for it.
    double gain_of(std::size_t i) const {
        double gain = 0;
        for (const std::size_t source : images_of(i)) {
            if (roles_[i] == Role::pointwise || roles_[i] == Role::depthwise) gain += size(source);
            if (roles_[i] == Role::tiles && is_in(uses_.maker[source])) gain += size(source);
            if (!is_in(uses_.maker[source]) && !takes_planes(roles_[i]))
                gain -= kCost * size(source);
        }
        if (roles_[i] == Role::dense) gain += gain_of_dense(i);
        const std::size_t result = plan_.steps[i].result;
        const std::vector<std::size_t>& readers = uses_.readers[result];
        const auto inside = std::count_if(readers.begin(), readers.end(),
                                          [&](std::size_t reader) { return is_in(reader); });
        if (roles_[i] == Role::tiles && inside > 0) gain += size(result);
        if (roles_[i] == Role::sum) gain += kPass * size(result);
        const bool leaves = result == plan_.output || inside < std::ssize(readers);
        const bool gives_planes =
            roles_[i] == Role::average ||
            (roles_[i] == Role::tiles && inside == 0 && may_give_planes(chain(i)));
        if (leaves && !gives_planes) gain -= kCost * size(result);
        return gain;
    }
    /// Of an element whose layout changes, and of one that a sum need not read by itself.
    static constexpr double kCost = 3, kPass = 2;

    /// A share of the multiply-adds where few pixels meet filters that are not many
    /// (docs/measurements.md#channels-together); 0 for others. Tiles have no equal.
    double gain_of_dense(std::size_t i) const {
        constexpr index_t few_pixels = 1024, few_terms = 2048, least_channels = 8;
        constexpr double saved = 0.15, of_an_element = 16;
        const session::Convolution<T>& conv = chain(i).conv;
        const conv::Problem problem(batch(conv.image, n_), conv.conv);
        const conv::Question question = {.problem = problem, .kept = true};
        const bool few = problem.pixels() <= few_pixels && problem.taps <= few_terms &&
                         problem.channels >= least_channels;
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
