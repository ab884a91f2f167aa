// Optimiser steps against their formulas, several in a row so that their memory counts.
#include <pocketcnn/optimizer.h>

#include <cmath>
#include <limits>

#include "compare.h"
#include "isa_test.h"
#include "random.h"

namespace pocketcnn::tests {
namespace {

class OptimizerTest : public IsaTest {};
POCKETCNN_FOR_EVERY_ISA(OptimizerTest);

constexpr index_t kLengths[] = {0, 1, 3, 7, 8, 9, 16, 17, 65, 16385, 40003};
constexpr index_t kSteps = 3;

/// One element's state, in double, before or after a step.
struct State {
    double param, first, second;
};

/// Runs step(number, grad, first, second, param, size) of the library kSteps times beside
/// element(number, grad, state). Each step of the reference starts from the library's numbers, so
/// errors do not add up. Gradients, parameters and weight decays are chosen so that nothing
/// cancels; then every quantity is good to a few epsilons of itself.
template <typename T, typename Step, typename Element>
void check(index_t size, Edge edge, Step&& step, Element&& element) {
    Random random("optimizer");
    const Guarded<T> param(size, edge), first(size, edge), second(size, edge);
    random.fill_away_from_zero(param);
    std::fill(first.begin(), first.end(), T{0});
    std::fill(second.begin(), second.end(), T{0});
    for (index_t number = 1; number <= kSteps; ++number) {
        Guarded<T> grad(size, edge);
        random.fill_away_from_zero(grad);
        // The same sign at every step, and that of the parameter.
        for (index_t i = 0; i < size; ++i) grad[i] = std::copysign(grad[i], param[i]);
        grad.freeze();
        std::vector<State> wanted;
        for (index_t i = 0; i < size; ++i) {
            wanted.push_back(element(number, double(grad[i]),
                                     {double(param[i]), double(first[i]), double(second[i])}));
        }
        step(number, grad.data(), first.data(), second.data(), param.data(), size);
        constexpr double few = 8 * std::numeric_limits<T>::epsilon();
        for (index_t i = 0; i < size; ++i) {
            expect_near(param[i], wanted[i].param, few);  // parameters and steps are below 1
            expect_near(first[i], wanted[i].first, few * std::abs(wanted[i].first));
            expect_near(second[i], wanted[i].second, few * std::abs(wanted[i].second));
        }
        EXPECT_TRUE(param.margins_intact());
        EXPECT_TRUE(first.margins_intact());
        EXPECT_TRUE(second.margins_intact());
    }
}

template <typename Step, typename Element>
void check_everywhere(Step&& step, Element&& element) {
    for (const index_t size : kLengths) {
        SCOPED_TRACE("size " + std::to_string(size));
        for (const Edge edge : kEdges) {
            if (size > 1000 && edge == Edge::front) continue;
            check<float>(size, edge, step, element);
            check<double>(size, edge, step, element);
        }
    }
}

TEST_P(OptimizerTest, Sgd) {
    for (const double momentum : {0.0, 0.9}) {
        for (const bool nesterov : {false, true}) {
            const Sgd sgd = {0.01, momentum, 0.1, nesterov && momentum > 0};
            check_everywhere(
                [&](index_t, auto* grad, auto* first, auto*, auto* param, index_t size) {
                    update(sgd_step(sgd, momentum > 0 ? first : nullptr, param), grad, size);
                },
                [&](index_t, double grad, State s) {
                    const double g = grad + sgd.weight_decay * s.param;
                    const double v = momentum * s.first + g;
                    const double direction = sgd.nesterov ? g + momentum * v : v;
                    return State{s.param - sgd.lr * direction, momentum > 0 ? v : 0, 0};
                });
        }
    }
}

TEST_P(OptimizerTest, AdaGrad) {
    const AdaGrad adagrad = {0.02, 1e-7, 0.1};
    check_everywhere([&](index_t, auto* grad, auto* first, auto*, auto* param,
                         index_t size) { update(adagrad_step(adagrad, first, param), grad, size); },
                     [&](index_t, double grad, State s) {
                         const double g = grad + adagrad.weight_decay * s.param;
                         const double sum = s.first + g * g;
                         return State{s.param - adagrad.lr * g / (std::sqrt(sum) + adagrad.eps),
                                      sum, 0};
                     });
}

TEST_P(OptimizerTest, RmsProp) {
    const RmsProp rmsprop = {0.01, 0.75, 1e-7, 0.1};
    check_everywhere([&](index_t, auto* grad, auto* first, auto*, auto* param,
                         index_t size) { update(rmsprop_step(rmsprop, first, param), grad, size); },
                     [&](index_t, double grad, State s) {
                         const double g = grad + rmsprop.weight_decay * s.param;
                         const double mean = rmsprop.alpha * s.first + (1 - rmsprop.alpha) * g * g;
                         return State{s.param - rmsprop.lr * g / (std::sqrt(mean) + rmsprop.eps),
                                      mean, 0};
                     });
}

TEST_P(OptimizerTest, Adam) {
    for (const bool decoupled : {false, true}) {
        const Adam base = {0.01, 0.875, 0.96875, 1e-7, 0.1, decoupled, 1};
        check_everywhere(
            [&](index_t number, auto* grad, auto* first, auto* second, auto* param, index_t size) {
                Adam adam = base;
                adam.step = number;
                update(adam_step(adam, first, second, param), grad, size);
            },
            [&](index_t number, double grad, State s) {
                const double decay = base.weight_decay;
                const double g = decoupled ? grad : grad + decay * s.param;
                const double p = decoupled ? s.param - base.lr * decay * s.param : s.param;
                const double m = base.beta1 * s.first + (1 - base.beta1) * g;
                const double v = base.beta2 * s.second + (1 - base.beta2) * g * g;
                const double m_hat = m / (1 - std::pow(base.beta1, double(number)));
                const double v_hat = v / (1 - std::pow(base.beta2, double(number)));
                return State{p - base.lr * m_hat / (std::sqrt(v_hat) + base.eps), m, v};
            });
    }
}

}  // namespace
}  // namespace pocketcnn::tests
