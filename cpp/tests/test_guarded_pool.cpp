// A build with guard pages ends at the first byte beside a block, and at a released block.
#include <gtest/gtest.h>
#include <pocketcnn/runtime.h>

#include <cmath>
#include <csignal>

#include "runtime/memory_pool.h"

namespace pocketcnn::tests {
namespace {

/// Whether reading or writing there ends the process.
template <typename T>
void expect_forbidden(volatile T* place) {
    EXPECT_EXIT(static_cast<void>(*place), ::testing::KilledBySignal(SIGSEGV), "");
    EXPECT_EXIT(*place = T{0}, ::testing::KilledBySignal(SIGSEGV), "");
}

TEST(GuardedPool, BlocksEndAtAForbiddenPage) {
    for (const index_t size : {1, 3, 1000, 1024, 5000, 1 << 20}) {
        const Buffer<double> block(size);
        for (index_t i = 0; i < size; ++i) ASSERT_TRUE(std::isnan(block[i]));
        block[0] = block[size - 1] = 1;
        expect_forbidden(block.data() + size);
        expect_forbidden(reinterpret_cast<char*>(block.data() + size));
    }
    expect_forbidden(Buffer<float>(0).data());
}

TEST(GuardedPool, BlocksGivenBackAreForbidden) {
    float* block = static_cast<float*>(pool_allocate(100 * sizeof(float)));
    pool_release(block);
    expect_forbidden(block);
    expect_forbidden(block + 99);
    EXPECT_DEATH(pool_release(block), "given back twice");
}

TEST(GuardedPool, CountsWhatIsInUse) {
    const std::size_t before = memory_use().in_use;
    {
        const Buffer<float> block(1000);
        EXPECT_EQ(memory_use().in_use, before + 4000);
    }
    EXPECT_EQ(memory_use().in_use, before);
    EXPECT_EQ(memory_use().cached, 0);
}

}  // namespace
}  // namespace pocketcnn::tests
