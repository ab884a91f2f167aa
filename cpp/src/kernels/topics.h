// What the topics of one instruction set export: a table per type of element.
#pragma once

#include "kernels/kernel_table.h"
#include "kernels/target.h"

namespace pocketcnn {

template <template <typename> typename Kernels>
struct Topic {
    Kernels<float> f32;
    Kernels<double> f64;
};

namespace POCKETCNN_ISA {

extern const Topic<ActivationKernels> activation_kernels;
extern const Topic<AveragePoolKernels> average_pool_kernels;
extern const Topic<ChannelsLastKernels> channels_last_kernels;
extern const Topic<CopyKernels> copies_kernels;
extern const Topic<DepthwiseKernels> depthwise_kernels;
extern const Topic<DirectKernels> direct_kernels;
extern const Topic<ElementwiseKernels> elementwise_kernels;
extern const Topic<IndirectKernels> indirect_kernels;
extern const Topic<LanePoolKernels> lane_pool_kernels;
extern const Topic<MaxPoolKernels> max_pool_kernels;
extern const Topic<NormalizationKernels> normalization_kernels;
extern const Topic<OptimizerKernels> optimizer_kernels;
extern const Topic<PackingKernels> packing_kernels;
extern const Topic<ProductKernels> product_kernels;
extern const Topic<SoftmaxKernels> softmax_kernels;
extern const Topic<SparseKernels> sparse_kernels;
extern const Topic<UnpackedKernels> unpacked_kernels;
extern const Topic<UnpoolKernels> unpool_kernels;
extern const Topic<WinogradKernels> winograd_kernels;

}  // namespace POCKETCNN_ISA
}  // namespace pocketcnn
