// A long loop ends when its owner's scope says so, on every thread, and nothing is left behind.
#include "runtime/interrupt.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <thread>

#include "runtime/parallel.h"
#include "thread_test.h"

namespace pocketcnn::tests {
namespace {

constexpr double kMuch = 1e12;

class InterruptTest : public TeamTest {
  protected:
    /// Runs long tasks until they are stopped at the owner's `stop_at`-th question.
    void run(int threads, int stop_at) {
        set_num_threads(threads);
        asked_ = 0;
        stop_at_ = stop_at;
        const auto ask = [](void* self) {
            auto& test = *static_cast<InterruptTest*>(self);
            EXPECT_EQ(std::this_thread::get_id(), test.owner_);
            return ++test.asked_ == test.stop_at_;
        };
        const InterruptScope scope(ask, this);
        parallel_for(100000, kMuch, [&](index_t) {
            ++begun_;
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        });
    }

    std::thread::id owner_ = std::this_thread::get_id();
    int asked_ = 0, stop_at_ = 0;
    std::atomic<int> begun_{0};
};
POCKETCNN_FOR_EVERY_TEAM(InterruptTest);

TEST_P(InterruptTest, EndsALoop) {
    for (const int threads : {1, 3}) {
        begun_ = 0;
        EXPECT_THROW(run(threads, 2), Interrupted);
        EXPECT_EQ(asked_, 2);
        EXPECT_GT(begun_, 0);
        EXPECT_LT(begun_, 100000);
    }
}

TEST_P(InterruptTest, TheTeamWorksAfterwards) {
    EXPECT_THROW(run(3, 1), Interrupted);
    std::atomic<int> calls{0};
    parallel_for(50, kMuch, [&](index_t) { ++calls; });
    EXPECT_EQ(calls, 50);
    heed_interrupt();  // outside any scope
}

/// A task may itself be long: it asks while it runs, and tasks of helpers learn of it.
TEST_P(InterruptTest, EndsTasksFromWithin) {
    set_num_threads(2);
    const auto ask = [](void*) { return true; };
    const InterruptScope scope(ask, nullptr);
    std::atomic<int> ended{0};
    const auto endless = [&](index_t) {
        try {
            for (;;) heed_interrupt();
        } catch (const Interrupted&) {
            ++ended;
            throw;
        }
    };
    EXPECT_THROW(parallel_for(2, kMuch, endless), Interrupted);
    EXPECT_GE(ended, 1);
}

TEST_P(InterruptTest, OtherThreadsGoOn) {
    set_num_threads(1);
    std::atomic<bool> stopped{false};
    std::atomic<int> calls{0};
    std::thread other([&] {
        const auto never = [](void*) { return false; };
        const InterruptScope scope(never, nullptr);
        while (!stopped) parallel_for(10, kMuch, [&](index_t) { std::this_thread::yield(); });
        parallel_for(10, kMuch, [&](index_t) { ++calls; });
    });
    EXPECT_THROW(run(1, 1), Interrupted);
    stopped = true;
    other.join();
    EXPECT_EQ(calls, 10);
}

/// For example the handler of a signal.
TEST_P(InterruptTest, WhoIsAskedMayCallOperations) {
    for (const int threads : {1, 3}) {
        set_num_threads(threads);
        std::atomic<int> calls{0};
        const auto ask = [](void* count) {
            const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(150);
            while (std::chrono::steady_clock::now() < end) {
                parallel_for(10, kMuch, [&](index_t) { ++*static_cast<std::atomic<int>*>(count); });
            }
            return true;
        };
        const InterruptScope scope(ask, &calls);
        const auto nap = [](index_t) { std::this_thread::sleep_for(std::chrono::milliseconds(1)); };
        EXPECT_THROW(parallel_for(100000, kMuch, nap), Interrupted);
        EXPECT_GE(calls, 10);
    }
}

TEST_P(InterruptTest, AnInnerScopeHidesTheOuterOne) {
    const auto always = [](void*) { return true; };
    const auto never = [](void*) { return false; };
    const auto wait = [] {
        const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(300);
        while (std::chrono::steady_clock::now() < end) heed_interrupt();
    };
    const InterruptScope outer(always, nullptr);
    {
        const InterruptScope inner(never, nullptr);
        EXPECT_NO_THROW(wait());
    }
    EXPECT_THROW(wait(), Interrupted);
    EXPECT_THROW(heed_interrupt(), Interrupted);  // a stopped scope stays stopped
}

}  // namespace
}  // namespace pocketcnn::tests
