// A system that cannot start more threads, or has no memory for them: loops run on the calling
// thread only, which does not try again at every call and keeps its signals. Exits with 0 if so.
#include <pocketcnn/runtime.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "runtime/parallel.h"

namespace {

int attempts = 0;
bool memory_is_gone = false;

bool same_signals(const sigset_t& a, const sigset_t& b) {
    for (int signal = 1; signal < SIGRTMAX; ++signal) {
        if (sigismember(&a, signal) != sigismember(&b, signal)) return false;
    }
    return true;
}

/// Whether every task runs once, on this thread.
bool loop_is_right() {
    constexpr double much = 1e9;
    const pthread_t caller = pthread_self();
    int calls[50] = {};
    bool here = true;
    pocketcnn::parallel_for(50, much, [&](pocketcnn::index_t i) {
        ++calls[i];
        here = here && pthread_equal(pthread_self(), caller) != 0;
    });
    for (const int count : calls) here = here && count == 1;
    return here;
}

}  // namespace

/// Replaces that of the C library.
extern "C" __attribute__((visibility("default"))) int pthread_create(pthread_t*,
                                                                     const pthread_attr_t*,
                                                                     void* (*)(void*), void*) {
    ++attempts;
    return EAGAIN;
}

void* operator new(std::size_t size) {
    void* memory = memory_is_gone ? nullptr : std::malloc(size);
    if (memory_is_gone) ++attempts;
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}
void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}

int main(int argc, char**) {
    sigset_t before, after;
    pthread_sigmask(SIG_SETMASK, nullptr, &before);
    pocketcnn::set_num_threads(4);
    memory_is_gone = argc > 1;
    bool right = true;
    for (int call = 0; call < 20; ++call) right = loop_is_right() && right;
    memory_is_gone = false;
    pthread_sigmask(SIG_SETMASK, nullptr, &after);
    std::printf("right %d, same signals %d, attempts %d\n", right, same_signals(before, after),
                attempts);
    return right && same_signals(before, after) && attempts == 1 ? 0 : 1;
}
