// The threads that share a loop: several kinds, one of which is in use.
#pragma once

#include <chrono>

#include "runtime/loop.h"

namespace pocketcnn {

struct Team {
    const char* name;

    /// Works on the job with the calling thread, which is its owner, and with up to job.helpers()
    /// others, fewer where the system refuses threads; returns when nobody works on it any more.
    /// At most `limit` threads, the owner included, may be kept ready for the next job. One call
    /// at a time.
    void (*run)(Job& job, int limit);
};

/// The one in use. Throws std::invalid_argument where POCKETCNN_TEAM names one that is not there.
const Team& active_team();

/// How long to do without the threads that the system refused.
constexpr auto kRetryStarting = std::chrono::seconds(10);

/// Helpers of our own: runtime/team_own.cpp.
extern const Team own_team;
/// OpenMP's: runtime/team_openmp.cpp, where the compiler has OpenMP.
extern const Team openmp_team;

}  // namespace pocketcnn
