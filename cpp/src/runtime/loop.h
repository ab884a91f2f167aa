// A loop whose iterations are shared by several threads, which runtime/team.h provides.
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
    index_t heed_every;  ///< iterations after which a thread checks for an interrupt
};

/// Runs the loop on the calling thread and helpers, together at most `threads`. The loop runs
/// serially inside another loop, in a forked child, and while another thread's loop uses the
/// helpers. The first exception (also Interrupted, see interrupt.h) ends the loop early and is
/// rethrown.
void run_loop(const Loop& loop, int threads);

/// Runs the loop on the calling thread, in order.
void run_serially(const Loop& loop);

/// Whether the calling thread is inside a loop's body, where another loop would run serially.
bool inside_loop();

/// True in a forked child, which has none of its parent's helpers and runs every loop serially.
bool is_forked_child();

/// One running loop. Each thread begins with a range of its own. The range is the same in every
/// loop of as many iterations, so that the thread finds in its cache what it wrote in the loop
/// before. Then it takes what is left of the other threads' ranges, as in the library pthreadpool.
/// A single shared counter would move images and results from core to core
/// (docs/measurements.md#threads).
class Job {
  public:
    Job(const Loop& loop, int helpers);

    /// The largest number of helpers.
    int helpers() const { return helpers_; }

    /// A helper's part. Helpers beyond helpers() do nothing.
    void help(int helper) noexcept;

    /// The part of the thread with this number; the loop's owner is 0. Exceptions are kept.
    void work(int thread) noexcept;

    /// Rethrows the first exception; to be called when no thread works on the job any more.
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
