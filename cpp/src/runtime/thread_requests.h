// How many threads the program asked for: in general, and within blocks of code.
#pragma once

#include <cstdint>

namespace pocketcnn {

/// The number in force: inside a block, that of the calling thread's innermost block; else the last
/// one set by any thread's call or block that has not ended. 0 if none was set.
int requested_threads();

/// Sets the general number; inside a block of the calling thread, only until that ends.
void request_threads(int threads);

/// Begins a block of the calling thread. Blocks may overlap in any order.
std::uint64_t begin_thread_block(int threads);
/// Ends the block with this number; any thread may call it.
void end_thread_block(std::uint64_t block);

}  // namespace pocketcnn
