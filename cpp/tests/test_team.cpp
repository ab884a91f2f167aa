// The choice of the team, and what a team must handle: other numbers of threads, forks, other users
// of OpenMP.
#include <gtest/gtest.h>
#include <pocketcnn/runtime.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>

#include "runtime/parallel.h"
#include "thread_test.h"

#if !defined(_WIN32)
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace pocketcnn::tests {
namespace {

constexpr double kMuch = 1e9;

TEST(TeamChoice, OwnIsInEveryBuild) {
    const std::vector<std::string> names = team_names();
    EXPECT_NE(std::find(names.begin(), names.end(), "own"), names.end());
}

TEST(TeamChoice, RefusesUnknownTeams) {
    const std::string before(team());
    for (const char* name : {"", "nonsense", "OpenMP", "open", "own "}) {
        try {
            use_team(name);
            ADD_FAILURE() << "'" << name << "' was taken";
        } catch (const std::invalid_argument& error) {
            const std::string message = error.what();
            EXPECT_NE(message.find("team is '" + std::string(name) + "'"), std::string::npos);
            EXPECT_NE(message.find("own"), std::string::npos) << message;
        }
        EXPECT_EQ(team(), before);
    }
}

class UnderTeamTest : public TeamTest {};
POCKETCNN_FOR_EVERY_TEAM(UnderTeamTest);

TEST_P(UnderTeamTest, IsWhatWasAskedFor) {
    EXPECT_EQ(team(), GetParam());
}

#if defined(__linux__)
/// Linux gives a number anew only long after the thread's end.
pid_t this_thread() {
    return gettid();
}
#else
std::thread::id this_thread() {
    return std::this_thread::get_id();
}
#endif
using Threads = std::set<decltype(this_thread())>;

/// Each of `count` tasks waits until all have begun; the threads that ran them.
Threads threads_of(int count) {
    std::atomic<int> begun{0};
    std::mutex mutex;
    Threads threads;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    parallel_for(count, kMuch, [&](index_t) {
        ++begun;
        while (begun < count && std::chrono::steady_clock::now() < deadline) {
            std::this_thread::yield();
        }
        const std::lock_guard lock(mutex);
        threads.insert(this_thread());
    });
    return threads;
}

TEST_P(UnderTeamTest, TheNumberOfThreadsGoesUpAndDown) {
    for (const int threads : {2, 6, 3, 1, 4, 2}) {
        set_num_threads(threads);
        EXPECT_EQ(threads_of(threads).size(), threads);
    }
}

TEST_P(UnderTeamTest, AnotherTeamInBetween) {
    set_num_threads(3);
    for (const std::string& name : team_names()) {
        for (const std::string& team : {name, GetParam()}) {
            use_team(team);
            EXPECT_EQ(threads_of(3).size(), 3);
        }
    }
}

TEST_P(UnderTeamTest, CallersThatComeAndGo) {
    set_num_threads(3);
    for (int i = 0; i < 20; ++i) {
        std::thread([] { EXPECT_EQ(threads_of(3).size(), 3); }).join();
    }
}

#if !defined(_WIN32)
bool loop_is_right() {
    std::atomic<int> calls{0};
    parallel_for(50, kMuch, [&](index_t) { ++calls; });
    return calls == 50;
}

/// Exit code of the child that runs `body`; it dies by a signal if that hangs.
int exit_code_of(pid_t child) {
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status)) << "the child hung or crashed";
    return WEXITSTATUS(status);
}

/// The handler of a signal may do that. The child loses what the helpers had begun.
TEST_P(UnderTeamTest, TheOwnerForksInTheMiddleOfALoop) {
    set_num_threads(3);
    const std::thread::id owner = std::this_thread::get_id();
    for (int round = 0; round < 5; ++round) {
        pid_t child = -1;
        std::atomic<bool> forked{false};
        parallel_for(3, kMuch, [&](index_t) {
            if (std::this_thread::get_id() == owner && !forked.exchange(true)) {
                child = fork();
                if (child == 0) alarm(20);
            }
            while (!forked) std::this_thread::yield();
        });
        if (child == 0) _exit(loop_is_right() && loop_is_right() ? 0 : 1);
        ASSERT_EQ(exit_code_of(child), 0);
        EXPECT_EQ(threads_of(3).size(), 3);
    }
}
#endif

#ifdef _OPENMP
/// OpenMP's runtime would end the threads that a smaller region does not need.
TEST(OpenMpTeam, ALoopOfFewTasksKeepsTheOthersThreads) {
    const KeepThreads keep;
    use("openmp", 5);
    const auto before = threads_of(5);
    ASSERT_EQ(before.size(), 5);
    for (const int few : {2, 3}) EXPECT_EQ(threads_of(few).size(), few);
    EXPECT_EQ(threads_of(5), before);
}

/// A parallel region of another library.
int threads_of_a_region() {
    int threads = 0;
#pragma omp parallel num_threads(3) reduction(+ : threads)
    ++threads;
    return threads;
}

TEST_P(UnderTeamTest, AForkedChildMayUseOpenMp) {
    set_num_threads(3);
    EXPECT_EQ(threads_of(3).size(), 3);
    const pid_t child = fork();
    if (child == 0) {
        alarm(20);
        _exit(threads_of_a_region() == 3 ? 0 : 1);
    }
    ASSERT_EQ(exit_code_of(child), 0);
    EXPECT_EQ(threads_of(3).size(), 3);
}

TEST_P(UnderTeamTest, OtherRegionsInBetween) {
    set_num_threads(4);
    for (int round = 0; round < 10; ++round) {
        EXPECT_EQ(threads_of(4).size(), 4);
        EXPECT_EQ(threads_of_a_region(), 3);
    }
}

TEST_P(UnderTeamTest, SerialWithinSomebodysRegion) {
    set_num_threads(4);
    std::atomic<int> wrong{0};
#pragma omp parallel num_threads(2)
    {
        const std::thread::id caller = std::this_thread::get_id();
        parallel_for(20, kMuch, [&](index_t) { wrong += std::this_thread::get_id() != caller; });
    }
    EXPECT_EQ(wrong, 0);
}
#endif

}  // namespace
}  // namespace pocketcnn::tests
