// Every convolution algorithm with every field of the window at several values, on each axis
// separately.
#include <pocketcnn/conv2d.h>

#include "conv_cases.h"
#include "fields.h"
#include "isa_test.h"

namespace pocketcnn::tests {
namespace {

/// One case per algorithm, named after it. No two fields of a kind are equal, if the algorithm
/// allows that.
const ConvCase kWays[] = {
    {"pointwise", {2, 6, 5, 7}, {{}, 8}},
    {"pointwise_in_place", {2, 6, 9, 11}, {{}, 8}},
    {"packed_panels",
     {2, 14, 9, 11},
     {{.kernel_h = 3, .kernel_w = 2, .pad_top = 1, .pad_bottom = 2, .pad_right = 3}, 18}},
    {"few_pixels",
     {1, 64, 7, 8},
     {{.kernel_h = 3, .kernel_w = 3, .pad_top = 1, .pad_left = 2}, 86}},
    {"few_pixels_in_columns", {1, 64, 6, 8}, {{.kernel_h = 3, .pad_bottom = 1}, 256}},
    {"few_filters",
     {2, 2, 10, 13},
     {{.kernel_h = 3, .kernel_w = 5, .pad_top = 2, .pad_left = 1, .pad_right = 4}, 6}},
    {"depthwise",
     {2, 18, 9, 12},
     {{.kernel_h = 3, .kernel_w = 5, .pad_top = 1, .pad_bottom = 2, .pad_left = 3}, 18, 18}},
    {"depthwise_strided",
     {1, 18, 11, 14},
     {{.kernel_h = 3, .kernel_w = 3, .stride_h = 2, .stride_w = 2, .pad_top = 1}, 36, 18}},
    {"phases",
     {2, 4, 12, 11},
     {{.kernel_h = 4, .kernel_w = 3, .stride_h = 2, .stride_w = 3, .pad_top = 1, .pad_left = 2},
      6}},
    {"patches",
     {3, 16, 11, 14},
     {{.kernel_h = 3, .kernel_w = 4, .stride_h = 2, .stride_w = 1, .pad_bottom = 2}, 12}},
    {"winograd",
     {2, 16, 13, 18},
     {{.kernel_h = 3, .kernel_w = 4, .pad_top = 1, .pad_bottom = 2, .pad_right = 3}, 18}},
    {"winograd_strided",
     {2, 8, 17, 20},
     {{.kernel_h = 5, .kernel_w = 7, .stride_h = 2, .stride_w = 3, .pad_left = 2}, 10}},
    {"winograd_dilated",
     {2, 8, 17, 20},
     {{.kernel_h = 3, .kernel_w = 2, .pad_top = 3, .pad_right = 1, .dilation_h = 2}, 10}},
    {"winograd_in_parts",
     {2, 6, 15, 16},
     {{.kernel_h = 7, .kernel_w = 4, .pad_top = 3, .pad_bottom = 1, .pad_left = 2}, 8}},
};

class ConvFieldsTest : public IsaCaseTest<ConvCase> {
  protected:
    /// Calls check(case) for the case with each field changed.
    template <typename Check>
    void for_fields(Check&& check) {
        for_every_field(test_case().conv, [&](const std::string& name, const Conv2d& conv) {
            check(ConvCase{test_case().name + " with " + name, test_case().x, conv});
        });
    }
};
POCKETCNN_FOR_EVERY_ISA_AND_CASE(ConvFieldsTest, ConvCase, kWays);

TEST_P(ConvFieldsTest, Forward) {
    for_fields([](const ConvCase& c) {
        check_forward<float>(c, true);
        check_forward<double>(c, false);
    });
}

TEST_P(ConvFieldsTest, InputGradient) {
    for_fields([](const ConvCase& c) {
        check_input_grad<float>(c);
        check_input_grad<double>(c);
    });
}

TEST_P(ConvFieldsTest, WeightGradient) {
    for_fields([](const ConvCase& c) {
        check_weight_grad<float>(c);
        check_weight_grad<double>(c);
    });
}

}  // namespace
}  // namespace pocketcnn::tests
