// The library's own helper threads. The job's owner waits only for tasks that a helper has begun.
// It never waits for a helper that the system has not scheduled, so at worst a busy machine costs
// what the helpers would have done.
#include <atomic>
#include <chrono>
#include <deque>
#include <exception>
#include <thread>

#include "runtime/sleeper.h"
#include "runtime/spin.h"
#include "runtime/system/system.h"
#include "runtime/team.h"

namespace pocketcnn {
namespace {

/// How long an idle helper looks for work before it sleeps: longer than Python takes between two
/// training steps, too short to disturb other programs (docs/measurements.md#threads).
constexpr auto kSpin = std::chrono::microseconds(200);

/// Helpers that live as long as the process. They run one job at a time.
class Pool {
  public:
    void run(Job& job) {
        if (started_ < job.helpers()) start_helpers(job.helpers());
        job_ = &job;
        ++announced_;
        if (sleeping_ > 0) wake_helpers();
        job.work(0);
        job_ = nullptr;
        wait_for_helpers();
    }

  private:
    /// Starts fewer if the system refuses: the caller then does their part.
    void start_helpers(int wanted) {
        if (system::coarse_now() < retry_at_) return;
        const system::SignalsBlocked blocked;
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
            retry_at_ = system::coarse_now() + kRetryStarting;
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

    /// Helpers that are still inside work on their last task, or are about to see that there is
    /// none. After a while the thread yields, because one of them may be waiting for this core. If
    /// the owner forked during its job, the child has no helpers.
    void wait_for_helpers() {
        for (int spins = 0; inside_ > 0 && !is_forked_child(); ++spins) {
            if (spins < 10000) {
                relax();
            } else {
                std::this_thread::yield();
            }
        }
    }

    int started_ = 0;
    std::chrono::nanoseconds retry_at_{};
    std::deque<Sleeper> sleepers_;  // one per helper
    // All sequentially consistent: a helper announces itself in inside_ before it looks at job_,
    // and the owner clears job_ before it looks at inside_, so one of them sees the other.
    std::atomic<Job*> job_{nullptr};
    std::atomic<std::uint64_t> announced_{1};
    std::atomic<int> inside_{0};
    std::atomic<int> sleeping_{0};
};

/// Never destroyed: helpers use it until the process ends.
Pool& pool() {
    static Pool* const instance = new Pool;
    return *instance;
}

/// Created while the library loads, where a lack of memory is noticed.
[[maybe_unused]] const Pool& created_at_load = pool();

void run(Job& job, int) {
    pool().run(job);
}

}  // namespace

constexpr Team own_team{"own", run};

}  // namespace pocketcnn
