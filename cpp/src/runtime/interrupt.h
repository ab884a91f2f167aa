// How a long operation is stopped: between two pieces of work, the thread that called it asks a
// callback a few times per second whether to stop, and its helpers look at the answer.
#pragma once

#include <atomic>
#include <chrono>
#include <exception>

namespace pocketcnn {

/// Thrown out of an operation that was told to stop. Its results are incomplete.
class Interrupted : public std::exception {
  public:
    const char* what() const noexcept override { return "the operation was interrupted"; }
};

/// While it lives, operations that its thread calls can be ended by `asks`, which that thread calls
/// from time to time between two pieces of work. An inner scope hides an outer one.
class InterruptScope {
  public:
    using Ask = bool (*)(void* context);

    InterruptScope(Ask ask, void* context);
    ~InterruptScope();
    InterruptScope(const InterruptScope&) = delete;
    InterruptScope& operator=(const InterruptScope&) = delete;

  private:
    friend class InterruptHelper;
    friend void heed_interrupt();

    void heed();
    bool asks();

    Ask ask_;
    void* context_;
    InterruptScope* outer_;
    std::chrono::nanoseconds next_;  // when to ask again; used by the owner only
    const void* owner_;              // identifies the thread
    std::atomic<bool> stopped_{false};
};

/// The scope that the calling thread's work belongs to, or null.
InterruptScope* interrupt_scope();

/// While it lives, the calling thread works for the owner of a scope, which may be null.
class InterruptHelper {
  public:
    explicit InterruptHelper(InterruptScope* scope);
    ~InterruptHelper();
    InterruptHelper(const InterruptHelper&) = delete;
    InterruptHelper& operator=(const InterruptHelper&) = delete;

  private:
    InterruptScope* before_;
};

/// To be called between pieces of work of microseconds to milliseconds, where the iterations of a
/// parallel_for take longer. Throws Interrupted.
void heed_interrupt();

}  // namespace pocketcnn
