// The Winograd kernels of one instruction set, gathered.
#include "kernels/topics.h"
#include "kernels/winograd_lanes.h"
#include "kernels/winograd_line.h"
#include "kernels/winograd_mixed.h"
#include "kernels/winograd_products.h"
#include "kernels/winograd_together.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

#define POCKETCNN_WINOGRAD_SIZES(row, column, tile)                                 \
    {                                                                               \
        {nullptr, row<T, 2>, row<T, 3>, row<T, 4>, row<T, 5>},                      \
        {column<T, 2>, tile<T, 2, 2>, tile<T, 2, 3>, tile<T, 2, 4>, tile<T, 2, 5>}, \
        {column<T, 3>, tile<T, 3, 2>, tile<T, 3, 3>, tile<T, 3, 4>, tile<T, 3, 5>}, \
        {column<T, 4>, tile<T, 4, 2>, tile<T, 4, 3>, tile<T, 4, 4>, tile<T, 4, 5>}, \
        {column<T, 5>, tile<T, 5, 2>, tile<T, 5, 3>, tile<T, 5, 4>, tile<T, 5, 5>}, \
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
    .transform = {{nullptr, transform_row<T>}, {transform_column<T>, winograd_transform<T>}},
    .evaluate = POCKETCNN_WINOGRAD_SIZES(evaluate_row, evaluate_column, evaluate_any),
    .collect = POCKETCNN_WINOGRAD_SIZES(collect_row, collect_column, collect_any),
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
