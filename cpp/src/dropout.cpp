#include <pocketcnn/dropout.h>

#include "runtime/isa.h"
#include "runtime/parallel.h"

namespace pocketcnn {

template <typename T>
void dropout(const T* x, const float* draws, float p, T scale, T* y, T* mask, index_t size) {
    constexpr index_t grain = 1 << 13;
    constexpr double moved = 8;  // an element of four arrays, in multiply-adds
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    parallel_ranges(size, grain, moved, [&](index_t begin, index_t end) {
        kernels.elementwise.drop(end - begin, x + begin, draws + begin, p, scale, y + begin,
                                 mask + begin);
    });
}

template void dropout(const float*, const float*, float, float, float*, float*, index_t);
template void dropout(const double*, const float*, float, double, double*, double*, index_t);

}  // namespace pocketcnn
