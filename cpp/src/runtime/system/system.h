// What the runtime asks of the operating system. One file a platform answers; the build compiles
// one of them. Where a system has no such thing, the answer says so, and the caller does without.
//
// linux.cpp    Linux, with any C library
// posix.cpp    macOS and the BSDs: no affinity, no quotas, pages of one size
// windows.cpp  Windows: no fork, no quotas, pages of one size
// plain.cpp    nothing but the standard library
#pragma once

#include <chrono>
#include <cstddef>

namespace pocketcnn::system {

/// Large blocks of memory begin at a multiple of it, and have such a size.
inline constexpr std::size_t kHugePage = std::size_t{1} << 21;

/// The CPUs that the calling thread may use; at least 1.
int usable_cpus();

/// The CPUs' worth of time that the process may use; infinite if there is no quota.
double cpu_quota();

/// Time since some fixed moment; never goes back. Takes only some nanoseconds where the system has
/// a clock that advances every few milliseconds.
std::chrono::nanoseconds coarse_now();

/// Fresh memory, `bytes` a multiple of kHugePage; on huge pages, and beginning at one, where the
/// system has them, else aligned to a page. Null if there is none.
void* map_huge(std::size_t bytes);
void unmap_huge(void* memory, std::size_t bytes) noexcept;
/// Returns whole pages of such memory to the system, which stay usable: their contents are lost.
/// False where that cannot be done.
bool discard(void* memory, std::size_t bytes) noexcept;

/// Memory for a smaller block; `bytes` is a multiple of `alignment`. Null if there is none.
void* allocate_aligned(std::size_t alignment, std::size_t bytes);
void free_aligned(void* memory) noexcept;

/// Has functions called around every fork of the process, as pthread_atfork does: those before it
/// in reverse order of registration. False if that failed; without forks there is nothing to do.
bool at_fork(void (*before)(), void (*in_parent)(), void (*in_child)());

/// While it lives, no signal reaches the calling thread or the threads that it starts: signals go
/// to the program's own.
class SignalsBlocked {
  public:
    SignalsBlocked();
    ~SignalsBlocked();
    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;

  private:
    alignas(std::max_align_t) std::byte before_[128];
};

}  // namespace pocketcnn::system
