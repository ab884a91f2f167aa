// A network's steps with the channels of each pixel together, where that pays.
#pragma once

#include "channels_last/filters.h"
#include "session/layout.h"

namespace pocketcnn::session {

/// Makes plans for different numbers of images, which share the weights.
template <typename T>
class ChannelsLast {
  public:
    /// `shapes` are those of the plan's values.
    ChannelsLast(Plan<T> plan, std::vector<Shape> shapes)
        : plan_(std::move(plan)), shapes_(std::move(shapes)), uses_(plan_) {}

    std::vector<Role> roles(index_t n) const { return roles_of(plan_, shapes_, uses_, n); }

    /// The plan in which the steps have these roles. Sums are rounded in another order than in the
    /// plan that it was made of.
    Plan<T> with(const std::vector<Role>& roles);

  private:
    class Builder;
    using Filters = std::shared_ptr<const channels_last::Filters<T>>;

    Plan<T> plan_;
    std::vector<Shape> shapes_;
    Uses uses_;
    std::map<std::pair<std::size_t, bool>, Filters> filters_;  // of a step; whether it rectifies
};

}  // namespace pocketcnn::session
