#include <sched.h>
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

#include "runtime/cgroup_quota.h"
#include "runtime/system/system.h"

namespace pocketcnn::system {
namespace {

std::string read_file(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

int usable_cpus() {
    cpu_set_t mask;
    // Fails on machines with more CPUs than the mask has bits.
    if (sched_getaffinity(0, sizeof mask, &mask) == 0) return std::max(1, CPU_COUNT(&mask));
    return static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

double cpu_quota() {
    std::ifstream groups("/proc/self/cgroup");
    return cgroup_quota(groups, read_file);
}

std::chrono::nanoseconds coarse_now() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

/// Not from the C library, whose heap would return memory that already has small pages
/// (docs/measurements.md#memory).
void* map_huge(std::size_t bytes) {
    void* const mapped = mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) return nullptr;
    char* const begin = static_cast<char*>(mapped);
    const std::size_t before = -reinterpret_cast<std::uintptr_t>(begin) % kHugePage;
    if (before > 0) munmap(begin, before);
    if (before < kHugePage) munmap(begin + before + bytes, kHugePage - before);
    madvise(begin + before, bytes, MADV_HUGEPAGE);  // refused where the kernel was built without
    return begin + before;
}

void unmap_huge(void* memory, std::size_t bytes) noexcept {
    munmap(memory, bytes);
}

bool discard(void* memory, std::size_t bytes) noexcept {
    return madvise(memory, bytes, MADV_DONTNEED) == 0;
}

}  // namespace pocketcnn::system
