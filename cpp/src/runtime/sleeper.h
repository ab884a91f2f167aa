// A sleeping helper thread, and the core that it will be woken on. The scheduler wakes a thread on
// the core where it ran last; on a machine of few cores it does not look for an idle one. If the
// caller runs on that core now, the helper waits until the scheduler balances its load: with two
// cores, calls after a pause took as long as with one thread (docs/measurements.md#threads).
#pragma once

#if defined(__linux__)
#include <sched.h>
#include <sys/types.h>

#include <atomic>
#endif

namespace pocketcnn {

#if defined(__linux__)

/// The core the calling thread is on, or -1 if the system does not tell.
int current_core();

class Sleeper {
  public:
    /// To be called by the helper, before it waits and after.
    void going_to_sleep();
    void awake();

    /// To be called before the helper is woken, by a thread that will keep `core` busy. If the
    /// helper sleeps on that core and may use others, it wakes on one of those. Once awake, it has
    /// its former mask again, unless other code has changed the mask in between.
    void keep_clear_of(int core);

  private:
    static constexpr int kAwake = -1;
    static constexpr int kBeingMoved = -2;
    static constexpr int kMoved = -3;

    bool move_aside(int core);
    void move_back() const;
    bool waker_is_aside() const;

    std::atomic<int> state_{kAwake};  // one of these, or the core of a sleeping thread
    pid_t thread_ = 0, waker_ = 0;
    cpu_set_t allowed_{}, aside_{};
};

#else  // left to the scheduler

inline int current_core() {
    return -1;
}

class Sleeper {
  public:
    void going_to_sleep() {}
    void awake() {}
    void keep_clear_of(int) {}
};

#endif

}  // namespace pocketcnn
