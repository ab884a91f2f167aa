// The poolings that the tests share, and the data that they pool.
#pragma once

#include <pocketcnn/pool2d.h>

#include <algorithm>
#include <limits>
#include <ostream>
#include <string>

#include "compare.h"
#include "fields.h"
#include "random.h"
#include "reference.h"

namespace pocketcnn::tests {

struct PoolCase {
    std::string name;
    Shape4 x;
    Pool2d pool;

    Shape4 y() const { return reference::pool2d_shape(x, pool); }
    friend std::ostream& operator<<(std::ostream& out, const PoolCase& c) { return out << c.name; }
};

inline constexpr Window2d kPool2 = Window2d::square(2, 2);
inline constexpr Window2d kPool3 = Window2d::square(3, 2);

inline const PoolCase kPoolCases[] = {
    {"one_pixel", {1, 1, 1, 1}, {{}}},
    {"copy", {2, 3, 4, 5}, {{}}},
    {"halves", {2, 3, 8, 6}, {kPool2}},
    {"halves_odd", {2, 3, 9, 7}, {kPool2}},
    {"halves_odd_ceil", {2, 3, 9, 7}, {kPool2, true}},
    {"halves_wide", {1, 2, 4, 131}, {kPool2}},
    {"halves_wide_even", {1, 2, 6, 128}, {kPool2}},
    {"halves_in_pairs_of_rows", {3, 5, 14, 14}, {kPool2}},
    {"halves_in_pairs_and_one", {2, 7, 10, 8}, {kPool2}},
    {"halves_of_three", {3, 4, 9, 7}, {kPool2}},
    {"halves_of_eight", {2, 3, 6, 16}, {kPool2}},
    {"overlapping_in_pairs_of_rows", {3, 5, 13, 13}, {kPool3}},
    {"overlapping_in_pairs_padded",
     {3, 5, 12, 14},
     {{.kernel_h = 3, .kernel_w = 3, .stride_h = 2, .stride_w = 2, .pad_top = 1, .pad_bottom = 1}}},
    {"overlapping_halves", {2, 3, 8, 12}, {Window2d::square(3, 2, 1)}},
    {"whole_planes", {3, 5, 7, 7}, {Window2d::square(7)}},
    {"thirds", {1, 2, 9, 13}, {Window2d::square(3, 3)}},
    {"overlapping", {2, 3, 13, 11}, {kPool3}},
    {"overlapping_ceil", {2, 3, 12, 10}, {kPool3, true}},
    {"only_window_hangs_over", {2, 3, 2, 2}, {kPool3, true}},
    {"only_window_of_a_pixel", {2, 3, 1, 1}, {kPool2, true}},
    {"long_rows", {2, 2, 5, 700}, {{.kernel_h = 3, .kernel_w = 300, .stride_w = 200}}},
    {"long_columns", {1, 2, 300, 9}, {{.kernel_h = 200, .kernel_w = 3, .stride_h = 100}}},
    {"overlapping_wide", {1, 2, 7, 133}, {kPool3}},
    {"dense", {2, 2, 7, 9}, {Window2d::square(3)}},
    {"dense_wide", {1, 1, 5, 77}, {Window2d::square(2)}},
    {"non_square", {2, 2, 7, 12}, {{.kernel_h = 2, .kernel_w = 3, .stride_h = 1, .stride_w = 2}}},
    {"row_window", {1, 3, 5, 17}, {{.kernel_w = 4, .stride_w = 3}}},
    {"column_window", {1, 3, 17, 5}, {{.kernel_h = 4, .stride_h = 3}}},
    {"kernel_is_input", {2, 3, 6, 5}, {{.kernel_h = 6, .kernel_w = 5}}},
    {"window_over_padded_input", {3, 2, 4, 4}, {Window2d::square(6, 1, 1)}},
    {"one_window_of_a_part", {2, 3, 5, 4}, {{.kernel_h = 3, .kernel_w = 4, .stride_h = 3}}},
    {"stride_over_kernel",
     {2, 2, 11, 13},
     {{.kernel_h = 2, .kernel_w = 1, .stride_h = 5, .stride_w = 4}}},
    {"stride_over_kernel_ceil",
     {2, 2, 12, 14},
     {{.kernel_h = 2, .kernel_w = 1, .stride_h = 5, .stride_w = 4}, true}},
    {"padded", {2, 3, 7, 8}, {Window2d::square(3, 2, 1)}},
    {"padded_ceil", {2, 3, 7, 8}, {Window2d::square(3, 2, 1), true}},
    {"padded_most",
     {1, 2, 3, 2},
     {{.kernel_h = 4,
       .kernel_w = 3,
       .pad_top = 3,
       .pad_bottom = 3,
       .pad_left = 2,
       .pad_right = 2}}},
    {"asymmetric_padding",
     {2, 2, 6, 5},
     {{.kernel_h = 4, .kernel_w = 3, .stride_h = 3, .pad_top = 0, .pad_bottom = 3, .pad_left = 2}}},
    {"asymmetric_padding_ceil",
     {2, 2, 6, 5},
     {{.kernel_h = 4, .kernel_w = 3, .stride_h = 3, .stride_w = 2, .pad_top = 3, .pad_right = 2},
      true}},
    {"last_window_dropped",  // in ceil mode it would start on the padding behind the input
     {1, 2, 4, 5},
     {{.kernel_h = 3,
       .kernel_w = 3,
       .stride_h = 3,
       .stride_w = 3,
       .pad_top = 1,
       .pad_bottom = 2,
       .pad_left = 1,
       .pad_right = 1},
      true}},
    {"empty_batch", {0, 3, 5, 4}, {kPool2}},
    {"no_channels", {2, 0, 5, 4}, {kPool2}},
    {"shared_by_threads", {3, 17, 37, 41}, {kPool3}},
    // Planes enough for the lanes of any vector, and some more: one window, few, tall planes that
    // take several bands, gaps between the windows, one-sided padding.
    {"lanes_one_window", {5, 7, 5, 3}, {Window2d::square(4, 4, 1)}},
    {"lanes_padded", {3, 13, 7, 9}, {Window2d::square(3, 2, 1)}},
    {"lanes_dense", {3, 13, 9, 6}, {Window2d::square(5, 1, 2)}},
    {"lanes_whole", {9, 4, 6, 7}, {Window2d::square(4, 2)}},
    {"lanes_of_bands", {2, 19, 150, 20}, {Window2d::square(3, 1, 1)}},
    {"lanes_with_gaps",
     {5, 7, 61, 17},
     {{.kernel_h = 2, .kernel_w = 3, .stride_h = 5, .stride_w = 4, .pad_top = 1, .pad_right = 2}}},
    {"lanes_ceil",
     {7, 5, 12, 11},
     {{.kernel_h = 3, .kernel_w = 2, .stride_h = 2, .stride_w = 2, .pad_left = 1}, true}},
};

/// Only max pooling has them.
inline const PoolCase kDilatedPoolCases[] = {
    {"dilated", {2, 3, 9, 11}, {{.kernel_h = 3, .kernel_w = 2, .dilation_h = 2, .dilation_w = 4}}},
    {"dilated_strided",
     {2, 2, 13, 12},
     {{.kernel_h = 2,
       .kernel_w = 3,
       .stride_h = 3,
       .stride_w = 2,
       .dilation_h = 4,
       .dilation_w = 3}}},
    {"dilated_padded",
     {1, 2, 9, 8},
     {{.kernel_h = 3,
       .kernel_w = 3,
       .stride_h = 2,
       .pad_top = 3,
       .pad_bottom = 2,
       .pad_left = 1,
       .pad_right = 3,
       .dilation_h = 2,
       .dilation_w = 2}}},
    {"dilated_lanes",
     {4, 9, 40, 11},
     {{.kernel_h = 3,
       .kernel_w = 2,
       .stride_h = 2,
       .pad_top = 4,
       .pad_right = 1,
       .dilation_h = 3,
       .dilation_w = 2}}},
    {"dilated_ceil",
     {1, 2, 10, 11},
     {{.kernel_h = 2,
       .kernel_w = 3,
       .stride_h = 3,
       .stride_w = 4,
       .pad_left = 1,
       .dilation_h = 3,
       .dilation_w = 2},
      true}},
};

/// Windows whose fields are all varied, see fields.h; their padding may grow by two.
inline const PoolCase kPoolWays[] = {
    {"one_block", {2, 3, 9, 11}, {{.kernel_h = 3, .kernel_w = 4}}},
    {"halves", {3, 2, 10, 12}, {kPool2}},
    {"overlapping", {3, 2, 11, 13}, {kPool3}},
    {"on_all_sides",
     {2, 3, 12, 11},
     {{.kernel_h = 4,
       .kernel_w = 5,
       .stride_h = 2,
       .stride_w = 3,
       .pad_top = 1,
       .pad_left = 1,
       .pad_right = 2}}},
    {"whole_planes", {2, 5, 7, 6}, {{.kernel_h = 7, .kernel_w = 6}}},
    {"in_lanes",
     {3, 11, 10, 9},
     {{.kernel_h = 3, .kernel_w = 4, .stride_h = 2, .stride_w = 3, .pad_top = 1, .pad_right = 2}}},
};

/// Calls body(case) for the case with every field changed, if the window still fits, in both modes.
template <typename Body>
void for_every_field(const PoolCase& given, Body&& body) {
    for_every_field(given.pool.window, [&](const std::string& name, const Window2d& w) {
        const bool fits = std::max(w.pad_top, w.pad_bottom) < w.span_h() &&
                          std::max(w.pad_left, w.pad_right) < w.span_w() &&
                          w.span_h() <= given.x.h + w.pad_top + w.pad_bottom &&
                          w.span_w() <= given.x.w + w.pad_left + w.pad_right;
        for (const bool ceil_mode : {false, true}) {
            if (fits) body(PoolCase{given.name + " with " + name, given.x, {w, ceil_mode}});
        }
    });
}

/// The content of the input of a max pooling.
enum class Content { random, ties, minus_infinity, nan, infinity, descending };
inline constexpr Content kContents[] = {Content::random,   Content::ties,
                                        Content::nan,      Content::minus_infinity,
                                        Content::infinity, Content::descending};

template <typename T>
void fill(const Guarded<T>& x, Content content, Random& random) {
    constexpr T infinity = std::numeric_limits<T>::infinity();
    random.fill(x);
    for (index_t i = 0; i < x.size(); ++i) {
        const index_t dice = random.below(6);
        switch (content) {
            case Content::random:
                break;
            case Content::ties:
                x[i] = dice < 3 ? T{0} : T{-0.0};
                break;
            case Content::minus_infinity:
                x[i] = dice < 5 ? -infinity : x[i];
                break;
            case Content::nan:
                x[i] = dice < 2 ? std::numeric_limits<T>::quiet_NaN() : x[i];
                break;
            case Content::infinity:
                x[i] = dice < 2 ? infinity : x[i];
                break;
            case Content::descending:
                x[i] = static_cast<T>(-i);
                break;
        }
    }
}

}  // namespace pocketcnn::tests
