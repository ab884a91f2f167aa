// Convolutions do not compute with old contents of their workspaces: denormal numbers there would
// take a processor a hundred times as long. A flag of the processor shows whether one was used.
#include <pocketcnn/conv2d.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "conv_cases.h"
#include "isa_test.h"
#include "runtime/memory_pool.h"
#include "thread_test.h"

namespace pocketcnn::tests {
namespace {

#if defined(__x86_64__)

constexpr unsigned kDenormalOperand = 1U << 1;

/// Leaves free blocks of every size in the pool, full of numbers below the normal range of both
/// types.
void spoil_pool() {
    std::vector<void*> blocks;
    for (std::size_t bytes = 64; bytes < (std::size_t{1} << 22); bytes += bytes / 2) {
        // Few passes take several large blocks, and filling those takes most of the time.
        const int copies = bytes < (std::size_t{1} << 19) ? 4 : 2;
        for (int copy = 0; copy < copies; ++copy) {
            void* block = pool_allocate(bytes);
            std::fill_n(static_cast<std::uint32_t*>(block), bytes / sizeof(std::uint32_t), 1U);
            blocks.push_back(block);
        }
    }
    for (void* block : blocks) pool_release(block);
}

/// Whether the body met a number below the normal range.
template <typename Body>
bool meets_denormals(Body&& body) {
    spoil_pool();
    __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() & ~kDenormalOperand);
    body();
    return (__builtin_ia32_stmxcsr() & kDenormalOperand) != 0;
}

template <typename T>
void check(const ConvCase& given) {
    const ConvOperands<T> o(given);
    const Guarded<T> y(o.y_shape.size()), dx(given.x.size()), dweight(given.weights());
    const auto check_pass = [&](ConvPass pass, auto&& compute) {
        for (const ConvAlgorithm algorithm : conv_algorithms(pass)) {
            Conv2d conv = given.conv;
            conv.algorithm = algorithm;
            if (!plan_for(given.x, conv, pass)) continue;
            EXPECT_FALSE(meets_denormals([&] { compute(conv); }))
                << name_of(algorithm) << (sizeof(T) == 4 ? ", float" : ", double");
        }
    };
    check_pass(ConvPass::forward, [&](const Conv2d& conv) {
        conv2d<T>(o.x_view(), o.weight.data(), nullptr, conv, {y.data(), o.y_shape});
    });
    check_pass(ConvPass::input_grad, [&](const Conv2d& conv) {
        conv2d_backward_input<T>(o.dy_view(), o.weight.data(), conv, {dx.data(), given.x});
    });
    check_pass(ConvPass::weight_grad, [&](const Conv2d& conv) {
        conv2d_backward_weight<T>(o.dy_view(), o.x_view(), conv, dweight.data());
    });
}

class StaleMemoryTest : public IsaCaseTest<ConvCase> {};
POCKETCNN_FOR_EVERY_ISA_AND_CASE(StaleMemoryTest, ConvCase, kConvCases);

TEST_P(StaleMemoryTest, IsNotComputedWith) {
    set_num_threads(1);  // the flag is the thread's own
    check<float>(test_case());
    check<double>(test_case());
}

#endif

}  // namespace
}  // namespace pocketcnn::tests
