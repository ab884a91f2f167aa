// A helper that sleeps on the caller's core wakes on another, and then may use all its cores again.
#include "runtime/sleeper.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

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

cpu_set_t without(cpu_set_t mask, int core) {
    CPU_CLR(core, &mask);
    return mask;
}

/// What a thread sees of itself when it wakes from a sleep on `core`.
struct Awoken {
    int core;
    cpu_set_t allowed;
};

/// A thread that may use `mask` falls asleep on `core` while the caller keeps clear of it there;
/// before(thread) is called between that and its waking.
template <typename Before>
Awoken wake_beside_busy(int core, const cpu_set_t& mask, const Before& before) {
    Sleeper sleeper;
    std::binary_semaphore asleep{0}, wake{0};
    Awoken awoken{};
    pid_t thread = 0;
    std::thread helper([&] {
        thread = gettid();
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
    before(thread);
    wake.release();
    helper.join();
    return awoken;
}

void nothing(pid_t) {}

TEST(SleeperTest, WakesOnAnotherCoreAndMayUseAllAgain) {
    const cpu_set_t before = allowed();
    const int core = current_core();
    const Awoken awoken = wake_beside_busy(core, before, nothing);
    if (CPU_COUNT(&before) > 1) {
        EXPECT_NE(awoken.core, core);
    }
    EXPECT_TRUE(CPU_EQUAL(&awoken.allowed, &before));
}

TEST(SleeperTest, StaysWhereItMayUseOneCoreOnly) {
    const int core = current_core();
    const Awoken awoken = wake_beside_busy(core, only(core), nothing);
    EXPECT_EQ(awoken.core, core);
    const cpu_set_t one = only(core);
    EXPECT_TRUE(CPU_EQUAL(&awoken.allowed, &one));
}

/// Other code gives the sleeping thread, or all threads, other cores.
TEST(SleeperTest, LeavesAMaskFromOutsideAlone) {
    const cpu_set_t all = allowed();
    if (CPU_COUNT(&all) < 2) GTEST_SKIP() << "there is one core only";
    const int core = current_core();
    const cpu_set_t same_as_moved = without(all, core);
    for (const cpu_set_t& mask : {only(core), same_as_moved}) {
        const Awoken awoken = wake_beside_busy(core, all, [&](pid_t thread) {
            sched_setaffinity(0, sizeof mask, &mask);
            sched_setaffinity(thread, sizeof mask, &mask);
        });
        sched_setaffinity(0, sizeof all, &all);
        EXPECT_TRUE(CPU_EQUAL(&awoken.allowed, &mask));
    }
    const cpu_set_t mask = only(core);
    const Awoken awoken = wake_beside_busy(
        core, all, [&](pid_t thread) { sched_setaffinity(thread, sizeof mask, &mask); });
    EXPECT_TRUE(CPU_EQUAL(&awoken.allowed, &mask));
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
