// How many threads a large operation may use.
#include <pocketcnn/runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

#include "runtime/loop.h"
#include "runtime/openmp.h"
#include "runtime/parallel.h"
#include "runtime/system/system.h"
#include "runtime/thread_requests.h"
#include "runtime/threads_variable.h"

namespace pocketcnn {
namespace {

const char* variable() {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): read once, while the library loads
    return std::getenv("OMP_NUM_THREADS");
}

ThreadsVariable read_environment() {
    return variable() == nullptr ? ThreadsVariable{} : read_threads_variable(variable());
}

/// LLVM's OpenMP, which clang takes, may end the process, from version 19 on, when it is first
/// asked while the variable is no number.
bool openmp_can_read([[maybe_unused]] const ThreadsVariable& environment) {
#if defined(__clang__)
    return variable() == nullptr || (environment.threads > 0 && environment.complaint.empty());
#else
    return true;
#endif
}

struct Defaults {
    ThreadsVariable environment = read_environment();
    bool asks_openmp = openmp_can_read(environment);
    /// The quota, rounded up; a large number if there is none.
    int cpu_quota = static_cast<int>(std::clamp(std::ceil(system::cpu_quota()), 1.0, 1e6));
    int openmp_limit = asks_openmp ? pocketcnn::openmp_limit() : kMaxThreads;
};

/// Never destroyed: threads may compute while the process ends.
const Defaults& defaults() {
    static const Defaults* const values = new Defaults;
    return *values;
}

/// Read while the library loads, before any code can have lowered OpenMP's own limit.
[[maybe_unused]] const Defaults& read_at_load = defaults();

/// The CPUs that the calling thread may use, read again if the last answer is older than `age`.
int usable_cpus(std::chrono::nanoseconds age) {
    struct Answer {
        std::chrono::nanoseconds time{std::chrono::nanoseconds::min()};
        int cpus = 1;
    };
    thread_local Answer last;
    const std::chrono::nanoseconds now = system::coarse_now();
    if (last.time < now - age) last = {now, std::min(system::usable_cpus(), defaults().cpu_quota)};
    return last.cpus;
}

int threads_now(std::chrono::nanoseconds age) {
    const bool asks_openmp = defaults().asks_openmp;
    if (is_forked_child() || inside_loop() || (asks_openmp && inside_openmp_region())) return 1;
    int threads = requested_threads();
    if (threads == 0) threads = defaults().environment.threads;
    if (threads == 0) threads = std::min(usable_cpus(age), kMaxThreads);
    const int limit = asks_openmp ? openmp_limit() : kMaxThreads;
    return limit < defaults().openmp_limit ? std::min(threads, limit) : threads;
}

void check(int threads) {
    if (threads >= 1 && threads <= kMaxThreads) return;
    throw std::invalid_argument("threads is " + std::to_string(threads) + ", but must lie in 1.." +
                                std::to_string(kMaxThreads));
}

}  // namespace

int get_num_threads() {
    return threads_now(std::chrono::nanoseconds(-1));
}

int threads_for_loop() {
    constexpr std::chrono::milliseconds age(100);
    return threads_now(age);
}

void set_num_threads(int threads) {
    check(threads);
    request_threads(threads);
}

std::string_view num_threads_complaint() {
    return defaults().environment.complaint;
}

NumThreads::NumThreads(int threads) {
    check(threads);
    block_ = begin_thread_block(threads);
}

NumThreads::~NumThreads() {
    end_thread_block(block_);
}

}  // namespace pocketcnn
