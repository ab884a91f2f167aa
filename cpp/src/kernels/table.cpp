// The tables of all topics, gathered into the table of one instruction set.
#include "kernels/simd.h"
#include "kernels/topics.h"

#define POCKETCNN_TEXT_OF(name) #name
#define POCKETCNN_TEXT(name) POCKETCNN_TEXT_OF(name)

namespace pocketcnn::POCKETCNN_ISA {
namespace {

template <typename T, template <typename> typename Kernels>
constexpr const Kernels<T>& of(const Topic<Kernels>& topic) {
    if constexpr (sizeof(T) == sizeof(float)) {
        return topic.f32;
    } else {
        return topic.f64;
    }
}

template <typename T>
constexpr Kernels<T> kKernels = {
    .lanes = kLanes<T>,
    .activation = of<T>(activation_kernels),
    .average_pool = of<T>(average_pool_kernels),
    .channels_last = of<T>(channels_last_kernels),
    .copies = of<T>(copies_kernels),
    .depthwise = of<T>(depthwise_kernels),
    .direct = of<T>(direct_kernels),
    .elementwise = of<T>(elementwise_kernels),
    .indirect = of<T>(indirect_kernels),
    .lane_pool = of<T>(lane_pool_kernels),
    .max_pool = of<T>(max_pool_kernels),
    .normalization = of<T>(normalization_kernels),
    .optimizer = of<T>(optimizer_kernels),
    .packing = of<T>(packing_kernels),
    .product = of<T>(product_kernels),
    .softmax = of<T>(softmax_kernels),
    .sparse = of<T>(sparse_kernels),
    .unpacked = of<T>(unpacked_kernels),
    .unpool = of<T>(unpool_kernels),
    .winograd = of<T>(winograd_kernels),
};

constexpr KernelTable kTable = {POCKETCNN_TEXT(POCKETCNN_ISA), kKernels<float>, kKernels<double>};

}  // namespace

const KernelTable& kernel_table() {
    return kTable;
}

}  // namespace pocketcnn::POCKETCNN_ISA
