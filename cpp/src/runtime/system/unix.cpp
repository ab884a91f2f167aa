// What Linux, macOS and the BSDs answer alike.
#include <pthread.h>
#include <signal.h>

#include <cstdlib>

#include "runtime/system/system.h"

namespace pocketcnn::system {

void* allocate_aligned(std::size_t alignment, std::size_t bytes) {
    return std::aligned_alloc(alignment, bytes);
}

void free_aligned(void* memory) noexcept {
    std::free(memory);
}

bool at_fork(void (*before)(), void (*in_parent)(), void (*in_child)()) {
    return pthread_atfork(before, in_parent, in_child) == 0;
}

SignalsBlocked::SignalsBlocked() {
    static_assert(sizeof(sigset_t) <= sizeof(before_) &&
                  alignof(sigset_t) <= alignof(std::max_align_t));
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, reinterpret_cast<sigset_t*>(before_));
}

SignalsBlocked::~SignalsBlocked() {
    pthread_sigmask(SIG_SETMASK, reinterpret_cast<const sigset_t*>(before_), nullptr);
}

}  // namespace pocketcnn::system
