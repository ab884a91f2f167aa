// Settings and state of the whole library: threads, instruction set, memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace pocketcnn {

/// The largest team.
inline constexpr int kMaxThreads = 1024;

/// Threads that a large operation would use if the calling thread started it now: as set by a
/// NumThreads or set_num_threads(), else OMP_NUM_THREADS, else the smaller of the calling thread's
/// affinity mask and the cgroup's CPU quota when the library was loaded. If OpenMP's limit was
/// lowered since the start, never more than that. Always 1 in a forked child, which has none of its
/// parent's threads.
int get_num_threads();

/// For all threads; inside a NumThreads of the calling thread, only until that ends. Throws
/// std::invalid_argument unless 1 <= threads <= kMaxThreads.
void set_num_threads(int threads);

/// While it lives, operations called by its thread use up to `threads` threads. So do those of
/// threads without a NumThreads of their own, unless set_num_threads() was called later. NumThreads
/// objects of several threads may overlap in any order. Throws as set_num_threads().
class NumThreads {
  public:
    explicit NumThreads(int threads);
    ~NumThreads();
    NumThreads(const NumThreads&) = delete;
    NumThreads& operator=(const NumThreads&) = delete;

  private:
    std::uint64_t block_;
};

/// What is wrong with OMP_NUM_THREADS, in a sentence; empty if nothing is. A number above
/// kMaxThreads counts as kMaxThreads; a value that is not a number is ignored.
std::string_view num_threads_complaint();

/// Name of the instruction set in use: "avx512", "avx2" or "baseline". The best that the machine
/// supports, or the one named by the environment variable POCKETCNN_ISA.
std::string_view isa();

/// What this machine can run, best first.
std::vector<std::string_view> available_isas();

/// Switches to one of available_isas(), for tests and comparisons. Not to be called while
/// operations run in other threads. Throws std::invalid_argument for any other name.
void use_isa(std::string_view name);

/// Name of the team of threads that shares the work of the calling thread: "openmp" or "own". The
/// build's default, or the one named by the environment variable POCKETCNN_TEAM. Both give the same
/// bits.
std::string_view team();

/// The teams of this build. Without OpenMP there is only "own".
std::vector<std::string_view> available_teams();

/// Switches to one of available_teams(), for all threads, from their next loop on. Throws
/// std::invalid_argument for any other name.
void use_team(std::string_view name);

/// Bytes of the memory pool: in use, and kept for reuse.
struct MemoryUse {
    std::size_t in_use = 0;
    std::size_t cached = 0;
};
MemoryUse memory_use();

/// Returns every cached block to the system.
void release_cached_memory();

}  // namespace pocketcnn
