// The table of inner loops that each instruction set exports: a table per topic, declared in the
// topic's header and defined in its source, which is compiled once per instruction set. Kernels
// know nothing of threads and allocate nothing.
#pragma once

#include <pocketcnn/types.h>

#include "kernels/activation.h"
#include "kernels/channels_last.h"
#include "kernels/copies.h"
#include "kernels/depthwise.h"
#include "kernels/direct.h"
#include "kernels/elementwise.h"
#include "kernels/indirect.h"
#include "kernels/lane_pool.h"
#include "kernels/normalization.h"
#include "kernels/optimizer.h"
#include "kernels/packing.h"
#include "kernels/pool.h"
#include "kernels/product.h"
#include "kernels/softmax.h"
#include "kernels/sparse.h"
#include "kernels/unpacked.h"
#include "kernels/winograd.h"

namespace pocketcnn {

template <typename T>
struct Kernels {
    /// Lanes of one vector.
    index_t lanes;
    const ActivationKernels<T>& activation;
    const AveragePoolKernels<T>& average_pool;
    const ChannelsLastKernels<T>& channels_last;
    const CopyKernels<T>& copies;
    const DepthwiseKernels<T>& depthwise;
    const DirectKernels<T>& direct;
    const ElementwiseKernels<T>& elementwise;
    const IndirectKernels<T>& indirect;
    const LanePoolKernels<T>& lane_pool;
    const MaxPoolKernels<T>& max_pool;
    const NormalizationKernels<T>& normalization;
    const OptimizerKernels<T>& optimizer;
    const PackingKernels<T>& packing;
    const ProductKernels<T>& product;
    const SoftmaxKernels<T>& softmax;
    const SparseKernels<T>& sparse;
    const UnpackedKernels<T>& unpacked;
    const UnpoolKernels<T>& unpool;
    const WinogradKernels<T>& winograd;
};

struct KernelTable {
    const char* name;
    Kernels<float> f32;
    Kernels<double> f64;
};

#if defined(__x86_64__)
namespace avx512 {
const KernelTable& kernel_table();
}
namespace avx2 {
const KernelTable& kernel_table();
}
#endif
namespace baseline {
const KernelTable& kernel_table();
}

}  // namespace pocketcnn
