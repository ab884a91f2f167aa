// The Winograd kernels of one instruction set, gathered.
#include "kernels/topics.h"
#include "kernels/winograd_lanes.h"
#include "kernels/winograd_mixed.h"
#include "kernels/winograd_products.h"
#include "kernels/winograd_together.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

#define POCKETCNN_WINOGRAD_SIZES(kernel)                                      \
    {                                                                         \
        {kernel<T, 2, 2>, kernel<T, 2, 3>, kernel<T, 2, 4>, kernel<T, 2, 5>}, \
        {kernel<T, 3, 2>, kernel<T, 3, 3>, kernel<T, 3, 4>, kernel<T, 3, 5>}, \
        {kernel<T, 4, 2>, kernel<T, 4, 3>, kernel<T, 4, 4>, kernel<T, 4, 5>}, \
        {kernel<T, 5, 2>, kernel<T, 5, 3>, kernel<T, 5, 4>, kernel<T, 5, 5>}, \
    }

template <typename T>
constexpr WinogradKernels<T> kKernels = {
    .lanes = kLanes<T>,
    .rows = kWinogradRows,
    .vectors = kWinogradVectors,
    .grad_rows = {kWinogradGradRows<T, 1>, kWinogradGradRows<T, 2>, kWinogradGradRows<T, 3>},
    .grad_vectors = kWinogradGradVectors,
    .gather = winograd_gather<T>,
    .scatter = winograd_scatter<T>,
    .prefetch = winograd_prefetch<T>,
    .gather_together = winograd_gather_together<T>,
    .scatter_together = winograd_scatter_together<T>,
    .scatter_maxima = winograd_scatter_maxima<T>,
    .prefetch_together = winograd_prefetch_together<T>,
    .transform = winograd_transform<T>,
    .evaluate = POCKETCNN_WINOGRAD_SIZES(evaluate_any),
    .collect = POCKETCNN_WINOGRAD_SIZES(collect_any),
    .heights = {kWinogradHeights[0], kWinogradHeights[1], kWinogradHeights[2]},
    .multiply = {{winograd_multiply<T, 1, 0>, winograd_multiply<T, 1, 1>,
                  winograd_multiply<T, 1, 2>},
                 {winograd_multiply<T, 2, 0>, winograd_multiply<T, 2, 1>,
                  winograd_multiply<T, 2, 2>}},
    .accumulate = {winograd_accumulate<T, 1>, winograd_accumulate<T, 2>, winograd_accumulate<T, 3>},
};

#undef POCKETCNN_WINOGRAD_SIZES

}  // namespace

const Topic<WinogradKernels> winograd_kernels = {kKernels<float>, kKernels<double>};

}  // namespace pocketcnn::POCKETCNN_ISA
