// In which layout the steps of a network are computed: images as planes, one after the other, or
// with the channels of each pixel together ("channels last").
#pragma once

#include "session/fusion.h"

namespace pocketcnn::session {

/// What a step is with the channels of a pixel together; `other` takes and gives planes.
enum class Role { other, pointwise, tiles, dense, depthwise, pool, function, sum, gate, average };

/// Which steps take and make the values of a plan.
struct Uses {
    template <typename T>
    explicit Uses(const Plan<T>& plan) : maker(plan.values, kNone), readers(plan.values) {
        for (std::size_t i = 0; i < plan.steps.size(); ++i) {
            maker[plan.steps[i].result] = i;
            for (const std::size_t source : plan.steps[i].sources) readers[source].push_back(i);
        }
    }

    static constexpr std::size_t kNone = SIZE_MAX;
    std::vector<std::size_t> maker;                 ///< kNone for the network's input
    std::vector<std::vector<std::size_t>> readers;  ///< one that takes a value twice is there twice
};

/// The roles of a plan's steps for n images at a time: `other` also where the change of layouts
/// would cost more than the layout saves. `shapes` are those of the values.
template <typename T>
std::vector<Role> roles_of(const Plan<T>& plan, const std::vector<Shape>& shapes, const Uses& uses,
                           index_t n);

/// Whether a step may take planes although it gives channels together.
inline bool takes_planes(Role role) {
    return role == Role::depthwise || role == Role::tiles;
}

/// What is done with the sums of a convolution.
template <typename T>
Epilogue epilogue_of(const Chain<T>& chain) {
    if (!chain.activation) return {};
    return {chain.activation->kind, chain.activation->parameter};
}

/// Whether tiles may write the results of a convolution as planes.
template <typename T>
bool may_give_planes(const Chain<T>& chain) {
    return !chain.pool && (!chain.activation || chain.activation->kind == Activation::relu);
}

}  // namespace pocketcnn::session
