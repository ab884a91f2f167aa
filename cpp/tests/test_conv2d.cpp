// Convolution and its gradients against the naive loops, for every case and instruction set.
#include <pocketcnn/conv2d.h>
#include <pocketcnn/runtime.h>

#include <algorithm>

#include "conv_cases.h"
#include "isa_test.h"

namespace pocketcnn::tests {
namespace {

class Conv2dTest : public IsaCaseTest<ConvCase> {};

TEST_P(Conv2dTest, Forward) {
    EXPECT_EQ(conv2d_output_shape(test_case().x, test_case().conv), test_case().y());
    for (const bool with_bias : {true, false}) {
        check_forward<float>(test_case(), with_bias);
        check_forward<double>(test_case(), with_bias);
    }
}

TEST_P(Conv2dTest, PlanNamesAnAlgorithmAndAReason) {
    for (const ConvPass pass : {ConvPass::forward, ConvPass::input_grad, ConvPass::weight_grad}) {
        const ConvPlan plan = conv2d_plan(test_case().x, test_case().conv, pass);
        EXPECT_NE(plan.algorithm, ConvAlgorithm::automatic);
        EXPECT_STRNE(plan.reason, "");
    }
}

TEST_P(Conv2dTest, InputGradient) {
    check_input_grad<float>(test_case());
    check_input_grad<double>(test_case());
}

TEST_P(Conv2dTest, WeightGradient) {
    check_weight_grad<float>(test_case());
    check_weight_grad<double>(test_case());
}

/// Calls body(conv) for every algorithm of a pass that fits the case.
template <typename Body>
void for_ways(const ConvCase& c, ConvPass pass, Body&& body) {
    for (const ConvAlgorithm algorithm : conv_algorithms(pass)) {
        SCOPED_TRACE(name_of(algorithm));
        Conv2d conv = c.conv;
        conv.algorithm = algorithm;
        if (plan_for(c.x, conv, pass)) body(conv);
    }
}

template <typename T>
void check_bias_grad(const ConvCase& c) {
    for (const Edge edge : kEdges) {
        const ConvOperands<T> o(c, edge);
        const Guarded<T> dbias(c.conv.filters, edge);
        conv2d_backward_bias<T>(o.dy_view(), dbias.data());
        expect_sums(dbias, reference::conv2d_backward_bias<T>(o.dy.data(), o.y_shape));

        const Guarded<T> dweight(c.weights()), beside(c.conv.filters, edge);
        for_ways(c, ConvPass::weight_grad, [&](const Conv2d& conv) {
            conv2d_backward_weight<T>(o.dy_view(), o.x_view(), conv, dweight.data(), beside.data());
            EXPECT_TRUE(std::equal(dbias.data(), dbias.data() + dbias.size(), beside.data()));
        });
    }
}

TEST_P(Conv2dTest, BiasGradient) {
    check_bias_grad<float>(test_case());
    check_bias_grad<double>(test_case());
}

/// Convolution is linear in x and in the weights, and its gradients are the adjoint maps:
/// <dy, conv(x, w)> = <dx, x> = <dw, w>.
template <typename T>
void check_adjoint(const ConvCase& c) {
    const ConvOperands<T> o(c);
    const Guarded<T> y(o.y_shape.size()), dx(c.x.size()), dweight(c.weights());
    conv2d<T>(o.x_view(), o.weight.data(), nullptr, c.conv, {y.data(), o.y_shape});
    conv2d_backward_input<T>(o.dy_view(), o.weight.data(), c.conv, {dx.data(), c.x});
    conv2d_backward_weight<T>(o.dy_view(), o.x_view(), c.conv, dweight.data());
    const auto dot = [](const Guarded<T>& a, const Guarded<T>& b) {
        Sum sum;
        for (index_t i = 0; i < a.size(); ++i) sum.add(double(a[i]) * double(b[i]));
        return sum;
    };
    // The elements of y, dx and dweight err by (their terms + 2) epsilons of their magnitudes,
    // and all three inner products have the same terms dy * x * w in the end.
    double magnitude = 0;
    index_t terms = 0;
    const auto add_terms = [&](ConvPass pass, const Sums& exact, const Guarded<T>& other) {
        const Sums sums = allowances(exact, conv2d_plan(c.x, c.conv, pass).algorithm);
        double total = 0;
        for (index_t i = 0; i < other.size(); ++i) {
            total += sums[i].magnitude * std::abs(double(other[i]));
            terms = std::max(terms, sums[i].terms);
        }
        magnitude = std::max(magnitude, total);
    };
    const Guarded<T>& x = o.x;
    const Guarded<T>& weight = o.weight;
    add_terms(ConvPass::forward,
              reference::conv2d<T>(x.data(), c.x, weight.data(), nullptr, c.conv), o.dy);
    add_terms(ConvPass::input_grad,
              reference::conv2d_backward_input<T>(o.dy.data(), weight.data(), c.conv, c.x), x);
    add_terms(ConvPass::weight_grad,
              reference::conv2d_backward_weight<T>(o.dy.data(), x.data(), c.x, c.conv), weight);
    // The inner products themselves are summed in double.
    const double in_double = static_cast<double>(x.size() + y.size() + weight.size()) *
                             std::numeric_limits<double>::epsilon();
    const double epsilons = 2 * static_cast<double>(terms + 2);
    const double allowed = (epsilons * std::numeric_limits<T>::epsilon() + in_double) * magnitude;
    EXPECT_NEAR(dot(o.dy, y).value, dot(dx, x).value, allowed);
    EXPECT_NEAR(dot(o.dy, y).value, dot(dweight, weight).value, allowed);
}

TEST_P(Conv2dTest, GradientsAreAdjoint) {
    check_adjoint<float>(test_case());
    check_adjoint<double>(test_case());
}

/// The gradients that are computed together are those that are computed alone, bit for bit, with
/// and without those that are not wanted.
template <typename T>
void check_both_gradients(const ConvCase& c) {
    const ConvOperands<T> o(c);
    const Guarded<T> dx(c.x.size()), dweight(c.weights()), dbias(c.conv.filters);
    const Guarded<T> input(c.x.size()), weights(c.weights()), bias(c.conv.filters);
    conv2d_backward_input<T>(o.dy_view(), o.weight.data(), c.conv, {dx.data(), c.x}, o.x.data());
    conv2d_backward_weight<T>(o.dy_view(), o.x_view(), c.conv, dweight.data(), dbias.data());
    const auto expect_equal = [](const Guarded<T>& a, const Guarded<T>& b) {
        EXPECT_TRUE(std::equal(a.data(), a.data() + a.size(), b.data()));
    };
    conv2d_backward<T>(o.dy_view(), o.x_view(), o.weight.data(), c.conv,
                       {input.data(), weights.data(), bias.data()}, o.x.data());
    expect_equal(input, dx);
    expect_equal(weights, dweight);
    expect_equal(bias, dbias);
    std::fill_n(weights.data(), weights.size(), T{1});
    conv2d_backward<T>(o.dy_view(), o.x_view(), nullptr, c.conv,
                       {nullptr, weights.data(), nullptr});
    expect_equal(weights, dweight);
}

TEST_P(Conv2dTest, BothGradients) {
    const int threads = get_num_threads();
    for (const int count : {1, 2}) {
        set_num_threads(count);
        check_both_gradients<float>(test_case());
        check_both_gradients<double>(test_case());
    }
    set_num_threads(threads);
}

/// What is done while the result is written is what a separate step would do, with weights that are
/// kept too. A ReLU and one other activation stand for all.
template <typename T>
void check_gates(const ConvCase& c) {
    for (const Edge edge : kEdges) {
        const ConvOperands<T> o(c, edge);
        const Guarded<T> plain(o.y_shape.size(), edge), y(o.y_shape.size(), edge);
        for_ways(c, ConvPass::forward, [&](const Conv2d& conv) {
            conv2d<T>(o.x_view(), o.weight.data(), nullptr, conv, {plain.data(), o.y_shape});
            conv2d<T>(o.x_view(), o.weight.data(), nullptr, conv, {y.data(), o.y_shape},
                      {Activation::relu});
            for (index_t i = 0; i < y.size(); ++i) ASSERT_EQ(y[i], std::max(plain[i], T{0}));
            conv2d<T>(o.x_view(), o.weight.data(), nullptr, conv, {y.data(), o.y_shape},
                      {Activation::leaky_relu, 0.25});
            for (index_t i = 0; i < y.size(); ++i) {
                ASSERT_EQ(y[i], plain[i] > 0 ? plain[i] : T(0.25) * plain[i]);
            }
            const KeptWeights<T> kept;
            for (int call = 0; call < 2; ++call) {
                conv2d<T>(o.x_view(), o.weight.data(), nullptr, conv, {y.data(), o.y_shape}, {},
                          &kept);
                for (index_t i = 0; i < y.size(); ++i) ASSERT_EQ(y[i], plain[i]);
            }
        });
        const Guarded<T> open(c.x.size(), edge), dx(c.x.size(), edge);
        const RandomArray<T>& gate = o.x;
        for_ways(c, ConvPass::input_grad, [&](const Conv2d& conv) {
            conv2d_backward_input<T>(o.dy_view(), o.weight.data(), conv, {open.data(), c.x});
            conv2d_backward_input<T>(o.dy_view(), o.weight.data(), conv, {dx.data(), c.x},
                                     gate.data());
            for (index_t i = 0; i < dx.size(); ++i) ASSERT_EQ(dx[i], gate[i] > 0 ? open[i] : T{0});
        });
    }
}

TEST_P(Conv2dTest, Gates) {
    check_gates<float>(test_case());
    check_gates<double>(test_case());
}

POCKETCNN_FOR_EVERY_ISA_AND_CASE(Conv2dTest, ConvCase, kConvCases);

}  // namespace
}  // namespace pocketcnn::tests
