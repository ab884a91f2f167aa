// Convolutions do not compute with what lay in their workspaces before: where that looks like
// numbers below the normal range, it would take a processor a hundred times as long. The processor
// itself tells whether it met such a number.
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
    release_cached_memory();
    std::vector<void*> blocks;
    for (std::size_t bytes = 64; bytes < (std::size_t{1} << 22); bytes += bytes / 2) {
        for (int copy = 0; copy < 4; ++copy) {
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
    for (const NamedAlgorithm& named : kConvAlgorithms) {
        ConvCase c = given;
        c.conv.algorithm = named.algorithm;
        if (!plan_for(c.x, c.conv, ConvPass::forward)) continue;
        SCOPED_TRACE(std::string(named.name) + (sizeof(T) == 4 ? ", float" : ", double"));
        const ConvOperands<T> o(c);
        const Guarded<T> y(o.y_shape.size()), dx(c.x.size()), dweight(c.weights());
        EXPECT_FALSE(meets_denormals([&] {
            conv2d<T>(o.x_view(), o.weight.data(), nullptr, c.conv, {y.data(), o.y_shape});
        })) << "forward";
        EXPECT_FALSE(meets_denormals([&] {
            conv2d_input_grad<T>(o.dy_view(), o.weight.data(), c.conv, {dx.data(), c.x});
        })) << "input_grad";
        EXPECT_FALSE(meets_denormals([&] {
            conv2d_weight_grad<T>(o.dy_view(), o.x_view(), c.conv, dweight.data());
        })) << "weight_grad";
    }
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
