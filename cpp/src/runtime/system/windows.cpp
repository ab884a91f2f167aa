// Windows. Large pages need a privilege that programs do not have. There is no fork, and a console
// runs its handler of Ctrl-C in a thread of its own, so no signal has to be kept from a thread.
#define WIN32_LEAN_AND_MEAN
#ifndef NOMINMAX  // MinGW's library defines it
#define NOMINMAX
#endif
#include <malloc.h>
#include <windows.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <thread>

#include "runtime/system/system.h"

namespace pocketcnn::system {

/// The process's mask: that of a thread can be set, but not asked for.
int usable_cpus() {
    DWORD_PTR ours = 0, all = 0;
    // No mask is told of a process that runs on several groups of 64 processors.
    if (GetProcessAffinityMask(GetCurrentProcess(), &ours, &all) != 0 && ours != 0) {
        return std::popcount(static_cast<std::uint64_t>(ours));
    }
    return static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

double cpu_quota() {
    return std::numeric_limits<double>::infinity();
}

std::chrono::nanoseconds coarse_now() {
    return std::chrono::milliseconds(GetTickCount64());
}

void* map_huge(std::size_t bytes) {
    return VirtualAlloc(nullptr, bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}

void unmap_huge(void* memory, std::size_t) noexcept {
    VirtualFree(memory, 0, MEM_RELEASE);
}

bool discard(void* memory, std::size_t bytes) noexcept {
    return VirtualAlloc(memory, bytes, MEM_RESET, PAGE_READWRITE) != nullptr;
}

void* allocate_aligned(std::size_t alignment, std::size_t bytes) {
    return _aligned_malloc(bytes, alignment);
}

void free_aligned(void* memory) noexcept {
    _aligned_free(memory);
}

bool at_fork(void (*)(), void (*)(), void (*)()) {
    return true;
}

SignalsBlocked::SignalsBlocked() = default;
SignalsBlocked::~SignalsBlocked() = default;

}  // namespace pocketcnn::system
