#include "session/channels_last.h"

#include <algorithm>
#include <numeric>

#include "channels_last/pointwise.h"
#include "channels_last/separable.h"

namespace pocketcnn::session {
namespace {

using channels_last::Filters, channels_last::Separable;

enum class Role { other, pointwise, depthwise, sum, average };

/// Longest sums that are added up one product after the other.
constexpr index_t kMostChannels = 2048;

template <typename T>
Role role_of(const Step<T>& step, const Shape& result) {
    if (std::holds_alternative<Sum>(step.part)) {
        return result.size() == 3 ? Role::sum : Role::other;
    }
    if (std::holds_alternative<GlobalAverage>(step.part)) return Role::average;
    const auto* chain = std::get_if<Chain<T>>(&step.part);
    if (chain == nullptr || chain->norm || chain->pool) return Role::other;
    const Conv2d& conv = chain->conv.conv;
    const index_t channels = chain->conv.image.c;
    if (conv.groups == 1) {
        const bool fits = conv.window.is_pointwise() && channels <= kMostChannels;
        return fits ? Role::pointwise : Role::other;
    }
    return conv.groups == channels && conv.filters == channels ? Role::depthwise : Role::other;
}

template <typename T>
std::shared_ptr<const Filters<T>> filters_of(const Chain<T>& chain, bool rectify) {
    const Shape4 shape = conv2d_weight_shape(chain.conv.image, chain.conv.conv);
    Epilogue end;
    if (chain.activation) end = {chain.activation->kind, chain.activation->parameter};
    if (rectify) end = {Activation::relu};
    return std::make_shared<const Filters<T>>(chain.conv.weight, chain.conv.bias, shape.n,
                                              shape.image(), end);
}

/// The image that a value is.
Shape4 image_of(const Shape& shape) {
    return {1, shape[0], shape[1], shape[2]};
}

template <typename T>
class Layouts {
  public:
    Layouts(const Plan<T>& plan, const std::vector<Shape>& shapes)
        : plan_(plan),
          shapes_(shapes),
          roles_(plan.steps.size()),
          maker_(plan.values, kNone),
          readers_(plan.values),
          absorbed_(plan.steps.size()),
          is_last_(plan.values),
          converted_(plan.values, kNone) {
        for (std::size_t i = 0; i < plan.steps.size(); ++i) {
            roles_[i] = role_of(plan.steps[i], shapes[plan.steps[i].result]);
            maker_[plan.steps[i].result] = i;
            for (const std::size_t source : plan.steps[i].sources) readers_[source].push_back(i);
        }
        drop_what_does_not_pay();
        result_.values = plan.values;
        for (std::size_t i = 0; i < plan.steps.size(); ++i) join(i);
        for (std::size_t i = 0; i < plan.steps.size(); ++i) emit(i);
        result_.output = is_last_[plan.output] ? value_in(plan.output, false) : plan.output;
    }

    Plan<T> finished() && { return std::move(result_); }

  private:
    static constexpr std::size_t kNone = SIZE_MAX;

    /// Steps that are computed as one: a depthwise convolution and its neighbours, or a 1x1
    /// convolution, and the sum behind it.
    struct Group {
        std::size_t expand = kNone, middle = kNone, project = kNone, sum = kNone;
    };

    bool is_in(std::size_t step) const { return step != kNone && roles_[step] != Role::other; }

    // --- which steps ---

    /// Sets the roles of stretches whose conversions cost more than they save.
    void drop_what_does_not_pay() {
        std::vector<std::size_t> stretch(roles_.size());
        std::iota(stretch.begin(), stretch.end(), std::size_t{0});
        const auto root = [&](std::size_t i) {
            while (stretch[i] != i) i = stretch[i];
            return i;
        };
        for (std::size_t i = 0; i < roles_.size(); ++i) {
            for (const std::size_t source : plan_.steps[i].sources) {
                const std::size_t maker = maker_[source];
                if (is_in(i) && is_in(maker)) stretch[root(maker)] = root(i);
            }
        }
        std::vector<double> gain(roles_.size());
        for (std::size_t i = 0; i < roles_.size(); ++i) {
            if (is_in(i)) gain[root(i)] += gain_of(i);
        }
        std::vector<Role> kept(roles_);
        for (std::size_t i = 0; i < roles_.size(); ++i) {
            if (is_in(i) && gain[root(i)] <= 0) kept[i] = Role::other;
        }
        roles_ = kept;
    }

    /// Elements whose copies a step saves, less those that it costs to change layouts for it.
    double gain_of(std::size_t i) const {
        const Step<T>& step = plan_.steps[i];
        const auto size = [&](std::size_t value) {
            return static_cast<double>(size_of(shapes_[value]));
        };
        double gain = 0;
        for (const std::size_t source : step.sources) {
            if (roles_[i] == Role::pointwise || roles_[i] == Role::depthwise) gain += size(source);
            if (!is_in(maker_[source]) && roles_[i] != Role::depthwise) gain -= kCost * size(source);
        }
        const std::vector<std::size_t>& readers = readers_[step.result];
        const bool leaves = step.result == plan_.output ||
                            std::any_of(readers.begin(), readers.end(),
                                        [&](std::size_t reader) { return !is_in(reader); });
        if (leaves && roles_[i] != Role::average) gain -= kCost * size(step.result);
        return gain;
    }
    static constexpr double kCost = 2;

    // --- which of them together ---

    /// The only step that takes what step i gives, if it has that role and belongs to no group.
    std::size_t only_reader(std::size_t i, Role role) const {
        const std::size_t value = plan_.steps[i].result;
        if (value == plan_.output || readers_[value].size() != 1) return kNone;
        const std::size_t reader = readers_[value][0];
        return roles_[reader] == role && !absorbed_[reader] ? reader : kNone;
    }

    void join(std::size_t i) {
        if (absorbed_[i] || (roles_[i] != Role::depthwise && roles_[i] != Role::pointwise)) return;
        Group group;
        std::size_t last = i;
        if (roles_[i] == Role::pointwise) {
            group.middle = only_reader(i, Role::depthwise);
            (group.middle == kNone ? group.project : group.expand) = i;
        } else {
            group.middle = i;
        }
        if (group.middle != kNone) {
            last = group.middle;
            group.project = only_reader(last, Role::pointwise);
            // A 1x1 convolution in front of another depthwise one goes with that.
            if (group.project != kNone &&
                only_reader(group.project, Role::depthwise) != kNone) {
                group.project = kNone;
            }
        }
        if (group.project != kNone) {
            last = group.project;
            const bool ends = !std::get<Chain<T>>(plan_.steps[last].part).activation;
            if (ends) group.sum = only_reader(last, Role::sum);
        }
        if (group.sum != kNone) last = group.sum;
        for (const std::size_t member : {group.expand, group.middle, group.project, group.sum}) {
            if (member != kNone) absorbed_[member] = true;
        }
        groups_[last] = group;
    }

    // --- the new steps ---

    void emit(std::size_t i) {
        const Step<T>& step = plan_.steps[i];
        const auto group = groups_.find(i);
        if (group != groups_.end()) {
            emit_group(group->second, step.result);
        } else if (absorbed_[i]) {
            return;
        } else if (roles_[i] == Role::sum) {
            const bool rectify = std::get<Sum>(step.part).rectify;
            const index_t size = size_of_last(step.result);
            add_last(step.sources, step.result, sum_of_two<T>({size}, rectify).run);
        } else if (roles_[i] == Role::average) {
            const Shape4 image = std::get<GlobalAverage>(step.part).image;
            result_.steps.push_back({{value_in(step.sources[0], true)},
                                     step.result,
                                     step.size,
                                     [image](const Call<T>& call) {
                                         channels_last::average(call.x[0], batch(image, call.n),
                                                                call.y);
                                     }});
        } else {
            Step<T> same = step;
            for (std::size_t& source : same.sources) source = value_in(source, false);
            result_.steps.push_back(std::move(same));
        }
    }

    const Chain<T>& chain(std::size_t step) const {
        return std::get<Chain<T>>(plan_.steps[step].part);
    }

    void emit_group(const Group& group, std::size_t result) {
        const bool rectify =
            group.sum != kNone && std::get<Sum>(plan_.steps[group.sum].part).rectify;
        const std::size_t first = group.expand != kNone   ? group.expand
                                  : group.middle != kNone ? group.middle
                                                          : group.project;
        std::vector<std::size_t> sources = plan_.steps[first].sources;
        if (group.sum != kNone) {
            const std::vector<std::size_t>& both = plan_.steps[group.sum].sources;
            const bool is_first = both[0] == plan_.steps[group.project].result;
            sources.push_back(both[is_first ? 1 : 0]);
        }
        if (group.middle == kNone) {
            const index_t pixels = chain(group.project).conv.image.plane();
            add_last(sources, result,
                     [pixels, filters = filters_of(chain(group.project), rectify)](
                         const Call<T>& call) {
                         channels_last::pointwise(*filters, call.x[0], call.n * pixels,
                                                  call.x.size() > 1 ? call.x[1] : nullptr, call.y);
                     });
            return;
        }
        const Chain<T>& middle = chain(group.middle);
        Separable<T> layers = {chain(first).conv.image, middle.conv.conv.window};
        if (group.expand != kNone) layers.expand = filters_of(chain(group.expand), false);
        layers.depthwise = filters_of(middle, false);
        if (group.project != kNone) layers.project = filters_of(chain(group.project), rectify);
        layers.from_planes = group.expand == kNone && !is_last_[sources[0]];
        add_last(sources, result,
                 [layers](const Call<T>& call) {
                     channels_last::separable(layers, call.x[0], call.n,
                                              call.x.size() > 1 ? call.x[1] : nullptr, call.y);
                 },
                 layers.from_planes);
    }

    index_t size_of_last(std::size_t value) const {
        const Shape4 image = image_of(shapes_[value]);
        return image.plane() * channels_last::pitch_of<T>(image.c);
    }

    /// A step that gives a value channels last, and takes others so, but perhaps the first.
    void add_last(std::vector<std::size_t> sources, std::size_t result, Run<T> run,
                  bool first_as_is = false) {
        for (std::size_t i = first_as_is ? 1 : 0; i < sources.size(); ++i) {
            sources[i] = value_in(sources[i], true);
        }
        result_.steps.push_back({std::move(sources), result, size_of_last(result), std::move(run)});
        is_last_[result] = true;
    }

    /// The value in one of the layouts, by a step that converts it where it is in the other.
    std::size_t value_in(std::size_t value, bool last) {
        if (is_last_[value] == last) return value;
        if (converted_[value] != kNone) return converted_[value];
        const Shape4 image = image_of(shapes_[value]);
        converted_[value] = result_.values++;
        if (last) {
            result_.steps.push_back({{value},
                                     converted_[value],
                                     size_of_last(value),
                                     [image](const Call<T>& call) {
                                         channels_last::from_planes<T>(
                                             {call.x[0], batch(image, call.n)}, call.y);
                                     }});
        } else {
            result_.steps.push_back({{value},
                                     converted_[value],
                                     image.image(),
                                     [image](const Call<T>& call) {
                                         channels_last::to_planes<T>(
                                             call.x[0], {call.y, batch(image, call.n)});
                                     }});
        }
        return converted_[value];
    }

    const Plan<T>& plan_;
    const std::vector<Shape>& shapes_;
    std::vector<Role> roles_;                        // of the steps
    std::vector<std::size_t> maker_;                 // of the values
    std::vector<std::vector<std::size_t>> readers_;  // of the values
    std::vector<bool> absorbed_;                     // steps that belong to a group
    std::map<std::size_t, Group> groups_;            // by their last steps
    std::vector<bool> is_last_;                      // values made channels last
    std::vector<std::size_t> converted_;             // the same values in the other layout
    Plan<T> result_;
};

}  // namespace

template <typename T>
Plan<T> with_channels_last(const Plan<T>& plan, const std::vector<Shape>& shapes) {
    return Layouts<T>(plan, shapes).finished();
}

template Plan<float> with_channels_last(const Plan<float>&, const std::vector<Shape>&);
template Plan<double> with_channels_last(const Plan<double>&, const std::vector<Shape>&);

}  // namespace pocketcnn::session
