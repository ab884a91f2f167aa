// What a program may ask of, and tell, the library as a whole: threads, instruction set, memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace pocketcnn {

/// The largest team.
inline constexpr int kMaxThreads = 1024;

/// Threads that a large operation uses, from the calling thread, now: those of a NumThreads or of
/// set_num_threads(), else OMP_NUM_THREADS, else the smaller of the calling thread's affinity mask
/// and of the cgroup's CPU quota when the library was loaded. Never more than an OpenMP limit below
/// the one that OpenMP itself began with. In a forked child always 1, which has none of its
/// parent's threads.
int get_num_threads();

/// For all threads; within a NumThreads of the calling thread, until that ends. Throws
/// std::invalid_argument unless 1 <= threads <= kMaxThreads.
void set_num_threads(int threads);

/// While it lives, what its thread calls uses up to `threads` threads, and so do threads without
/// one of their own unless set_num_threads() was called later. Those of several threads may overlap
/// in any order. Throws as set_num_threads().
class NumThreads {
  public:
    explicit NumThreads(int threads);
    ~NumThreads();
    NumThreads(const NumThreads&) = delete;
    NumThreads& operator=(const NumThreads&) = delete;

  private:
    std::uint64_t block_;
};

/// What is wrong with OMP_NUM_THREADS, in a sentence; empty where nothing is. A number above
/// kMaxThreads counts as that many, and what is no number as if it were not set.
std::string_view num_threads_complaint();

/// Name of the instruction set in use: "avx512", "avx2" or "baseline". The best that the machine
/// has, or the one that the environment variable POCKETCNN_ISA names.
std::string_view isa();

/// What this machine can run, best first.
std::vector<std::string_view> available_isas();

/// Switches to an instruction set of available_isas(), for tests and comparisons; not while
/// operations run in other threads. Throws std::invalid_argument for any other name.
void use_isa(std::string_view name);

/// Name of the team of threads that works with the calling thread: "openmp" or "own". The default
/// of the build, or the one that the environment variable POCKETCNN_TEAM names. Results have the
/// same bits with both.
std::string_view team();

/// What this build has. One without OpenMP has "own" alone.
std::vector<std::string_view> available_teams();

/// Switches to a team of available_teams(), for all threads, from their next loop on. Throws
/// std::invalid_argument for any other name.
void use_team(std::string_view name);

/// What the memory pool holds, in bytes: handed out, and kept for reuse.
struct MemoryUse {
    std::size_t in_use = 0;
    std::size_t cached = 0;
};
MemoryUse memory_use();

/// Gives every cached block back to the system.
void release_cached_memory();

}  // namespace pocketcnn
