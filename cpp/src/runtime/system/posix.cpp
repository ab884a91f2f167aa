// macOS and the BSDs. They tell a program neither which CPUs it may use nor of a quota, and choose
// the size of pages themselves.
#include <sys/mman.h>

#include <algorithm>
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
    void* const mapped =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return mapped == MAP_FAILED ? nullptr : mapped;
}

void unmap_huge(void* memory, std::size_t bytes) noexcept {
    munmap(memory, bytes);
}

bool discard(void* memory, std::size_t bytes) noexcept {
    return madvise(memory, bytes, MADV_FREE) == 0;
}

}  // namespace pocketcnn::system
