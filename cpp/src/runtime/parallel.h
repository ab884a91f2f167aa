// parallel_for and parallel_ranges: how every operation shares its work between threads.
#pragma once

#include <pocketcnn/runtime.h>
#include <pocketcnn/types.h>

#include <algorithm>
#include <type_traits>

#include "runtime/loop.h"

namespace pocketcnn {

/// Like get_num_threads(), but the affinity mask may have been read up to 100 ms ago.
int threads_for_loop();

/// Calls body(i) for every i in [0, count), in any order, over the team's threads. `work` is the
/// whole loop's cost in multiply-adds or elements moved; a small loop runs serially, because waking
/// a thread costs some microseconds. Each task goes to whichever thread is free, so a task must not
/// depend on which thread runs it. The first exception is rethrown.
template <typename Body>
void parallel_for(index_t count, double work, Body&& body) {
    constexpr double small_work = 1 << 17;
    using Function = std::remove_reference_t<Body>;
    // By way of a pointer also where the loop is serial, so that the body is compiled once.
    const auto call = [](void* context, index_t i) { (*static_cast<Function*>(context))(i); };
    Loop loop = {call, const_cast<void*>(static_cast<const void*>(&body)), count, count + 1};
    if (count <= 1 || work < small_work) return run_serially(loop);
    constexpr double work_between = 8 * small_work;  // checking whether to stop costs 20 ns
    const double tasks_between = static_cast<double>(count) * (work_between / work);
    loop.heed_every = 1 + static_cast<index_t>(tasks_between);
    run_loop(loop, threads_for_loop());
}

/// Calls body(begin, end) for consecutive ranges of [0, size), cut at multiples of `grain` for any
/// number of threads. `cost` is the work of one element.
template <typename Body>
void parallel_ranges(index_t size, index_t grain, double cost, Body&& body) {
    parallel_for(ceil_div(size, grain), cost * static_cast<double>(size),
                 [&](index_t i) { body(i * grain, std::min(size, (i + 1) * grain)); });
}

}  // namespace pocketcnn
