#include "conv/band.h"

namespace pocketcnn::conv {

BandShape::BandShape(const Problem& problem, index_t values, index_t element_size)
    : phases_h(std::min(problem.window.stride_h, problem.window.span_h())),
      phases_w(std::min(problem.window.stride_w, problem.window.span_w())),
      reach_h(ceil_div(problem.window.span_h(), problem.window.stride_h)),
      reach_w(ceil_div(problem.window.span_w(), problem.window.stride_w)) {
    const index_t oh = std::max<index_t>(1, problem.y.h), ow = std::max<index_t>(1, problem.y.w);
    const auto even = [](index_t size, index_t limit) {
        const index_t parts = ceil_div(size, std::clamp<index_t>(limit, 1, size));
        return ceil_div(size, parts);
    };
    const double channel_bytes = static_cast<double>(problem.channels * phases() * element_size);
    const double fit_cols = static_cast<double>(kBandBytes) / (channel_bytes * 2.0 * reach_h) -
                            static_cast<double>(reach_w);
    const index_t most_cols = std::min(static_cast<index_t>(std::max(0.0, fit_cols)),
                                       kResultBytes / (values * element_size));
    cols = even(ow, std::max(kSmallestCols, most_cols));
    const double row_bytes = static_cast<double>(pitch(cols));
    const double fit_rows = static_cast<double>(kBandBytes) / (channel_bytes * row_bytes) -
                            static_cast<double>(reach_h) + 1;
    const index_t most_rows = kResultBytes / (values * pitch(cols) * element_size);
    rows = even(oh, std::min(static_cast<index_t>(std::max(1.0, fit_rows)),
                             std::max<index_t>(1, most_rows)));
    row_blocks = ceil_div(oh, rows);
    col_blocks = ceil_div(ow, cols);
}

}  // namespace pocketcnn::conv
