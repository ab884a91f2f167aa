#include "runtime/sleeper.h"

#include <unistd.h>

namespace pocketcnn {

#ifdef __linux__

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
    if (state == kMoved) sched_setaffinity(0, sizeof allowed_, &allowed_);
}

void Sleeper::keep_clear_of(int core) {
    int asleep_there = core;
    if (core < 0 || !state_.compare_exchange_strong(asleep_there, kBeingMoved)) return;
    bool moved = false;
    if (sched_getaffinity(thread_, sizeof allowed_, &allowed_) == 0) {
        cpu_set_t others = allowed_;
        CPU_CLR(core, &others);
        moved = CPU_COUNT(&others) > 0 && sched_setaffinity(thread_, sizeof others, &others) == 0;
    }
    state_ = moved ? kMoved : core;
}

#else  // the scheduler's business

int current_core() {
    return -1;
}

void Sleeper::going_to_sleep() {}
void Sleeper::awake() {}
void Sleeper::keep_clear_of(int) {}

#endif

}  // namespace pocketcnn
