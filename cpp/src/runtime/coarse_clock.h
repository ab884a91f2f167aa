// A clock that takes only some nanoseconds to read and advances every few milliseconds.
#pragma once

#include <time.h>

#include <chrono>

namespace pocketcnn {

/// Time since some fixed moment; never goes back.
inline std::chrono::nanoseconds coarse_now() {
#ifdef CLOCK_MONOTONIC_COARSE
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
#else
    return std::chrono::steady_clock::now().time_since_epoch();
#endif
}

}  // namespace pocketcnn
