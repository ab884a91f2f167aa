#include "runtime/sleeper.h"

#include <unistd.h>

namespace pocketcnn {

int current_core() {
    return sched_getcpu();
}

void Sleeper::going_to_sleep() {
    if (thread_ == 0) thread_ = gettid();
    state_ = sched_getcpu();
}

void Sleeper::awake() {
    int state = state_;
    while (state == kBeingMoved || !state_.compare_exchange_weak(state, kAwake)) state = state_;
    if (state == kMoved) move_back();
}

void Sleeper::keep_clear_of(int core) {
    int asleep_there = core;
    if (core < 0 || !state_.compare_exchange_strong(asleep_there, kBeingMoved)) return;
    state_ = move_aside(core) ? kMoved : core;
}

bool Sleeper::move_aside(int core) {
    if (sched_getaffinity(thread_, sizeof allowed_, &allowed_) != 0) return false;
    waker_ = gettid();
    aside_ = allowed_;
    CPU_CLR(core, &aside_);
    return CPU_COUNT(&aside_) > 0 && sched_setaffinity(thread_, sizeof aside_, &aside_) == 0;
}

/// If the mask is not the one that the helper was moved with, other code has set it. If it is the
/// same, it may have been set for the whole process. Then the waking thread has it too; it did not
/// have it when it ran on the core that was left out.
void Sleeper::move_back() const {
    cpu_set_t now;
    if (sched_getaffinity(0, sizeof now, &now) != 0 || !CPU_EQUAL(&now, &aside_)) return;
    if (waker_is_aside()) return;
    sched_setaffinity(0, sizeof allowed_, &allowed_);
    // It may have been set for the process since we asked.
    if (waker_is_aside()) sched_setaffinity(0, sizeof aside_, &aside_);
}

bool Sleeper::waker_is_aside() const {
    cpu_set_t wakers;
    return sched_getaffinity(waker_, sizeof wakers, &wakers) == 0 && CPU_EQUAL(&wakers, &aside_);
}

}  // namespace pocketcnn
