// Every kernel, gathered into the table of one instruction set. An isa_<name>.cpp defines
// POCKETCNN_ISA (its namespace and name), POCKETCNN_VECTOR_BYTES and POCKETCNN_VECTOR_REGISTERS,
// and includes this file once. All but the table's accessor has internal linkage: a function
// shared between instruction sets could be replaced by the linker with another set's copy.

#include <cstdint>
#include <limits>

#include "kernels/kernel_table.h"

#define POCKETCNN_TEXT_OF(name) #name
#define POCKETCNN_TEXT(name) POCKETCNN_TEXT_OF(name)

namespace pocketcnn::POCKETCNN_ISA {
namespace {

inline constexpr int kVectorBytes = POCKETCNN_VECTOR_BYTES;
inline constexpr int kVectorRegisters = POCKETCNN_VECTOR_REGISTERS;

#include "kernels/simd.h"
// simd.h comes first: the others are written in its vocabulary.
#include "kernels/rows.inl"
// direct.inl and depthwise.inl end their rows with rows.inl's copies.
#include "kernels/direct.inl"
// depthwise.inl chooses its loops with direct.inl's numbers.
#include "kernels/depthwise.inl"
#include "kernels/elementwise.inl"
#include "kernels/exponential.inl"
#include "kernels/few_rows.inl"
#include "kernels/optimizer.inl"
// normalization.inl takes rows.inl's copies, the exponential and the optimisers' square root.
#include "kernels/normalization.inl"
#include "kernels/product.inl"
// indirect.inl and packing.inl follow the tile of product.inl.
#include "kernels/indirect.inl"
#include "kernels/packing.inl"
#include "kernels/pool.inl"
#include "kernels/pool_columns.inl"
#include "kernels/pool_grad.inl"
// dots.inl uses the narrow vectors of pool.inl.
#include "kernels/dots.inl"
#include "kernels/sparse_grad.inl"
#include "kernels/winograd.inl"

template <typename T>
constexpr Kernels<T> kKernels = {
    .rows = kTileRows,
    .cols = kTileVectors * kLanes<T>,
    .multiply = multiply<T>,
    .multiply_rows = multiply_rows<T>,
    .store_tile = store_tile<T>,
    .indirect = {indirect_tile<T, 1>(), indirect_tile<T, 2>(), indirect_tile<T, 3>(),
                 indirect_tile<T, 4>()},
    .store_transposed = store_transposed<T>,
    .pack_rows = pack_rows<T>,
    .pack_columns = pack_columns<T>,
    .pack_runs = pack_runs<T>,
    .winograd = kWinogradKernels<T>,
    .direct_rows = kDirectRows,
    .lanes = kLanes<T>,
    .correlate = correlate<T>,
    .correlate_grad = correlate_grad<T>,
    .copy_patches = copy_patches<T>,
    .relative_places = relative_places,
    .sparse_grad = sparse_grad<T>,
    .depthwise = depthwise<T>,
    .depthwise_grad = depthwise_grad<T>,
    .copy_plane = copy_plane<T>,
    .split_plane = split_plane<T>,
    .spread_plane = spread_plane<T>,
    .fold_lanes = fold_lanes<T>,
    .pad_rows = pad_rows<T>,
    .copy_rows = copy_rows<T>,
    .add = add<T>,
    .add_rows = add_rows<T>,
    .add_two = add_two<T>,
    .sum = sum<T>,
    .relu = relu<T>,
    .relu_grad = relu_grad<T>,
    .dots = dots<T>,
    .few_rows_sums = few_rows_sums<T>,
    .sigmoid = sigmoid<T>,
    .sigmoid_grad = sigmoid_grad<T>,
    .tanh = tanh<T>,
    .tanh_grad = tanh_grad<T>,
    .exp = exp<T>,
    .exp_minus = exp_minus<T>,
    .largest = largest<T>,
    .dot = dot<T>,
    .scale = scale<T>,
    .subtract = subtract<T>,
    .scale_centred = scale_centred<T>,
    .max_pool = max_pool_kernels<T, index_t>,
    .narrow_max_pool = max_pool_kernels<T, std::int32_t>,
    .average_pool = average_pool<T>,
    .average_planes = average_planes<T>,
    .average_pool_grad = average_pool_grad<T>,
    .moments = moments<T>,
    .normalize = normalize<T>,
    .normalize_sums = normalize_sums<T>,
    .normalize_grad = normalize_grad<T>,
    .response_norm = response_norm<T>,
    .response_norm_grad = response_norm_grad<T>,
    .sgd = sgd<T>,
    .adagrad = adagrad<T>,
    .rmsprop = rmsprop<T>,
    .adam = adam<T>,
};

constexpr KernelTable kTable = {POCKETCNN_TEXT(POCKETCNN_ISA), kKernels<float>, kKernels<double>};

}  // namespace

const KernelTable& kernel_table() {
    return kTable;
}

}  // namespace pocketcnn::POCKETCNN_ISA
