// The team of threads behind parallel_for. Whoever calls works too, and waits only for tasks that
// some thread has begun: a helper that the system has put aside is never waited for, so a busy
// machine costs at worst the helpers' part. (At the end of an OpenMP region every thread of the
// team must have arrived; with one competing process that was measured to take whole time slices.)
#pragma once

#include <pocketcnn/types.h>

namespace pocketcnn {

/// A loop whose iterations are independent: body(context, i) for i in [0, count).
struct Loop {
    void (*body)(void* context, index_t i);
    void* context;
    index_t count;
    index_t heed_every;  ///< after how many iterations a thread looks whether it is interrupted
};

/// Runs the loop on the calling thread and up to `threads` - 1 helpers. The loop runs serially
/// when another thread's loop is using the helpers. The first exception ends the loop early and
/// is rethrown; Interrupted is one of them, see interrupt.h.
void run_loop(const Loop& loop, int threads);

/// Whether the calling thread is inside a loop's body, where a further loop would run serially.
bool inside_loop();

/// True in a forked child, which has none of its parent's helpers and runs every loop serially.
bool is_forked_child();

}  // namespace pocketcnn
