// The threads that share a loop. There are several kinds of teams; one is in use.
#pragma once

#include <chrono>

#include "runtime/loop.h"

namespace pocketcnn {

struct Team {
    const char* name;

    /// Runs the job on the calling thread, its owner, and on up to job.helpers() others (fewer if
    /// the system refuses threads). Returns when no thread works on it any more. At most `limit`
    /// threads, including the owner, may be kept ready for the next job. One call at a time.
    void (*run)(Job& job, int limit);
};

/// The one in use. Throws std::invalid_argument if POCKETCNN_TEAM names a team that this build
/// lacks.
const Team& active_team();

/// How long to wait before asking again for threads that the system refused.
constexpr auto kRetryStarting = std::chrono::seconds(10);

/// Helpers of our own: runtime/team_own.cpp.
extern const Team own_team;
/// OpenMP's: runtime/team_openmp.cpp, where the compiler has OpenMP.
extern const Team openmp_team;

}  // namespace pocketcnn
