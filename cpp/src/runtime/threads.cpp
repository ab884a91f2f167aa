// How many threads a large operation may use.
#include <omp.h>
#include <pocketcnn/runtime.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "runtime/cpu_limits.h"
#include "runtime/thread_pool.h"

namespace pocketcnn {
namespace {

constexpr int kMaxThreads = 1024;

std::atomic<int> requested_threads{0};

int default_threads() {
    const char* variable = std::getenv("OMP_NUM_THREADS");
    const long from_environment = variable != nullptr ? std::strtol(variable, nullptr, 10) : 0;
    if (from_environment > 0)
        return static_cast<int>(std::min<long>(from_environment, kMaxThreads));
    return std::min(usable_cpus(), kMaxThreads);
}

struct Defaults {
    int threads = default_threads();
    int openmp_limit = omp_get_max_threads();
};

const Defaults& defaults() {
    static const Defaults values;
    return values;
}

/// Read while the library loads, before anybody can have lowered OpenMP's own limit.
[[maybe_unused]] const Defaults& read_at_load = defaults();

}  // namespace

int get_num_threads() {
    if (is_forked_child() || inside_loop() || omp_in_parallel() != 0) return 1;
    const int requested = requested_threads;
    const int threads = requested > 0 ? requested : defaults().threads;
    const int limit = omp_get_max_threads();
    return limit < defaults().openmp_limit ? std::min(threads, limit) : threads;
}

void set_num_threads(int threads) {
    if (threads < 1 || threads > kMaxThreads) {
        throw std::invalid_argument("threads is " + std::to_string(threads) +
                                    ", but must lie in 1.." + std::to_string(kMaxThreads));
    }
    requested_threads = threads;
}

}  // namespace pocketcnn
