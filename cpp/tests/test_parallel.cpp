// parallel_for: every task runs once, exceptions leave tasks, and the child of a fork.
#include "runtime/parallel.h"

#include <gtest/gtest.h>
#include <pocketcnn/linear.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "random.h"
#include "thread_test.h"

#ifdef _OPENMP
#include <omp.h>
#endif
#if !defined(_WIN32)
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace pocketcnn::tests {
namespace {

constexpr double kMuch = 1e9;

class ParallelTest : public TeamTest {};
POCKETCNN_FOR_EVERY_TEAM(ParallelTest);

TEST_P(ParallelTest, EveryTaskOnce) {
    for (const int threads : {1, 2, 3, 8}) {
        set_num_threads(threads);
        for (const index_t count : {0, 1, 2, 7, 8, 9, 1000}) {
            std::vector<std::atomic<int>> calls(count);
            parallel_for(count, kMuch, [&](index_t i) { ++calls[i]; });
            for (const std::atomic<int>& one : calls) EXPECT_EQ(one, 1);
        }
    }
}

/// Each task waits until all have begun, which takes as many threads as tasks.
TEST_P(ParallelTest, UsesTheThreadsItWasGiven) {
    set_num_threads(3);
    std::atomic<int> begun{0};
    std::atomic<bool> met{true};
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    parallel_for(3, kMuch, [&](index_t) {
        ++begun;
        while (begun < 3 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
        if (begun < 3) met = false;
    });
    EXPECT_TRUE(met);
}

TEST_P(ParallelTest, LittleWorkStaysOnTheCallingThread) {
    set_num_threads(3);
    const std::thread::id caller = std::this_thread::get_id();
    parallel_for(100, 1, [&](index_t) { EXPECT_EQ(std::this_thread::get_id(), caller); });
}

TEST_P(ParallelTest, NestedLoopsRunSerially) {
    set_num_threads(2);
    std::atomic<int> calls{0};
    parallel_for(4, kMuch, [&](index_t) {
        EXPECT_EQ(get_num_threads(), 1);
        const std::thread::id outer = std::this_thread::get_id();
        parallel_for(5, kMuch, [&](index_t) {
            EXPECT_EQ(std::this_thread::get_id(), outer);
            ++calls;
        });
        EXPECT_EQ(get_num_threads(), 1);
    });
    EXPECT_EQ(calls, 20);
    EXPECT_EQ(get_num_threads(), 2);
}

/// A loop ends even if its helpers never run: it does not wait for them.
TEST_P(ParallelTest, ManyMoreThreadsThanCores) {
    set_num_threads(64);
    for (int round = 0; round < 200; ++round) {
        std::atomic<int> calls{0};
        parallel_for(70, kMuch, [&](index_t) { ++calls; });
        ASSERT_EQ(calls, 70);
    }
}

TEST_P(ParallelTest, RangesCoverEverything) {
    for (const int threads : {1, 3}) {
        set_num_threads(threads);
        for (const index_t size : {0, 1, 9, 10, 11, 95}) {
            std::vector<std::atomic<int>> calls(size);
            parallel_ranges(size, 10, kMuch, [&](index_t begin, index_t end) {
                EXPECT_EQ(begin % 10, 0);
                EXPECT_LE(end - begin, 10);
                for (index_t i = begin; i < end; ++i) ++calls[i];
            });
            for (const std::atomic<int>& one : calls) EXPECT_EQ(one, 1);
        }
    }
}

TEST_P(ParallelTest, ExceptionsComeOut) {
    for (const int threads : {1, 2, 3, 8}) {
        set_num_threads(threads);
        for (const index_t bad : {0, 5, 99}) {
            try {
                parallel_for(100, kMuch, [&](index_t i) {
                    if (i == bad) throw std::runtime_error("task " + std::to_string(i));
                });
                ADD_FAILURE() << "nothing was thrown";
            } catch (const std::runtime_error& error) {
                EXPECT_EQ(error.what(), "task " + std::to_string(bad));
            }
        }
        EXPECT_THROW(parallel_for(50, kMuch, [](index_t) { throw std::bad_alloc(); }),
                     std::bad_alloc);
        // And the team still works.
        std::atomic<int> calls{0};
        parallel_for(50, kMuch, [&](index_t) { ++calls; });
        EXPECT_EQ(calls, 50);
    }
}

TEST_P(ParallelTest, SetNumThreadsRefusesNonsense) {
    set_num_threads(2);
    for (const int bad :
         {0, -1, 1025, std::numeric_limits<int>::min(), std::numeric_limits<int>::max()}) {
        EXPECT_THROW(set_num_threads(bad), std::invalid_argument);
        EXPECT_EQ(get_num_threads(), 2);
    }
    set_num_threads(1024);
    EXPECT_EQ(get_num_threads(), 1024);
}

TEST_P(ParallelTest, BlocksNestAndOverlapInAnyOrder) {
    set_num_threads(3);
    auto outer = std::make_unique<NumThreads>(5);
    EXPECT_EQ(get_num_threads(), 5);
    auto inner = std::make_unique<NumThreads>(2);
    EXPECT_EQ(get_num_threads(), 2);
    outer.reset();
    EXPECT_EQ(get_num_threads(), 2);
    inner.reset();
    EXPECT_EQ(get_num_threads(), 3);
    EXPECT_THROW(NumThreads(0), std::invalid_argument);
    EXPECT_THROW(NumThreads(1025), std::invalid_argument);
    EXPECT_EQ(get_num_threads(), 3);
}

TEST_P(ParallelTest, ABlocksNumberChangesUntilItEnds) {
    set_num_threads(3);
    {
        const NumThreads block(5);
        set_num_threads(4);
        EXPECT_EQ(get_num_threads(), 4);
    }
    EXPECT_EQ(get_num_threads(), 3);
}

TEST_P(ParallelTest, EachThreadHasItsOwnBlocks) {
    set_num_threads(3);
    const auto elsewhere = [](auto body) { std::thread(body).join(); };
    {
        const NumThreads block(5);
        elsewhere([] {
            EXPECT_EQ(get_num_threads(), 5) << "what was asked for last";
            const NumThreads own(2);
            EXPECT_EQ(get_num_threads(), 2);
        });
        EXPECT_EQ(get_num_threads(), 5);
        elsewhere([] { set_num_threads(4); });
        EXPECT_EQ(get_num_threads(), 5);
        elsewhere([] { EXPECT_EQ(get_num_threads(), 4) << "what was asked for last"; });
    }
    EXPECT_EQ(get_num_threads(), 4);
}

#ifdef _OPENMP
/// threadpoolctl and others limit us through OpenMP.
TEST_P(ParallelTest, ObeysALoweredOpenMpLimit) {
    const int before = omp_get_max_threads();
    if (before == 1) GTEST_SKIP() << "OpenMP has one thread here: its limit cannot be lowered";
    set_num_threads(8);
    omp_set_num_threads(1);
    EXPECT_EQ(get_num_threads(), 1);
    omp_set_num_threads(before);
    EXPECT_EQ(get_num_threads(), 8);
}
#endif

TEST_P(ParallelTest, SeveralCallersAtOnce) {
    set_num_threads(2);
    std::atomic<int> calls{0};
    std::vector<std::thread> callers;
    for (int i = 0; i < 4; ++i) {
        callers.emplace_back([&] {
            for (int round = 0; round < 20; ++round) {
                parallel_for(10, kMuch, [&](index_t) { ++calls; });
            }
        });
    }
    for (std::thread& caller : callers) caller.join();
    EXPECT_EQ(calls, 4 * 20 * 10);
}

#if !defined(_WIN32)
/// The helpers do not survive a fork: the child must not wait for them.
TEST_P(ParallelTest, ChildOfAForkRunsSerially) {
    set_num_threads(3);
    Random random("fork");
    const index_t n = 64, in = 96, out = 80;
    const RandomArray<float> x(random, n * in), weight(random, out * in);
    const Guarded<float> y(n * out), y_of_child(n * out);
    const auto run = [&](const Guarded<float>& result) {
        linear<float>({x.data(), n, in}, {weight.data(), out, in}, nullptr,
                      {result.data(), n, out});
    };
    run(y);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        alarm(20);  // a child that hangs is ended by a signal
        run(y_of_child);
        set_num_threads(5);
        const bool serial = get_num_threads() == 1;
        _exit(serial && y.copy() == y_of_child.copy() ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status)) << "the child hung or crashed";
    EXPECT_EQ(WEXITSTATUS(status), 0);
    EXPECT_EQ(get_num_threads(), 3);
    run(y_of_child);
    EXPECT_EQ(y.copy(), y_of_child.copy());
}
#endif

}  // namespace
}  // namespace pocketcnn::tests
