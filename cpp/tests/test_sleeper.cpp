// A helper asleep on the caller's core wakes on another and may use all its cores again.
#include "runtime/sleeper.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <semaphore>
#include <thread>

namespace pocketcnn::tests {
namespace {

cpu_set_t allowed() {
    cpu_set_t mask;
    EXPECT_EQ(sched_getaffinity(0, sizeof mask, &mask), 0);
    return mask;
}

cpu_set_t only(int core) {
    cpu_set_t mask;
    CPU_ZERO(&mask);
    CPU_SET(core, &mask);
    return mask;
}

/// What a thread sees of itself when it wakes from a sleep on `core`.
struct Awoken {
    int core;
    cpu_set_t allowed;
};

/// A thread that may use `mask` falls asleep on `core` while the caller keeps clear of it there.
Awoken wake_beside_busy(int core, const cpu_set_t& mask) {
    Sleeper sleeper;
    std::binary_semaphore asleep{0}, wake{0};
    Awoken awoken{};
    std::thread helper([&] {
        const cpu_set_t here = only(core);
        sched_setaffinity(0, sizeof here, &here);
        sleeper.going_to_sleep();
        sched_setaffinity(0, sizeof mask, &mask);
        asleep.release();
        wake.acquire();
        awoken.core = sched_getcpu();
        sleeper.awake();
        awoken.allowed = allowed();
    });
    asleep.acquire();
    sleeper.keep_clear_of(core);
    wake.release();
    helper.join();
    return awoken;
}

TEST(SleeperTest, WakesOnAnotherCoreAndMayUseAllAgain) {
    const cpu_set_t before = allowed();
    const int core = current_core();
    const Awoken awoken = wake_beside_busy(core, before);
    if (CPU_COUNT(&before) > 1) {
        EXPECT_NE(awoken.core, core);
    }
    EXPECT_TRUE(CPU_EQUAL(&awoken.allowed, &before));
}

TEST(SleeperTest, StaysWhereItMayUseOneCoreOnly) {
    const int core = current_core();
    const Awoken awoken = wake_beside_busy(core, only(core));
    EXPECT_EQ(awoken.core, core);
    const cpu_set_t one = only(core);
    EXPECT_TRUE(CPU_EQUAL(&awoken.allowed, &one));
}

TEST(SleeperTest, AThreadThatIsAwakeIsLeftAlone) {
    Sleeper sleeper;
    const cpu_set_t before = allowed();
    sleeper.keep_clear_of(current_core());
    sleeper.going_to_sleep();
    sleeper.awake();
    sleeper.keep_clear_of(current_core());
    const cpu_set_t after = allowed();
    EXPECT_TRUE(CPU_EQUAL(&after, &before));
}

}  // namespace
}  // namespace pocketcnn::tests
