#include "session/channels_last.h"

#include <algorithm>
#include <numeric>

#include "channels_last/pointwise.h"
#include "channels_last/separable.h"

namespace pocketcnn::session {
namespace {

using channels_last::Filters, channels_last::Separable;

enum class Role { other, pointwise, depthwise, function, sum, gate, average };

enum class Layout { planes, last };

/// Longest sums that are added up one product after the other.
constexpr index_t kMostChannels = 2048;

template <typename T>
Role role_of(const Chain<T>& chain) {
    if (chain.norm || chain.pool) return Role::other;
    const Conv2d& conv = chain.conv.conv;
    const Shape4& image = chain.conv.image;
    if (conv.groups > 1) {
        const bool is_depthwise = conv.groups == image.c && conv.filters == image.c;
        return is_depthwise ? Role::depthwise : Role::other;
    }
    const bool fits = image.plane() > 1 && image.c <= kMostChannels;
    return conv.window.is_pointwise() && fits ? Role::pointwise : Role::other;
}

template <typename T>
Role role_of(const Step<T>& step, const Shape& result) {
    if (const auto* chain = std::get_if<Chain<T>>(&step.part)) return role_of(*chain);
    if (result.size() != 3) return Role::other;
    if (std::holds_alternative<Function>(step.part)) return Role::function;
    if (std::holds_alternative<Sum>(step.part)) return Role::sum;
    if (std::holds_alternative<Gate>(step.part)) return Role::gate;
    return std::holds_alternative<GlobalAverage>(step.part) ? Role::average : Role::other;
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
          layouts_(plan.values, Layout::planes),
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
        result_.output = value_in(plan.output, Layout::planes);
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
            if (!is_in(i)) continue;
            for (const std::size_t source : images_of(i)) {
                const std::size_t maker = maker_[source];
                if (is_in(maker)) stretch[root(maker)] = root(i);
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

    /// The inputs of a step that it takes channels last.
    std::vector<std::size_t> images_of(std::size_t i) const {
        const Step<T>& step = plan_.steps[i];
        const auto* gate = std::get_if<Gate>(&step.part);
        return gate != nullptr ? std::vector{step.sources[1 - gate->numbers]} : step.sources;
    }

    /// Elements whose copies a step saves, less those that it costs to change layouts for it.
    double gain_of(std::size_t i) const {
        const auto size = [&](std::size_t value) {
            return static_cast<double>(size_of(shapes_[value]));
        };
        double gain = 0;
        for (const std::size_t source : images_of(i)) {
            if (roles_[i] == Role::pointwise || roles_[i] == Role::depthwise) gain += size(source);
            const bool takes_planes = roles_[i] == Role::depthwise;
            if (!is_in(maker_[source]) && !takes_planes) gain -= kCost * size(source);
        }
        const std::size_t result = plan_.steps[i].result;
        const std::vector<std::size_t>& readers = readers_[result];
        const bool leaves = result == plan_.output ||
                            std::any_of(readers.begin(), readers.end(),
                                        [&](std::size_t reader) { return !is_in(reader); });
        if (leaves && roles_[i] != Role::average) gain -= kCost * size(result);
        return gain;
    }
    static constexpr double kCost = 3;

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
        if (const auto group = groups_.find(i); group != groups_.end()) {
            emit_group(group->second, step.result);
        } else if (!absorbed_[i] && is_in(i)) {
            emit_alone(step);
        } else if (!absorbed_[i]) {
            Step<T> same = step;
            for (std::size_t& source : same.sources) source = value_in(source, Layout::planes);
            result_.steps.push_back(std::move(same));
        }
    }

    void emit_alone(const Step<T>& step) {
        if (const auto* average = std::get_if<GlobalAverage>(&step.part)) {
            const std::size_t from = value_in(step.sources[0], Layout::last);
            const auto run = [image = average->image](const Call<T>& call) {
                channels_last::average(call.x[0], batch(image, call.n), call.y);
            };
            result_.steps.push_back({{from}, step.result, step.size, run});
        } else if (const auto* gate = std::get_if<Gate>(&step.part)) {
            const std::size_t from = value_in(step.sources[1 - gate->numbers], Layout::last);
            const std::size_t numbers = value_in(step.sources[gate->numbers], Layout::planes);
            add_last({from, numbers}, step.result, [image = gate->image](const Call<T>& call) {
                channels_last::scale(call.x[0], batch(image, call.n), call.x[1], call.y);
            });
        } else {
            std::vector<std::size_t> sources = step.sources;
            for (std::size_t& source : sources) source = value_in(source, Layout::last);
            const auto* function = std::get_if<Function>(&step.part);
            const Shape all = {size_of_last(step.result)};
            add_last(sources, step.result,
                     function != nullptr ? run_of<T>(*function, all)
                                         : sum_of_two<T>(all, std::get<Sum>(step.part).rectify).run);
        }
    }

    const Chain<T>& chain(std::size_t step) const {
        return std::get<Chain<T>>(plan_.steps[step].part);
    }

    void emit_group(const Group& group, std::size_t result) {
        const std::size_t first = group.expand != kNone   ? group.expand
                                  : group.middle != kNone ? group.middle
                                                          : group.project;
        const std::size_t source = plan_.steps[first].sources[0];
        const bool from_planes = first == group.middle && layouts_[source] == Layout::planes;
        std::vector<std::size_t> sources = {from_planes ? source : value_in(source, Layout::last)};
        bool rectify = false;
        if (group.sum != kNone) {
            const Step<T>& sum = plan_.steps[group.sum];
            const bool is_first = sum.sources[0] == plan_.steps[group.project].result;
            sources.push_back(value_in(sum.sources[is_first ? 1 : 0], Layout::last));
            rectify = std::get<Sum>(sum.part).rectify;
        }
        std::shared_ptr<const Filters<T>> project;
        if (group.project != kNone) project = filters_of(chain(group.project), rectify);
        const Shape4 image = chain(first).conv.image;
        if (group.middle == kNone) {
            add_last(sources, result, [project, plane = image.plane()](const Call<T>& call) {
                channels_last::pointwise(*project, call.x[0], call.n * plane, addend_of(call),
                                         call.y);
            });
            return;
        }
        const Chain<T>& middle = chain(group.middle);
        Separable<T> layers = {image, middle.conv.conv.window};
        if (group.expand != kNone) layers.expand = filters_of(chain(group.expand), false);
        layers.depthwise = filters_of(middle, false);
        layers.project = project;
        layers.from_planes = from_planes;
        add_last(sources, result, [layers](const Call<T>& call) {
            channels_last::separable(layers, call.x[0], call.n, addend_of(call), call.y);
        });
    }

    static const T* addend_of(const Call<T>& call) {
        return call.x.size() > 1 ? call.x[1] : nullptr;
    }

    index_t size_of_last(std::size_t value) const {
        const Shape4 image = image_of(shapes_[value]);
        return image.plane() * channels_last::pitch_of<T>(image.c);
    }

    void add_last(std::vector<std::size_t> sources, std::size_t result, Run<T> run) {
        result_.steps.push_back({std::move(sources), result, size_of_last(result), std::move(run)});
        layouts_[result] = Layout::last;
    }

    /// The value in a layout, by a step that converts it where it is in the other.
    std::size_t value_in(std::size_t value, Layout layout) {
        if (layouts_[value] == layout) return value;
        if (converted_[value] != kNone) return converted_[value];
        const Shape4 image = image_of(shapes_[value]);
        const auto to_last = [image](const Call<T>& call) {
            channels_last::from_planes<T>({call.x[0], batch(image, call.n)}, call.y);
        };
        const auto to_planes = [image](const Call<T>& call) {
            channels_last::to_planes<T>(call.x[0], {call.y, batch(image, call.n)});
        };
        const std::size_t other = converted_[value] = result_.values++;
        if (layout == Layout::last) {
            result_.steps.push_back({{value}, other, size_of_last(value), to_last});
        } else {
            result_.steps.push_back({{value}, other, image.image(), to_planes});
        }
        return other;
    }

    const Plan<T>& plan_;
    const std::vector<Shape>& shapes_;
    std::vector<Role> roles_;                        // of the steps
    std::vector<std::size_t> maker_;                 // of the values
    std::vector<std::vector<std::size_t>> readers_;  // of the values
    std::vector<bool> absorbed_;                     // steps that belong to a group
    std::map<std::size_t, Group> groups_;            // by their last steps
    std::vector<Layout> layouts_;                    // in which the values are made
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
