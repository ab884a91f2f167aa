// OpenMP's threads: one team per calling thread, kept by OpenMP's runtime and shared with all code
// that runs parallel regions of the same runtime from that thread.
#include <omp.h>
#include <pocketcnn/runtime.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <csetjmp>
#include <csignal>
#include <exception>
#include <latch>
#include <thread>
#include <vector>

#include "runtime/system/system.h"
#include "runtime/team.h"

namespace pocketcnn {
namespace {

/// Threads of the calling thread's team, itself included, after its last region here.
thread_local int team_size = 1;

std::chrono::nanoseconds retry_at{};

/// A joined thread still counts for a moment, until the system has removed it.
void wait_until_forgotten(pid_t thread) {
    while (tgkill(getpid(), thread, 0) == 0) sched_yield();
}

/// How many of the wanted threads the system can start in addition to all others, found by trying.
int startable(int wanted) {
    std::vector<std::thread> threads;
    std::vector<pid_t> ids;
    std::latch end(1);
    int started = wanted;
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
        started = static_cast<int>(threads.size());
    }
    end.count_down();
    for (std::thread& thread : threads) thread.join();
    for (int i = 0; i < started; ++i) wait_until_forgotten(ids[i]);
    return started;
}

/// Before a fork, the team of the forking thread is ended. In the child the runtime would otherwise
/// wait for it: at the next region of any library, and at the thread's end. Not inside a region,
/// see run_region().
void end_team() {
    if (team_size > 1 && omp_pause_resource_all(omp_pause_soft) == 0) team_size = 1;
}

/// Registered while the library loads. Threads that end release their memory, so the memory pool,
/// which locks itself for a fork, must do so after the team's end. Handlers run in reverse order of
/// registration.
[[maybe_unused]] const bool registered_at_load = [] {
    memory_use();
    return system::at_fork(end_team, nullptr, nullptr);
}();

/// If OpenMP's runtime is refused a thread, it ends the process. So it gets only as many as the
/// system has just started for us on trial, in a region of their own with signals blocked.
void grow(int wanted) {
    if (system::coarse_now() < retry_at) return;
    const system::SignalsBlocked blocked;
    const int threads = team_size + startable(wanted - team_size);
    if (threads > team_size) {
#pragma omp parallel num_threads(threads)
        if (omp_get_thread_num() == 0) team_size = omp_get_num_threads();
    }
    if (team_size < wanted) retry_at = system::coarse_now() + kRetryStarting;
}

/// Runs one region. Its end waits for every thread. If the owner forks inside the region, the child
/// has none of the other threads and must not reach that end.
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

/// When a region is smaller than the one before, GNU's runtime ends the spare threads, and a larger
/// region starts them again. So a loop of few tasks uses the team of the loop before, if that is
/// allowed.
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
