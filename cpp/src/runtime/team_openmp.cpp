// OpenMP's threads: one team per calling thread, kept by OpenMP's runtime and shared with whatever
// else in the process runs parallel regions of the same runtime from that thread.
#include <omp.h>
#include <pocketcnn/runtime.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <csetjmp>
#include <csignal>
#include <exception>
#include <latch>
#include <thread>
#include <vector>

#include "runtime/coarse_clock.h"
#include "runtime/signals_blocked.h"
#include "runtime/team.h"

namespace pocketcnn {
namespace {

/// Threads of the calling thread's team, itself included, after its last region here.
thread_local int team_size = 1;

std::chrono::nanoseconds retry_at{};

/// A thread is joined a moment before the system has forgotten it and counts it no more.
void wait_until_forgotten([[maybe_unused]] pid_t thread) {
#ifdef __linux__
    while (tgkill(getpid(), thread, 0) == 0) sched_yield();
#endif
}

/// How many threads, of those wanted, the system starts beside all others: it is tried out.
int startable(int wanted) {
    std::vector<std::thread> threads;
    std::vector<pid_t> ids;
    std::latch end(1);
    try {
        ids.resize(wanted);
        threads.reserve(wanted);
        for (pid_t& id : ids) {
            threads.emplace_back([&] {
                id = gettid();
                end.wait();
            });
        }
    } catch (const std::exception&) {  // std::system_error, std::bad_alloc
    }
    end.count_down();
    for (std::thread& thread : threads) thread.join();
    const int started = static_cast<int>(threads.size());
    for (int i = 0; i < started; ++i) wait_until_forgotten(ids[i]);
    return started;
}

/// Before a fork its thread's team ends, for the runtime would wait for it in the child: at the
/// next region of whatever library, and at the thread's end. Not so inside a region, see
/// run_region().
void end_team() {
    if (team_size > 1 && omp_pause_resource_all(omp_pause_soft) == 0) team_size = 1;
}

/// While the library loads. Threads that end give their memory back: the memory pool, which locks
/// itself for a fork, must do so after the team's end, and what was registered last comes first.
[[maybe_unused]] const bool registered_at_load = [] {
    memory_use();
    return pthread_atfork(end_team, nullptr, nullptr) == 0;
}();

/// A runtime that is refused a thread ends the process. It is therefore asked for those only that
/// the system has just started for us, in a region of their own, whose threads get no signals.
void grow(int wanted) {
    if (coarse_now() < retry_at) return;
    const SignalsBlocked blocked;
    const int threads = team_size + startable(wanted - team_size);
    if (threads > team_size) {
#pragma omp parallel num_threads(threads)
        if (omp_get_thread_num() == 0) team_size = omp_get_num_threads();
    }
    if (team_size < wanted) retry_at = coarse_now() + kRetryStarting;
}

/// One region. Its end waits for every thread, so the child of an owner that forked in the middle
/// of it, which has none of the others, must not come there.
void run_region(Job& job, int threads) {
    std::jmp_buf before;
    if (setjmp(before) != 0) return;  // nothing in between has a destructor
#pragma omp parallel num_threads(threads)
    {
        const int number = omp_get_thread_num();
        if (number == 0) {
            job.work(0);
            if (is_forked_child()) std::longjmp(before, 1);
        } else if (number <= job.helpers()) {
            job.help(number);
        }
    }
}

/// GNU's runtime ends the threads that a smaller region does without, and a larger one starts them
/// again: a loop of few tasks therefore has the team of the one before, if that is allowed.
void run(Job& job, int limit) {
    const int wanted = std::min(limit, std::max(job.helpers() + 1, team_size));
    if (wanted > team_size) grow(wanted);
    const int threads = std::min(wanted, team_size);
    if (threads == 1) return job.work(0);
    run_region(job, threads);
    team_size = threads;
}

}  // namespace

constexpr Team openmp_team{"openmp", run};

}  // namespace pocketcnn
