// The depthwise convolution: rows around the tiles' heights and the vectors' widths, every kernel
// height and stride that has a loop, images that take several bands, and the same bits for every
// team. test_conv2d.cpp has the other cases.
#include <pocketcnn/runtime.h>

#include <string>

#include "conv/depthwise.h"
#include "conv_cases.h"
#include "isa_test.h"
#include "runtime/isa.h"
#include "thread_test.h"

namespace pocketcnn::tests {
namespace {

/// A kernel of kh x kw over planes of h x w, padded by half of its size.
ConvCase depthwise_case(index_t n, index_t groups, index_t h, index_t w, index_t kh, index_t kw,
                        index_t stride_h, index_t stride_w, index_t filters = 1) {
    const std::string name = std::to_string(groups) + " planes " + std::to_string(h) + "x" +
                             std::to_string(w) + ", " + std::to_string(kh) + "x" +
                             std::to_string(kw) + "/" + std::to_string(stride_h) + "x" +
                             std::to_string(stride_w);
    return {name,
            {n, groups, h, w},
            {{.kernel_h = kh,
              .kernel_w = kw,
              .stride_h = stride_h,
              .stride_w = stride_w,
              .pad_top = kh / 2,
              .pad_bottom = kh / 2,
              .pad_left = kw / 2,
              .pad_right = kw / 2},
             groups * filters,
             groups}};
}

template <typename T>
void check(const ConvCase& c) {
    check_forward<T>(c, true);
    check_input_grad<T>(c);
    check_weight_grad<T>(c);
}

class Conv2dDepthwiseTest : public IsaTest {};
POCKETCNN_FOR_EVERY_ISA(Conv2dDepthwiseTest);

TEST_P(Conv2dDepthwiseTest, SizesAroundTheTiles) {
    const index_t lanes = kernels<float>().lanes;
    for (const index_t w : {index_t{1}, lanes / 2, lanes - 1, lanes, lanes + 1, 2 * lanes + 3}) {
        for (const index_t h : {1, 2, 3, 5, 7, 8, 13, 17}) {
            check<float>(depthwise_case(2, 17, h, w, 3, 3, 1, 1));
            check<float>(depthwise_case(1, 16, h, w, 3, 3, 2, 2));
            check<double>(depthwise_case(1, 16, h, w, 5, 3, 2, 1));
            if (::testing::Test::HasFailure()) return;
        }
    }
}

/// Which kernels have loops; the others must be computed too, by whatever algorithm fits.
TEST_P(Conv2dDepthwiseTest, KernelsAndStrides) {
    for (index_t kh = 1; kh <= 8; ++kh) {
        for (const index_t kw : {index_t{2}, index_t{3}, kh}) {
            for (const index_t stride_h : {1, 2, 3}) {
                for (const index_t stride_w : {1, 2}) {
                    const ConvCase c = depthwise_case(2, 16, 15, 10, kh, kw, stride_h, stride_w);
                    const conv::Problem problem(c.x, c.conv);
                    const bool has_tiles =
                        kh <= 7 && stride_h == stride_w &&
                        (stride_h == 1 || (stride_h == 2 && kh % 2 == 1 && kh > 1));
                    const bool has_strips = kh == kw && kh == 3 && stride_h <= 2;
                    const bool has_more = kh == kw && kh == 5 && stride_h <= 2;
                    EXPECT_EQ(conv::depthwise::obstacle(problem, ConvPass::forward) == nullptr,
                              has_tiles || has_strips || has_more)
                        << c.name;
                    EXPECT_EQ(conv::depthwise::obstacle(problem, ConvPass::weight_grad) == nullptr,
                              has_tiles || has_strips)
                        << c.name;
                    check<float>(c);
                    check<double>(c);
                }
            }
        }
    }
}

/// Planes so small that vectors run over several of them.
TEST_P(Conv2dDepthwiseTest, SmallPlanes) {
    for (index_t h = 1; h <= 4; ++h) {
        for (index_t w = 1; w <= 4; ++w) {
            for (const index_t stride : {1, 2}) {
                check<float>(depthwise_case(2, 19, h, w, 3, 3, stride, stride));
                check<float>(depthwise_case(2, 19, h, w, 3, 5, stride, stride, 2));
                check<double>(depthwise_case(2, 19, h, w, 5, 5, stride, stride));
            }
        }
    }
}

/// Signals: planes of one row.
TEST_P(Conv2dDepthwiseTest, Signals) {
    for (const index_t w : {1, 5, 16, 37}) {
        for (const index_t k : {1, 3, 8, 31}) {
            for (const index_t stride : {1, 2}) {
                check<float>(depthwise_case(2, 17, 1, w, 1, k, 1, stride));
                check<double>(depthwise_case(2, 17, 2, w, 1, k, 1, stride));
            }
        }
    }
}

/// Padding that hides rows and columns, wide or missing, on each side by itself, and dilated rows.
TEST_P(Conv2dDepthwiseTest, Padding) {
    const index_t lanes = kernels<float>().lanes;
    for (const index_t k : {3, 5}) {
        for (const index_t stride : {1, 2}) {
            for (const index_t w : {index_t{5}, 2 * lanes}) {
                for (int sides = 0; sides < 81; ++sides) {
                    const auto pad = [&](int side) {
                        constexpr index_t sizes[] = {0, 1, 7};
                        return sizes[sides / side % 3];
                    };
                    ConvCase c = depthwise_case(1, 2, 6, w, k, k, stride, stride);
                    c.conv.window.pad_top = pad(1);
                    c.conv.window.pad_bottom = pad(3);
                    c.conv.window.pad_left = pad(9);
                    c.conv.window.pad_right = pad(27);
                    c.conv.window.dilation_w = sides % 2 == 0 && w > 2 * k ? 2 : 1;
                    c.name += ", padding number " + std::to_string(sides);
                    check<float>(c);
                    if (::testing::Test::HasFailure()) return;
                }
            }
        }
    }
}

const ConvCase kBanded[] = {
    depthwise_case(1, 16, 131, 90, 3, 3, 1, 1),
    depthwise_case(1, 16, 131, 91, 5, 5, 2, 2),
    depthwise_case(2, 17, 40, 31, 3, 3, 1, 1, 2),
    depthwise_case(1, 1, 61, 150, 5, 5, 1, 1, 3),
};

TEST_P(Conv2dDepthwiseTest, SeveralBands) {
    for (const ConvCase& c : kBanded) {
        check<float>(c);
        check<double>(c);
    }
}

/// The results must not depend on the number of threads in a single bit.
TEST(Conv2dDepthwiseThreadsTest, SameBits) {
    const KeepThreads keep;
    for (const ConvCase& c : kBanded) {
        SCOPED_TRACE(c.name);
        const ConvOperands<float> o(c);
        std::vector<float> of_one;
        for (const auto& [team, threads] : crews({1, 2, 3, 8})) {
            use(team, threads);
            const Guarded<float> y(c.y().size()), dx(c.x.size()), dweight(c.weights());
            conv2d<float>(o.x_view(), o.weight.data(), o.bias.data(), c.conv, {y.data(), c.y()});
            conv2d_backward_input<float>(o.dy_view(), o.weight.data(), c.conv, {dx.data(), c.x});
            conv2d_backward_weight<float>(o.dy_view(), o.x_view(), c.conv, dweight.data());
            std::vector<float> all = y.copy();
            for (const auto& part : {dx.copy(), dweight.copy()}) {
                all.insert(all.end(), part.begin(), part.end());
            }
            if (threads == 1) of_one = all;
            EXPECT_TRUE(same_bits(of_one, all)) << team << ", " << threads << " threads";
        }
    }
}

}  // namespace
}  // namespace pocketcnn::tests
