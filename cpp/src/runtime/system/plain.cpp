// Where nothing is known of the system but the standard library: one process that never forks, all
// CPUs, and the C library's memory.
#include <algorithm>
#include <cstdlib>
#include <limits>
#include <thread>

#include "runtime/system/system.h"

namespace pocketcnn::system {

int usable_cpus() {
    return static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

double cpu_quota() {
    return std::numeric_limits<double>::infinity();
}

std::chrono::nanoseconds coarse_now() {
    return std::chrono::steady_clock::now().time_since_epoch();
}

void* map_huge(std::size_t bytes) {
    constexpr std::size_t page = 4096;
    return std::aligned_alloc(page, bytes);
}

void unmap_huge(void* memory, std::size_t) noexcept {
    std::free(memory);
}

bool discard(void*, std::size_t) noexcept {
    return false;
}

void* allocate_aligned(std::size_t alignment, std::size_t bytes) {
    return std::aligned_alloc(alignment, bytes);
}

void free_aligned(void* memory) noexcept {
    std::free(memory);
}

bool at_fork(void (*)(), void (*)(), void (*)()) {
    return true;
}

SignalsBlocked::SignalsBlocked() = default;
SignalsBlocked::~SignalsBlocked() = default;

}  // namespace pocketcnn::system
