// How work is cut into tasks: by the size of the problem and never by the number of threads
// (docs/decisions/same-bits.md).
#pragma once

#include <pocketcnn/types.h>

#include <algorithm>

namespace pocketcnn {

/// Tasks that are enough to share: 2, 4, 8 and 16 threads get as many each, and 3 take an eighth
/// longer than they might. Smaller tasks are not worth their buffers, the packing that each of them
/// repeats, or sums of their own. Where sums are kept apart, another number would change the last
/// bits of results.
inline constexpr index_t kEnoughTasks = 16;
/// The same where each task reads or writes so much that half as many cost less.
inline constexpr index_t kEnoughLargeTasks = kEnoughTasks / 2;

/// So many tasks, or if they are few, one more where the number is odd: two threads get as many
/// each.
constexpr index_t even_count(index_t tasks) {
    return tasks > 1 && tasks < kEnoughTasks ? tasks + tasks % 2 : tasks;
}

/// `size` items in `count` consecutive parts, no two of which differ by more than one item.
struct Split {
    index_t size, count;

    /// The fewest parts of at most `most` items.
    static constexpr Split at_most(index_t size, index_t most) {
        return {size, ceil_div(size, most)};
    }
    constexpr index_t begin(index_t part) const { return part * size / count; }
    constexpr index_t end(index_t part) const { return begin(part + 1); }
    constexpr index_t length(index_t part) const { return end(part) - begin(part); }
};

/// The step that takes `size` items, at most `most` at once, in the fewest steps: all of them but
/// the last equal, and that one as little shorter as may be. At least 1.
constexpr index_t even_step(index_t size, index_t most) {
    const index_t steps = std::max<index_t>(1, ceil_div(size, most));
    return std::max<index_t>(1, ceil_div(size, steps));
}

}  // namespace pocketcnn
