#include "session/channels_last.h"

#include "channels_last/convolve.h"
#include "channels_last/maps.h"
#include "channels_last/separable.h"
#include "channels_last/tiles.h"

namespace pocketcnn::session {
namespace {

enum class Layout { planes, last };

/// The image that a value is.
Shape4 image_of(const Shape& shape) {
    return {1, shape[0], shape[1], shape[2]};
}

/// A window that gives as many results without ceil mode.
Window2d without_ceil_mode(const Shape4& image, const Pool2d& pool) {
    const Shape4 out = pool2d_output_shape(image, pool);
    Window2d window = pool.window;
    window.pad_bottom = (out.h - 1) * window.stride_h + window.span_h() - image.h - window.pad_top;
    window.pad_right = (out.w - 1) * window.stride_w + window.span_w() - image.w - window.pad_left;
    return window;
}

/// Whether tiles may do the pooling behind a convolution.
template <typename T>
bool may_pool(const Chain<T>& chain) {
    const Pool2d& pool = chain.pool->pool;
    const Window2d square = Window2d::square(2, 2);
    const Shape4 maps = conv2d_output_shape(chain.conv.image, chain.conv.conv);
    return channels_last::may_pool(chain.conv.conv) && pool.window == square &&
           pool2d_output_shape(maps, pool).plane() == (maps.h / 2) * (maps.w / 2);
}

template <typename T>
const T* addend_of(const Call<T>& call) {
    return call.x.size() > 1 ? call.x[1] : nullptr;
}

}  // namespace

template <typename T>
class ChannelsLast<T>::Builder {
  public:
    Builder(ChannelsLast& from, const std::vector<Role>& roles)
        : from_(from),
          plan_(from.plan_),
          roles_(roles),
          absorbed_(roles.size()),
          layouts_(plan_.values, Layout::planes),
          converted_(plan_.values, Uses::kNone) {
        made_.values = plan_.values;
        for (std::size_t i = 0; i < roles_.size(); ++i) join(i);
        for (std::size_t i = 0; i < roles_.size(); ++i) emit(i);
        made_.output = value_in(plan_.output, Layout::planes);
    }

    Plan<T> finished() && { return std::move(made_); }

  private:
    static constexpr std::size_t kNone = Uses::kNone;

    /// Steps that are computed as one: a depthwise convolution and the 1x1 convolutions beside it,
    /// or another convolution, and the sum behind.
    struct Group {
        std::size_t expand = kNone, depthwise = kNone, last = kNone, sum = kNone;

        std::size_t first() const {
            return expand != kNone ? expand : depthwise != kNone ? depthwise : last;
        }
    };

    // --- which steps together ---

    /// The only step that takes what step i gives, if it has that role and belongs to no group.
    std::size_t only_reader(std::size_t i, Role role) const {
        const std::size_t value = plan_.steps[i].result;
        const std::vector<std::size_t>& readers = from_.uses_.readers[value];
        if (value == plan_.output || readers.size() != 1) return kNone;
        return roles_[readers[0]] == role && !absorbed_[readers[0]] ? readers[0] : kNone;
    }

    void join(std::size_t i) {
        if (absorbed_[i]) return;
        Group group;
        if (roles_[i] == Role::pointwise) {
            group.depthwise = only_reader(i, Role::depthwise);
            (group.depthwise == kNone ? group.last : group.expand) = i;
        } else if (roles_[i] == Role::depthwise) {
            group.depthwise = i;
        } else if (roles_[i] == Role::dense || roles_[i] == Role::tiles) {
            group.last = i;
        } else {
            return;
        }
        if (group.depthwise != kNone) {
            group.last = only_reader(group.depthwise, Role::pointwise);
            // A 1x1 convolution in front of another depthwise one goes with that.
            if (group.last != kNone && only_reader(group.last, Role::depthwise) != kNone) {
                group.last = kNone;
            }
        }
        if (group.last != kNone && !chain(group.last).activation && !chain(group.last).pool) {
            group.sum = only_reader(group.last, Role::sum);
        }
        std::size_t end = i;
        for (const std::size_t member : {group.expand, group.depthwise, group.last, group.sum}) {
            if (member == kNone) continue;
            absorbed_[member] = true;
            end = member;
        }
        groups_[end] = group;
    }

    const Chain<T>& chain(std::size_t step) const {
        return std::get<Chain<T>>(plan_.steps[step].part);
    }

    // --- the new steps ---

    void emit(std::size_t i) {
        const Step<T>& step = plan_.steps[i];
        if (const auto group = groups_.find(i); group != groups_.end()) {
            emit_group(group->second, step.result);
        } else if (absorbed_[i]) {
            return;
        } else if (roles_[i] == Role::other) {
            Step<T> same = step;
            for (std::size_t& source : same.sources) source = value_in(source, Layout::planes);
            made_.steps.push_back(std::move(same));
        } else {
            emit_alone(step, roles_[i]);
        }
    }

    void emit_alone(const Step<T>& step, Role role) {
        std::vector<std::size_t> sources;
        const auto* gate = std::get_if<Gate>(&step.part);
        for (std::size_t i = 0; i < step.sources.size(); ++i) {
            const bool numbers = gate != nullptr && gate->numbers == i;
            sources.push_back(value_in(step.sources[i], numbers ? Layout::planes : Layout::last));
        }
        if (role == Role::average) {
            const auto run = [image =
                                  std::get<GlobalAverage>(step.part).image](const Call<T>& call) {
                channels_last::average(call.x[0], batch(image, call.n), call.y);
            };
            made_.steps.push_back({sources, step.result, step.size, run});
        } else {
            add(sources, step.result, size_of_last(step.result), run_alone(step));
        }
    }

    Run<T> run_alone(const Step<T>& step) const {
        const Shape all = {size_of_last(step.result)};
        if (const auto* function = std::get_if<Function>(&step.part)) {
            return run_of<T>(*function, all);
        }
        if (const auto* sum = std::get_if<Sum>(&step.part)) {
            return sum_of_two<T>(all, sum->rectify).run;
        }
        if (const auto* pool = std::get_if<BlockPool>(&step.part)) {
            return run_of_pool(image_of(from_.shapes_[step.sources[0]]), pool->pool);
        }
        const Gate gate = std::get<Gate>(step.part);
        return [gate](const Call<T>& call) {
            channels_last::scale(call.x[1 - gate.numbers], batch(gate.image, call.n),
                                 call.x[gate.numbers], call.y);
        };
    }

    static Run<T> run_of_pool(const Shape4& image, const Pool2d& pool) {
        return [image, window = without_ceil_mode(image, pool)](const Call<T>& call) {
            channels_last::max_pool(call.x[0], image, call.n, window, call.y);
        };
    }

    void emit_group(const Group& group, std::size_t result) {
        const std::size_t source = plan_.steps[group.first()].sources[0];
        const Shape4 image = chain(group.first()).conv.image;
        const Role role = roles_[group.first()];
        const bool from_planes = takes_planes(role) && layouts_[source] == Layout::planes;
        std::vector<std::size_t> sources = {from_planes ? source : value_in(source, Layout::last)};
        bool rectify = false;
        if (group.sum != kNone) {
            const Step<T>& sum = plan_.steps[group.sum];
            const bool is_first = sum.sources[0] == plan_.steps[group.last].result;
            sources.push_back(value_in(sum.sources[is_first ? 1 : 0], Layout::last));
            rectify = std::get<Sum>(sum.part).rectify;
        }
        if (role == Role::tiles) {
            return emit_tiles(chain(group.last), rectify, from_planes, sources, result);
        }
        const Filters last = group.last == kNone ? nullptr : filters(group.last, rectify);
        if (group.depthwise != kNone) {
            const Filters expand = group.expand == kNone ? nullptr : filters(group.expand, false);
            const channels_last::Separable<T> layers = {
                image,  chain(group.depthwise).conv.conv.window,
                expand, filters(group.depthwise, false),
                last,   from_planes};
            add(sources, result, size_of_last(result), [layers](const Call<T>& call) {
                channels_last::separable(layers, call.x[0], call.n, addend_of(call), call.y);
            });
        } else if (roles_[group.last] == Role::pointwise) {
            add(sources, result, size_of_last(result),
                [last, plane = image.plane()](const Call<T>& call) {
                    channels_last::pointwise(*last, call.x[0], call.n * plane, addend_of(call),
                                             call.y);
                });
        } else {
            emit_dense(chain(group.last), last, sources, result);
        }
    }

    void emit_tiles(const Chain<T>& chain, bool rectify, bool from_planes,
                    const std::vector<std::size_t>& sources, std::size_t result) {
        const bool to_planes = sources.size() == 1 && may_give_planes(chain) && !is_read(result);
        const bool pools = chain.pool && may_pool(chain);
        const auto run = [conv = chain.conv,
                          end = rectify ? Epilogue{Activation::relu} : epilogue_of(chain),
                          from_planes, to_planes, pools](const Call<T>& call) {
            const channels_last::TiledConvolution<T> layer = {
                conv.image, conv.conv,   conv.weight, conv.bias, conv.kept.get(),
                end,        from_planes, to_planes,   pools};
            channels_last::convolve(layer, call.x[0], call.n, addend_of(call), call.y);
        };
        if (to_planes) {
            made_.steps.push_back({sources, result, size_of(from_.shapes_[result]), run});
        } else if (pools) {
            add(sources, result, size_of_last(result), run);
        } else {
            add_convolved(chain, sources, result, run);
        }
    }

    /// Whether a step takes the value with its channels together.
    bool is_read(std::size_t value) const {
        const std::vector<std::size_t>& readers = from_.uses_.readers[value];
        return std::any_of(readers.begin(), readers.end(),
                           [&](std::size_t reader) { return roles_[reader] != Role::other; });
    }

    void emit_dense(const Chain<T>& chain, const Filters& filters,
                    const std::vector<std::size_t>& sources, std::size_t result) {
        const channels_last::Convolution<T> layer = {chain.conv.image, chain.conv.conv.window,
                                                     filters};
        add_convolved(chain, sources, result, [layer](const Call<T>& call) {
            channels_last::convolve(layer, call.x[0], call.n, addend_of(call), call.y);
        });
    }

    /// A convolution, and the pooling behind it as a step of its own.
    void add_convolved(const Chain<T>& chain, const std::vector<std::size_t>& sources,
                       std::size_t result, Run<T> run) {
        const Shape4 maps = conv2d_output_shape(chain.conv.image, chain.conv.conv);
        const index_t size = maps.plane() * channels_last::pitch_of<T>(maps.c);
        const std::size_t convolved = chain.pool ? made_.values++ : result;
        add(sources, convolved, size, std::move(run));
        if (chain.pool) {
            add({convolved}, result, size_of_last(result), run_of_pool(maps, chain.pool->pool));
        }
    }

    Filters filters(std::size_t step, bool rectify) {
        Filters& known = from_.filters_[{step, rectify}];
        if (known == nullptr) {
            const Chain<T>& of = chain(step);
            const Epilogue end = rectify ? Epilogue{Activation::relu} : epilogue_of(of);
            known =
                channels_last::filters_of(of.conv.weight, of.conv.bias,
                                          conv2d_weight_shape(of.conv.image, of.conv.conv), end);
        }
        return known;
    }

    index_t size_of_last(std::size_t value) const {
        const Shape4 image = image_of(from_.shapes_[value]);
        return image.plane() * channels_last::pitch_of<T>(image.c);
    }

    /// A step whose result has its channels together.
    void add(std::vector<std::size_t> sources, std::size_t result, index_t size, Run<T> run) {
        made_.steps.push_back({std::move(sources), result, size, std::move(run)});
        if (result < layouts_.size()) layouts_[result] = Layout::last;
    }

    /// The value in a layout, by a step that converts it where it is in the other.
    std::size_t value_in(std::size_t value, Layout layout) {
        if (layouts_[value] == layout) return value;
        if (converted_[value] != kNone) return converted_[value];
        const Shape4 image = image_of(from_.shapes_[value]);
        const auto to_last = [image](const Call<T>& call) {
            channels_last::from_planes<T>({call.x[0], batch(image, call.n)}, call.y);
        };
        const auto to_planes = [image](const Call<T>& call) {
            channels_last::to_planes<T>(call.x[0], {call.y, batch(image, call.n)});
        };
        const std::size_t other = converted_[value] = made_.values++;
        if (layout == Layout::last) {
            made_.steps.push_back({{value}, other, size_of_last(value), to_last});
        } else {
            made_.steps.push_back({{value}, other, image.image(), to_planes});
        }
        return other;
    }

    ChannelsLast& from_;
    const Plan<T>& plan_;
    const std::vector<Role>& roles_;
    std::vector<bool> absorbed_;           // steps that belong to a group
    std::map<std::size_t, Group> groups_;  // by their last steps
    std::vector<Layout> layouts_;          // in which the values are made
    std::vector<std::size_t> converted_;   // the same values in the other layout
    Plan<T> made_;
};

template <typename T>
Plan<T> ChannelsLast<T>::with(const std::vector<Role>& roles) {
    return Builder(*this, roles).finished();
}

template class ChannelsLast<float>;
template class ChannelsLast<double>;

}  // namespace pocketcnn::session
