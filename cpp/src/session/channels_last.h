// Which steps of a network are computed with the channels of a pixel together.
#pragma once

#include "session/fusion.h"

namespace pocketcnn::session {

/// The plan with stretches of 1x1 and depthwise convolutions, and of what lies between them,
/// computed in that layout where this saves more than the change of layouts costs. `shapes` are
/// those of the plan's values. Sums are then rounded in another order.
template <typename T>
Plan<T> with_channels_last(const Plan<T>& plan, const std::vector<Shape>& shapes);

}  // namespace pocketcnn::session
