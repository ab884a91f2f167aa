#include "conv/band.h"

#include "runtime/cut.h"

namespace pocketcnn::conv {
namespace {

/// The step that cuts `size` into parts of nearly equal length, none longer than `limit`.
index_t step_within(index_t size, double limit) {
    return even_step(size, static_cast<index_t>(std::clamp(limit, 1.0, static_cast<double>(size))));
}

}  // namespace

BandShape::BandShape(const Problem& problem, BandForm band_form, index_t rows_of_values,
                     index_t element_size, index_t least_row_blocks)
    : form(band_form),
      phases_h(std::min(problem.window.stride_h, problem.window.span_h())),
      planes_w(form == BandForm::dense
                   ? problem.window.kernel_w
                   : std::min(problem.window.stride_w, problem.window.span_w())),
      reach_h(ceil_div(problem.window.span_h(), problem.window.stride_h)),
      reach_w(form == BandForm::dense
                  ? 1
                  : ceil_div(problem.window.span_w(), problem.window.stride_w)) {
    // In elements. The band and the values together stay well within a common L2 cache, and a row
    // is cut only if it would fill most of that. Measured on images of 14 to 224 pixels.
    const double band_room = 256.0 * 1024 / static_cast<double>(element_size);
    const double value_room = 128.0 * 1024 / static_cast<double>(element_size);
    constexpr double longest_row = 2048, enough_rows = 8;
    const index_t oh = std::max<index_t>(1, problem.y.h), ow = std::max<index_t>(1, problem.y.w);
    cols = step_within(ow, longest_row);
    // The slack after the band takes the place of the zeros of a next row; up to a vector of it is
    // read past the last position in any case.
    const Window2d& w = problem.window;
    shared = form == BandForm::spread && w.stride_w == 1 && cols == ow
                 ? std::min({w.pad_left, w.pad_right, reach_w - 1, kPackSlack / 2})
                 : 0;
    const double row_size = static_cast<double>(pitch(cols)) * static_cast<double>(planes());
    const double wanted_rows =
        std::min(enough_rows, static_cast<double>(oh)) + static_cast<double>(reach_h) - 1;
    channels = step_within(problem.channels, band_room / (row_size * wanted_rows));
    const double band_rows = band_room / (row_size * static_cast<double>(channels));
    const double value_rows = value_room / static_cast<double>(pitch(cols) * rows_of_values);
    rows = step_within(oh, std::min({band_rows - static_cast<double>(reach_h) + 1, value_rows,
                                     static_cast<double>(ceil_div(oh, least_row_blocks))}));
    row_blocks = ceil_div(oh, rows);
    col_blocks = ceil_div(ow, cols);
}

}  // namespace pocketcnn::conv
