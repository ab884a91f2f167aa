#include "runtime/interrupt.h"

#include "runtime/system/system.h"

namespace pocketcnn {
namespace {

/// Rare enough that waiting for the interpreter costs nothing, and often enough for a user who
/// pressed Ctrl-C.
constexpr std::chrono::milliseconds kBetween(100);

thread_local InterruptScope* current = nullptr;
/// Its address identifies the thread.
thread_local char this_thread;

}  // namespace

InterruptScope::InterruptScope(Ask ask, void* context)
    : ask_(ask),
      context_(context),
      outer_(current),
      next_(system::coarse_now() + kBetween),
      owner_(&this_thread) {
    current = this;
}

InterruptScope::~InterruptScope() {
    current = outer_;
}

void InterruptScope::heed() {
    if (stopped_.load(std::memory_order_relaxed)) throw Interrupted();
    if (owner_ != &this_thread || system::coarse_now() < next_) return;
    const bool stop = asks();
    next_ = system::coarse_now() + kBetween;
    if (stop) {
        stopped_ = true;
        throw Interrupted();
    }
}

bool InterruptScope::asks() {
    const InterruptHelper nobodys(nullptr);  // the callback may itself call operations
    return ask_(context_);
}

InterruptScope* interrupt_scope() {
    return current;
}

InterruptHelper::InterruptHelper(InterruptScope* scope) : before_(current) {
    current = scope;
}

InterruptHelper::~InterruptHelper() {
    current = before_;
}

void heed_interrupt() {
    if (current != nullptr) current->heed();
}

}  // namespace pocketcnn
