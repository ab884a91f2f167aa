// The sums that tasks kept apart, added up.
#pragma once

#include "runtime/isa.h"
#include "runtime/parallel.h"

namespace pocketcnn {

/// to += each of `count` arrays of `size` elements that follow each other, the first one first.
template <typename T>
void add_in_order(index_t count, index_t size, const T* arrays, T* to) {
    constexpr index_t grain = 4096;
    const auto add = kernels<T>().elementwise.add;
    parallel_ranges(size, grain, static_cast<double>(count), [&](index_t begin, index_t end) {
        for (index_t i = 0; i < count; ++i) {
            add(end - begin, arrays + i * size + begin, to + begin);
        }
    });
}

}  // namespace pocketcnn
