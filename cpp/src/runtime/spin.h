// Waiting without giving up the core, for events that come sooner than a thread could sleep and
// wake.
#pragma once

#include <mutex>

namespace pocketcnn {

/// Tells the processor that it waits in a loop.
inline void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

/// Locks a mutex that is held for some hundred nanoseconds at a time. Sleeps only if its owner
/// takes much longer, because the owner has then lost its core.
inline std::unique_lock<std::mutex> lock_soon(std::mutex& mutex) {
    constexpr int patience = 1000;
    std::unique_lock lock(mutex, std::try_to_lock);
    for (int i = 0; i < patience && !lock.owns_lock(); ++i) {
        relax();
        lock.try_lock();
    }
    if (!lock.owns_lock()) lock.lock();
    return lock;
}

}  // namespace pocketcnn
