// A loop whose iterations several threads share, whoever they are: runtime/team.h brings them.
#pragma once

#include <pocketcnn/types.h>

#include <atomic>
#include <exception>
#include <mutex>

#include "runtime/interrupt.h"

namespace pocketcnn {

/// A loop whose iterations are independent: body(context, i) for i in [0, count).
struct Loop {
    void (*body)(void* context, index_t i);
    void* context;
    index_t count;
    index_t heed_every;  ///< after how many iterations a thread looks whether it is interrupted
};

/// Runs the loop on the calling thread and helpers, together at most `threads`. The loop runs
/// serially inside another, in a forked child, and while another thread's loop has the helpers.
/// The first exception ends the loop early and is rethrown; Interrupted is one of them, see
/// interrupt.h.
void run_loop(const Loop& loop, int threads);

/// Whether the calling thread is inside a loop's body, where a further loop would run serially.
bool inside_loop();

/// True in a forked child, which has none of its parent's helpers and runs every loop serially.
bool is_forked_child();

/// One loop under way. Each thread begins with a range of its own, the same in every loop of as
/// many iterations, so that it finds in its cache what it wrote there in the loop before; then it
/// takes from the others' what is left, as in the library pthreadpool. Handed out from one counter,
/// images and results would go from core to core (docs/measurements.md#threads).
class Job {
  public:
    Job(const Loop& loop, int helpers);

    /// How many helpers it has places for.
    int helpers() const { return helpers_; }

    /// A helper's part; of more helpers than there are places, the last do nothing.
    void help(int helper) noexcept;

    /// The part of the thread with this number; the loop's owner is 0. Exceptions are kept.
    void work(int thread) noexcept;

    /// Throws the first exception again, once nobody works any more.
    void rethrow() const;

  private:
    static constexpr int kRanges = 64;
    struct alignas(64) Range {
        std::atomic<index_t> next;
        index_t end;
    };

    void run(Range& range);

    Loop loop_;
    InterruptScope* scope_;
    int helpers_;
    std::atomic<int> places_;
    int range_count_;
    Range ranges_[kRanges];
    std::mutex error_mutex_;
    std::exception_ptr error_;
};

}  // namespace pocketcnn
