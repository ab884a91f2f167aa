// What OpenMP's runtime reports, in a build that has it. Other libraries limit our threads through
// it.
#pragma once

#if defined(POCKETCNN_HAS_OPENMP)
#include <omp.h>
#else
#include <pocketcnn/runtime.h>
#endif

namespace pocketcnn {

/// How many threads a parallel region would have; threadpoolctl and others set it.
inline int openmp_limit() {
#if defined(POCKETCNN_HAS_OPENMP)
    return omp_get_max_threads();
#else
    return kMaxThreads;
#endif
}

/// Whether the calling thread is inside a parallel region, of any library.
inline bool inside_openmp_region() {
#if defined(POCKETCNN_HAS_OPENMP)
    return omp_in_parallel() != 0;
#else
    return false;
#endif
}

}  // namespace pocketcnn
