#include "runtime/thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "runtime/coarse_clock.h"
#include "runtime/interrupt.h"
#include "runtime/sleeper.h"
#include "runtime/spin.h"

namespace pocketcnn {
namespace {

/// How long an idle helper looks for work before it sleeps: longer than what Python does between
/// two operations of a training step, too short to disturb anybody.
constexpr auto kSpin = std::chrono::microseconds(100);

/// How long to do without the helpers that the system refused to start.
constexpr auto kRetry = std::chrono::seconds(10);

thread_local bool in_loop = false;
std::atomic<bool> forked{false};

/// Keeps all signals from the calling thread, and from those it starts, while it lives.
class SignalsBlocked {
  public:
    SignalsBlocked() {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;

  private:
    sigset_t before_;
};

void run_serially(const Loop& loop) {
    index_t left = loop.heed_every;
    for (index_t i = 0; i < loop.count; ++i) {
        loop.body(loop.context, i);
        if (--left > 0) continue;
        left = loop.heed_every;
        heed_interrupt();
    }
}

/// One loop under way. Each thread begins with a range of its own, the same in every loop of as
/// many iterations, so that it finds in its cache what it wrote there in the loop before; then it
/// takes from the others' what is left. Handed out from one counter, images and results went from
/// core to core: SimpleConvNet's first layer took 0.64 ms on two cores instead of 0.57, a training
/// step of ResNet-18 264 instead of 247.
class Job {
  public:
    Job(const Loop& loop, int helpers)
        : loop_(loop),
          scope_(interrupt_scope()),
          places_(helpers),
          range_count_(std::min(helpers + 1, kRanges)) {
        for (int r = 0; r < range_count_; ++r) {
            ranges_[r].next = loop.count * r / range_count_;
            ranges_[r].end = loop.count * (r + 1) / range_count_;
        }
    }

    /// A helper's part; at most as many helpers as the job has places for take one.
    void help(int helper) {
        if (places_.fetch_sub(1) <= 0) return;
        const InterruptHelper for_owner(scope_);
        work(helper);
    }

    /// The part of the thread with this number; the loop's owner is 0.
    void work(int thread) {
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

    void rethrow() const {
        if (error_) std::rethrow_exception(error_);
    }

  private:
    static constexpr int kRanges = 64;
    struct alignas(64) Range {
        std::atomic<index_t> next;
        index_t end;
    };

    void run(Range& range) {
        index_t left = loop_.heed_every;
        for (index_t i = range.next++; i < range.end; i = range.next++) {
            loop_.body(loop_.context, i);
            if (--left > 0) continue;
            left = loop_.heed_every;
            heed_interrupt();
        }
    }

    Loop loop_;
    InterruptScope* scope_;
    std::atomic<int> places_;
    int range_count_;
    Range ranges_[kRanges];
    std::mutex error_mutex_;
    std::exception_ptr error_;
};

/// Helpers that live as long as the process. One job at a time.
class Pool {
  public:
    /// False, with nothing done, while another thread's job is under way.
    bool try_run(Job& job, int helpers) {
        const std::unique_lock lock(mutex_, std::try_to_lock);
        if (!lock) return false;
        if (started_ < helpers) start_helpers(helpers);
        job_ = &job;
        ++announced_;
        if (sleeping_ > 0) wake_helpers();
        job.work(0);
        job_ = nullptr;
        wait_for_helpers();
        return true;
    }

    /// In the child of a fork, whose forking thread may be inside a job: no helper is left.
    void forget_helpers() { inside_ = 0; }

  private:
    /// Fewer where the system gives no more: the caller then does their part.
    void start_helpers(int wanted) {
        if (coarse_now() < retry_at_) return;
        const SignalsBlocked blocked;  // signals belong to the program's own threads
        try {
            while (started_ < wanted) {
                if (sleepers_.size() == static_cast<std::size_t>(started_))
                    sleepers_.emplace_back();
                std::thread([this, &sleeper = sleepers_.back(), number = started_ + 1] {
                    helper(number, sleeper);
                }).detach();
                ++started_;
            }
        } catch (const std::exception&) {  // std::system_error, std::bad_alloc
            retry_at_ = coarse_now() + kRetry;
        }
    }

    void wake_helpers() {
        const int core = current_core();
        for (Sleeper& sleeper : sleepers_) sleeper.keep_clear_of(core);
        announced_.notify_all();
    }

    [[noreturn]] void helper(int number, Sleeper& sleeper) {
        std::uint64_t seen = announced_ - 1;
        for (;;) {
            wait_for_news(seen, sleeper);
            seen = announced_;
            ++inside_;  // from here on the job's owner waits for us
            if (Job* job = job_) job->help(number);
            --inside_;
        }
    }

    void wait_for_news(std::uint64_t seen, Sleeper& sleeper) {
        const auto end = std::chrono::steady_clock::now() + kSpin;
        do {
            for (int i = 0; i < 64; ++i) {
                if (announced_ != seen) return;
                relax();
            }
        } while (std::chrono::steady_clock::now() < end);
        sleeper.going_to_sleep();
        ++sleeping_;
        announced_.wait(seen);
        --sleeping_;
        sleeper.awake();
    }

    /// Helpers inside are at work on their last task, or about to see that there is none. After
    /// a while we give way, for one of them may be waiting for this very core.
    void wait_for_helpers() {
        for (int spins = 0; inside_ > 0; ++spins) {
            if (spins < 10000) {
                relax();
            } else {
                sched_yield();
            }
        }
    }

    std::mutex mutex_;
    int started_ = 0;
    std::chrono::nanoseconds retry_at_{};
    std::deque<Sleeper> sleepers_;  // one a helper
    // All sequentially consistent: a helper announces itself in inside_ before it looks at job_,
    // and the owner clears job_ before it looks at inside_, so one of them sees the other.
    std::atomic<Job*> job_{nullptr};
    std::atomic<std::uint64_t> announced_{1};
    std::atomic<int> inside_{0};
    std::atomic<int> sleeping_{0};
};

/// Never destroyed: helpers use it until the process ends.
Pool& pool() {
    static Pool* const instance = [] {
        pthread_atfork(nullptr, nullptr, [] {
            forked = true;
            pool().forget_helpers();
        });
        return new Pool;
    }();
    return *instance;
}

/// While the library loads, so that every later fork is noticed.
[[maybe_unused]] Pool& created_at_load = pool();

}  // namespace

void run_loop(const Loop& loop, int threads) {
    if (threads <= 1 || in_loop || forked) return run_serially(loop);
    Job job(loop, threads - 1);
    if (!pool().try_run(job, threads - 1)) job.work(0);
    job.rethrow();
}

bool inside_loop() {
    return in_loop;
}

bool is_forked_child() {
    return forked;
}

}  // namespace pocketcnn
