// Tasks for rows whose elements all go through an exponential.
#pragma once

#include <pocketcnn/types.h>

#include <algorithm>

#include "runtime/parallel.h"

namespace pocketcnn {

/// Cost of an exponential, relative to copying an element.
inline constexpr double kExponentialCost = 5;

/// Runs body(offset of the row) for every row; a task has about 4096 elements.
template <typename Body>
void for_rows(index_t rows, index_t row_size, Body&& body) {
    const index_t grain = std::max<index_t>(1, 4096 / row_size);
    parallel_ranges(rows, grain, kExponentialCost * static_cast<double>(row_size),
                    [&](index_t row, index_t end) {
                        for (; row < end; ++row) body(row * row_size);
                    });
}

}  // namespace pocketcnn
