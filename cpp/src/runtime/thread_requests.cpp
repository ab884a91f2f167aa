#include "runtime/thread_requests.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <vector>

#include "runtime/spin.h"
#include "runtime/system/system.h"

namespace pocketcnn {
namespace {

std::atomic<std::uint64_t> last_number{0};
/// Number of the calling thread. An address could belong to another thread after this one's end.
thread_local const std::uint64_t this_thread = ++last_number;

class Requests {
  public:
    int current() {
        if (blocks_ == 0) return general_;  // the usual case, without a lock
        const std::unique_lock lock = lock_soon(mutex_);
        const auto own = last_of(this_thread);
        if (own != requests_.rend()) return own->threads;
        return requests_.empty() ? 0 : requests_.back().threads;
    }

    void general(int threads) {
        const std::unique_lock lock = lock_soon(mutex_);
        const auto own = last_of(this_thread);
        if (own != requests_.rend()) {
            own->threads = threads;
            return;
        }
        remove(kGeneral);
        requests_.push_back({kGeneral, kEverybody, threads});
        general_ = threads;
    }

    std::uint64_t begin(int threads) {
        const std::unique_lock lock = lock_soon(mutex_);
        const std::uint64_t block = ++last_number;
        requests_.push_back({block, this_thread, threads});
        ++blocks_;
        return block;
    }

    void end(std::uint64_t block) {
        const std::unique_lock lock = lock_soon(mutex_);
        blocks_ -= remove(block);
    }

    std::mutex& mutex() { return mutex_; }

  private:
    static constexpr std::uint64_t kGeneral = 0, kEverybody = 0;
    struct Request {
        std::uint64_t number, thread;
        int threads;
    };

    std::vector<Request>::reverse_iterator last_of(std::uint64_t thread) {
        return std::find_if(requests_.rbegin(), requests_.rend(),
                            [=](const Request& request) { return request.thread == thread; });
    }

    int remove(std::uint64_t number) {
        return static_cast<int>(std::erase_if(
            requests_, [=](const Request& request) { return request.number == number; }));
    }

    std::mutex mutex_;
    std::vector<Request> requests_;  // oldest first
    std::atomic<int> general_{0}, blocks_{0};
};

/// Never destroyed: threads may compute while the process ends.
Requests& requests() {
    static Requests* const instance = [] {
        system::at_fork([] { requests().mutex().lock(); }, [] { requests().mutex().unlock(); },
                        [] { requests().mutex().unlock(); });
        return new Requests;
    }();
    return *instance;
}

/// Created while the library loads, so that no fork copies a locked mutex.
[[maybe_unused]] const Requests& created_at_load = requests();

}  // namespace

int requested_threads() {
    return requests().current();
}

void request_threads(int threads) {
    requests().general(threads);
}

std::uint64_t begin_thread_block(int threads) {
    return requests().begin(threads);
}

void end_thread_block(std::uint64_t block) {
    requests().end(block);
}

}  // namespace pocketcnn
