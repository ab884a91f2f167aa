// Resizing and its gradient against the definition, in double.
#include <pocketcnn/upsample2d.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "compare.h"
#include "isa_test.h"
#include "random.h"

namespace pocketcnn::tests {
namespace {

struct UpsampleCase {
    std::string name;
    Shape4 x;
    Upsample2d upsample;

    Shape4 y() const {
        const auto scaled = [](index_t in, double scale) {
            return static_cast<index_t>(std::floor(double(in) * scale));
        };
        return {x.n, x.c, scaled(x.h, upsample.scale_h), scaled(x.w, upsample.scale_w)};
    }
};

constexpr UpsampleMode kNearest = UpsampleMode::nearest, kBilinear = UpsampleMode::bilinear;

/// Whole and other scales on each axis, one pixel, tasks of many planes and of parts of one.
const UpsampleCase kUpsampleCases[] = {
    {"NearestTwice", {2, 3, 5, 7}, {2, 2}},
    {"NearestHigh", {2, 2, 5, 7}, {3, 1}},
    {"NearestWide", {2, 2, 5, 7}, {1, 2.5}},
    {"NearestAlmostTwice", {1, 2, 4, 3}, {2.3, 2.3}},
    {"NearestSmaller", {1, 2, 9, 10}, {0.4, 0.7}},
    {"NearestParts", {1, 2, 70, 65}, {2, 2}},
    {"NearestLong", {1, 1, 1, 1}, {150, 200}},
    {"Twice", {2, 3, 5, 7}, {2, 2, kBilinear}},
    {"High", {2, 2, 5, 7}, {2.5, 1, kBilinear}},
    {"Wide", {2, 2, 5, 7}, {1, 3, kBilinear}},
    {"Smaller", {1, 2, 9, 10}, {0.4, 0.7, kBilinear}},
    {"OnePixel", {3, 2, 1, 1}, {4, 5, kBilinear}},
    {"Parts", {1, 2, 70, 65}, {2, 2, kBilinear}},
    {"Long", {1, 1, 1, 1}, {150, 200, kBilinear}},
    {"Corners", {2, 2, 5, 7}, {2, 3, kBilinear, true}},
    {"CornersOfOne", {2, 2, 3, 1}, {0.4, 3, kBilinear, true}},
    {"Empty", {0, 3, 4, 5}, {2, 2, kBilinear}},
};

class UpsampleTest : public IsaCaseTest<UpsampleCase> {};
POCKETCNN_FOR_EVERY_ISA_AND_CASE(UpsampleTest, UpsampleCase, kUpsampleCases);

/// Shares of the inputs along one axis in output o.
std::map<index_t, double> shares(index_t o, index_t in, index_t out, double scale,
                                 const Upsample2d& upsample) {
    if (upsample.mode == kNearest) {
        const double at = scale == std::floor(scale) ? std::floor(double(o) / scale)
                                                     : std::floor(float(o) * float(1 / scale));
        const index_t low = out == in ? o : out == 2 * in ? o / 2 : static_cast<index_t>(at);
        return {{std::min(in - 1, low), 1}};
    }
    double at = (double(o) + 0.5) / scale - 0.5;
    if (upsample.align_corners) at = out == 1 ? 0 : double(o * (in - 1)) / double(out - 1);
    at = std::clamp(at, 0.0, double(in - 1));
    const auto low = static_cast<index_t>(at);
    std::map<index_t, double> result = {{low, 1 - (at - double(low))}};
    if (at > double(low)) result[low + 1] = at - double(low);
    return result;
}

/// Calls body(input, output, share) for all that meet.
template <typename Body>
void for_shares(const UpsampleCase& c, Body&& body) {
    const Shape4 y = c.y();
    for (index_t plane = 0; plane < c.x.n * c.x.c; ++plane) {
        for (index_t oh = 0; oh < y.h; ++oh) {
            for (const auto& [h, row] : shares(oh, c.x.h, y.h, c.upsample.scale_h, c.upsample)) {
                for (index_t ow = 0; ow < y.w; ++ow) {
                    for (const auto& [w, col] :
                         shares(ow, c.x.w, y.w, c.upsample.scale_w, c.upsample)) {
                        body((plane * c.x.h + h) * c.x.w + w, (plane * y.h + oh) * y.w + ow,
                             row * col);
                    }
                }
            }
        }
    }
}

template <typename T>
void check(const UpsampleCase& c, Edge edge) {
    ASSERT_EQ(upsample2d_output_shape(c.x, c.upsample), c.y());
    Random random(c.name);
    const RandomArray<T> x(random, c.x.size(), edge), dy(random, c.y().size(), edge);
    const Guarded<T> y(c.y().size(), edge), dx(c.x.size(), edge);
    upsample2d<T>({x.data(), c.x}, c.upsample, {y.data(), c.y()});
    upsample2d_backward<T>({dy.data(), c.y()}, c.upsample, {dx.data(), c.x});
    Sums wanted(c.y().size()), gradient(c.x.size());
    for_shares(c, [&](index_t in, index_t out, double share) {
        wanted[out].add(share * double(x[in]));
        gradient[in].add(share * double(dy[out]));
    });
    // A share errs by the rounding of its place too, which is no larger than the image.
    for (Sum& sum : wanted) sum.magnitude += 4;
    for (Sum& sum : gradient) sum.magnitude += 4;
    expect_sums(y, wanted, 4);
    expect_sums(dx, gradient, 4);
}

TEST_P(UpsampleTest, OutputAndGradient) {
    for (const Edge edge : kEdges) {
        check<float>(test_case(), edge);
        check<double>(test_case(), edge);
    }
}

TEST(Upsample2d, RefusesWrongSizes) {
    const Shape4 x = {1, 2, 3, 3}, y = {1, 2, 6, 6}, other = {1, 2, 6, 7};
    const Guarded<float> in(x.size()), out(other.size());
    const Upsample2d twice = {2, 2};
    EXPECT_THROW(upsample2d<float>({in.data(), x}, twice, {out.data(), other}),
                 std::invalid_argument);
    EXPECT_THROW(upsample2d_backward<float>({out.data(), other}, twice, {in.data(), x}),
                 std::invalid_argument);
    for (const double scale : {0.0, -1.0, 0.3, 1e30, double(NAN), double(INFINITY)}) {
        EXPECT_THROW(upsample2d_output_shape(x, {scale, 1}), std::invalid_argument) << scale;
        EXPECT_THROW(upsample2d_output_shape(x, {1, scale}), std::invalid_argument) << scale;
    }
    EXPECT_EQ(upsample2d_output_shape(x, twice), y);
    EXPECT_TRUE(in.untouched());
    EXPECT_TRUE(out.untouched());
}

}  // namespace
}  // namespace pocketcnn::tests
