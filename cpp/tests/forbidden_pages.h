// Pages that may not be read or written until they are allowed, from the operating system.
#pragma once

#include <cstddef>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#ifndef NOMINMAX  // MinGW's library defines it
#define NOMINMAX
#endif
#include <windows.h>
// Words of sixteen-bit C, which are nothing now.
#undef far
#undef near
#else
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace pocketcnn::tests {

enum class Access { read, read_and_write };

#if defined(_WIN32)

inline std::size_t page_size() {
    SYSTEM_INFO system;
    GetSystemInfo(&system);
    return system.dwPageSize;
}

/// Null if there is no memory.
inline void* map_forbidden(std::size_t bytes) {
    return VirtualAlloc(nullptr, bytes, MEM_RESERVE | MEM_COMMIT, PAGE_NOACCESS);
}

inline void unmap(void* memory, std::size_t) {
    VirtualFree(memory, 0, MEM_RELEASE);
}

inline bool allow(void* pages, std::size_t bytes, Access access) {
    DWORD before = 0;
    const DWORD after = access == Access::read ? PAGE_READONLY : PAGE_READWRITE;
    return VirtualProtect(pages, bytes, after, &before) != 0;
}

#else

inline std::size_t page_size() {
    return static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

/// Null if there is no memory.
inline void* map_forbidden(std::size_t bytes) {
    void* memory = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? nullptr : memory;
}

inline void unmap(void* memory, std::size_t bytes) {
    munmap(memory, bytes);
}

inline bool allow(void* pages, std::size_t bytes, Access access) {
    const int protection = access == Access::read ? PROT_READ : PROT_READ | PROT_WRITE;
    return mprotect(pages, bytes, protection) == 0;
}

#endif

}  // namespace pocketcnn::tests
