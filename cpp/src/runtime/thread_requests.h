// How many threads the program asked for: in general, and within blocks of code.
#pragma once

#include <cstdint>

namespace pocketcnn {

/// What was asked for last: within a block, by the calling thread's innermost; else by anybody's
/// call or block that has not ended. 0 where nothing was asked for.
int requested_threads();

/// In general; within a block of the calling thread, until that ends.
void request_threads(int threads);

/// Begins a block of the calling thread. Blocks may overlap in any order.
std::uint64_t begin_thread_block(int threads);
/// Ends the block with this number, from whatever thread.
void end_thread_block(std::uint64_t block);

}  // namespace pocketcnn
