// What OMP_NUM_THREADS says.
#pragma once

#include <string>
#include <string_view>

namespace pocketcnn {

struct ThreadsVariable {
    int threads = 0;        ///< at most kMaxThreads; 0 if the value is unusable
    std::string complaint;  ///< a sentence for the user, or empty
};

/// A number, or, as in OpenMP, a list of numbers for nested regions, of which the first counts.
ThreadsVariable read_threads_variable(std::string_view value);

}  // namespace pocketcnn
