#include "runtime/loop.h"

#include <algorithm>

#include "runtime/cut.h"
#include "runtime/system/system.h"
#include "runtime/team.h"

namespace pocketcnn {
namespace {

thread_local bool in_loop = false;
std::atomic<bool> forked{false};

/// Held by the thread whose loop uses the team.
std::mutex team_in_use;

/// Registered while the library loads, so that every later fork is noticed.
[[maybe_unused]] const bool registered_at_load =
    system::at_fork(nullptr, nullptr, [] { forked = true; });

}  // namespace

void run_serially(const Loop& loop) {
    index_t left = loop.heed_every;
    for (index_t i = 0; i < loop.count; ++i) {
        loop.body(loop.context, i);
        if (--left > 0) continue;
        left = loop.heed_every;
        heed_interrupt();
    }
}

Job::Job(const Loop& loop, int helpers)
    : loop_(loop),
      scope_(interrupt_scope()),
      helpers_(helpers),
      places_(helpers),
      range_count_(std::min(helpers + 1, kRanges)) {
    const Split ranges = {loop.count, range_count_};
    for (int r = 0; r < range_count_; ++r) {
        ranges_[r].next = ranges.begin(r);
        ranges_[r].end = ranges.end(r);
    }
}

void Job::help(int helper) noexcept {
    if (places_.fetch_sub(1) <= 0) return;
    const InterruptHelper for_owner(scope_);
    work(helper);
}

void Job::work(int thread) noexcept {
    in_loop = true;
    try {
        for (int r = 0; r < range_count_; ++r) run(ranges_[(thread + r) % range_count_]);
    } catch (...) {
        for (int r = 0; r < range_count_; ++r) ranges_[r].next = ranges_[r].end;
        const std::lock_guard lock(error_mutex_);
        if (!error_) error_ = std::current_exception();
    }
    in_loop = false;
}

void Job::rethrow() const {
    if (error_) std::rethrow_exception(error_);
}

void Job::run(Range& range) {
    index_t left = loop_.heed_every;
    for (index_t i = range.next++; i < range.end; i = range.next++) {
        loop_.body(loop_.context, i);
        if (--left > 0) continue;
        left = loop_.heed_every;
        heed_interrupt();
    }
}

void run_loop(const Loop& loop, int threads) {
    if (threads <= 1 || in_loop || forked) return run_serially(loop);
    const Team& team = active_team();
    Job job(loop, static_cast<int>(std::min<index_t>(loop.count, threads)) - 1);
    if (const std::unique_lock lock(team_in_use, std::try_to_lock); lock) {
        team.run(job, threads);
    } else {
        job.work(0);
    }
    job.rethrow();
}

bool inside_loop() {
    return in_loop;
}

bool is_forked_child() {
    return forked;
}

}  // namespace pocketcnn
