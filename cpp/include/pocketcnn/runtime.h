// What a program may ask of, and tell, the library as a whole: threads, instruction set, memory.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace pocketcnn {

/// Threads that a large operation uses, from the calling thread, now: set_num_threads() if it
/// was called, else OMP_NUM_THREADS, else the smaller of the affinity mask and the cgroup's CPU
/// quota; never more than an OpenMP limit that was lowered since the library was loaded. In a
/// forked child always 1, which has none of its parent's threads.
int get_num_threads();

/// Throws std::invalid_argument unless 1 <= threads <= 1024.
void set_num_threads(int threads);

/// Name of the instruction set in use: "avx512", "avx2" or "baseline". The best that the machine
/// has, or the one that the environment variable POCKETCNN_ISA names.
std::string_view isa();

/// What this machine can run, best first.
std::vector<std::string_view> available_isas();

/// Switches to an instruction set of available_isas(), for tests and comparisons; not while
/// operations run in other threads. Throws std::invalid_argument for any other name.
void use_isa(std::string_view name);

/// What the memory pool holds, in bytes: handed out, and kept for reuse.
struct MemoryUse {
    std::size_t in_use = 0;
    std::size_t cached = 0;
};
MemoryUse memory_use();

/// Gives every cached block back to the system.
void release_cached_memory();

}  // namespace pocketcnn
