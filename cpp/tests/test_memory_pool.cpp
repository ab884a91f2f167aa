// The pool of blocks: alignment, reuse, its bound, and many threads at once.
#include "runtime/memory_pool.h"

#include <gtest/gtest.h>
#include <pocketcnn/conv2d.h>
#include <pocketcnn/runtime.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <latch>
#include <limits>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "random.h"
#include "thread_test.h"

namespace pocketcnn::tests {
namespace {

constexpr std::size_t kMebibyte = std::size_t{1} << 20;

std::size_t held() {
    const MemoryUse use = memory_use();
    return use.in_use + use.cached;
}

TEST(MemoryPool, BlocksAreAlignedAndWholeAndApart) {
    std::vector<std::size_t> sizes = {0, 1, 63, 64, 65, 511, 512, 513, 4096, 100000};
    for (std::size_t size = 1 << 20; size <= std::size_t{1} << 23; size *= 2) {
        sizes.insert(sizes.end(), {size - 1, size, size + 1, size - 64, size + size / 3});
    }
    std::vector<unsigned char*> blocks;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        blocks.push_back(static_cast<unsigned char*>(pool_allocate(sizes[i])));
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(blocks[i]) % kAlignment, 0);
        std::memset(blocks[i], static_cast<int>(i), sizes[i]);
    }
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        const auto own = [&](unsigned char byte) { return byte == static_cast<unsigned char>(i); };
        EXPECT_TRUE(std::all_of(blocks[i], blocks[i] + sizes[i], own)) << sizes[i];
        pool_release(blocks[i]);
    }
}

TEST(MemoryPool, CountsWhatIsInUse) {
    release_cached_memory();  // a larger block of another test might be taken
    const std::size_t before = memory_use().in_use;
    void* block = pool_allocate(100000);
    EXPECT_GE(memory_use().in_use, before + 100000);
    EXPECT_LE(memory_use().in_use, before + 100000 * 9 / 8);
    pool_release(block);
    EXPECT_EQ(memory_use().in_use, before);
    pool_release(nullptr);
    EXPECT_EQ(memory_use().in_use, before);
}

TEST(MemoryPool, ReusesABlockForAboutTheSameSize) {
    void* first = pool_allocate(3000000);
    pool_release(first);
    void* second = pool_allocate(2999000);
    EXPECT_EQ(first, second);
    pool_release(second);
}

TEST(MemoryPool, ReleasesWhatIsCached) {
    void* kept = pool_allocate(5000);
    pool_release(pool_allocate(3 * kMebibyte));
    EXPECT_GE(memory_use().cached, 3 * kMebibyte);
    release_cached_memory();
    EXPECT_EQ(memory_use().cached, 0);
    EXPECT_GE(memory_use().in_use, 5000);
    pool_release(kept);
}

TEST(MemoryPool, HoldsHalfMoreThanWasInUseAtOnce) {
    release_cached_memory();
    // Larger than anything that a test before may have left as the peak.
    const std::size_t largest = held() + 256 * kMebibyte;
    void* block = pool_allocate(largest);
    const std::size_t most = memory_use().in_use / 2 * 3;
    pool_release(block);
    Random random("bound");
    std::vector<void*> blocks;
    for (int i = 0; i < 500; ++i) {
        if (random.below(3) == 0 && !blocks.empty()) {
            std::swap(blocks[random.below(static_cast<index_t>(blocks.size()))], blocks.back());
            pool_release(blocks.back());
            blocks.pop_back();
        } else if (memory_use().in_use < 200 * kMebibyte) {
            blocks.push_back(pool_allocate(random.below(24 * kMebibyte)));
        } else {
            for (void* one : blocks) pool_release(one);
            blocks.clear();
        }
        ASSERT_LE(held(), most);
    }
    for (void* one : blocks) pool_release(one);
    EXPECT_LE(held(), most);
    release_cached_memory();
}

TEST(MemoryPool, MoreThanThereIs) {
    const MemoryUse before = memory_use();
    EXPECT_THROW(pool_allocate(std::numeric_limits<std::size_t>::max()), std::bad_alloc);
    EXPECT_THROW(pool_allocate(std::numeric_limits<std::size_t>::max() / 5), std::bad_alloc);
    EXPECT_THROW(Buffer<double>{std::numeric_limits<index_t>::max()}, std::bad_alloc);
    EXPECT_THROW(Buffer<double>(std::numeric_limits<index_t>::max() / 8), std::bad_alloc);
    EXPECT_THROW(Buffer<float>(-1), std::bad_alloc);
    EXPECT_EQ(memory_use().in_use, before.in_use);
}

TEST(MemoryPool, SaysHowMuchThereIsNot) {
    constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
    try {
        pool_allocate(most);
        FAIL() << "so much there is not";
    } catch (const std::bad_alloc& error) {
        EXPECT_NE(std::string(error.what()).find(std::to_string(most) + " bytes"),
                  std::string::npos)
            << error.what();
    }
}

TEST(MemoryPool, BufferOwnsItsBlock) {
    const std::size_t before = memory_use().in_use;
    {
        Buffer<float> first(1000);
        first[999] = 1;
        Buffer<float> second = std::move(first);
        EXPECT_EQ(second[999], 1);
        Buffer<float> third(10);
        third = std::move(second);
        EXPECT_EQ(third[999], 1);
        pool_release(third.release());
        EXPECT_EQ(third.data(), nullptr);
    }
    EXPECT_EQ(memory_use().in_use, before);
}

/// Every thread fills its blocks with its own byte and finds it again.
void use_blocks(int thread, bool* sound) {
    Random random("thread " + std::to_string(thread));
    struct Block {
        unsigned char* data;
        index_t size;
    };
    std::vector<Block> blocks;
    const auto is_own = [&](unsigned char byte) { return byte == thread; };
    for (int i = 0; i < 3000; ++i) {
        if (blocks.size() < 8) {
            const index_t size = random.below(20000);
            auto* data = static_cast<unsigned char*>(pool_allocate(size));
            std::memset(data, thread, size);
            blocks.push_back({data, size});
        } else {
            std::swap(blocks[random.below(8)], blocks.back());
            const Block block = blocks.back();
            *sound = *sound && std::all_of(block.data, block.data + block.size, is_own);
            pool_release(block.data);
            blocks.pop_back();
        }
    }
    for (const Block& block : blocks) pool_release(block.data);
}

TEST(MemoryPool, ManyThreads) {
    constexpr int count = 8;
    const std::size_t before = memory_use().in_use;
    bool sound[count];
    std::fill_n(sound, count, true);
    std::vector<std::thread> threads;
    for (int i = 0; i < count; ++i) threads.emplace_back(use_blocks, i + 1, &sound[i]);
    for (int i = 0; i < 200; ++i) {
        release_cached_memory();
        std::this_thread::yield();
    }
    for (std::thread& thread : threads) thread.join();
    for (const bool one : sound) EXPECT_TRUE(one);
    EXPECT_EQ(memory_use().in_use, before);
}

TEST(MemoryPool, CountsAndReleasesWhatOtherThreadsGaveBack) {
    release_cached_memory();
    const MemoryUse before = memory_use();
    std::latch gave_back(1), released(1);
    std::thread other([&] {
        for (const std::size_t size : {1000, 2000, 3000}) pool_release(pool_allocate(size));
        gave_back.count_down();
        released.wait();
        pool_release(pool_allocate(4000));
    });
    gave_back.wait();
    EXPECT_EQ(memory_use().in_use, before.in_use);
    EXPECT_GE(memory_use().cached, before.cached + 6000);
    release_cached_memory();
    EXPECT_EQ(memory_use().cached, 0);
    released.count_down();
    other.join();
    EXPECT_EQ(memory_use().in_use, before.in_use);
    EXPECT_GE(memory_use().cached, 4000);
}

/// What operations need in addition to their operands, on one thread: how many of several threads
/// work at the same time is not determined.
class WorkspaceTest : public ThreadTest {
  protected:
    WorkspaceTest() { set_num_threads(1); }

    /// Bytes that all three passes of a 3x3 convolution over n images of h by w leave in the cache.
    static std::size_t of_convolution(index_t n, index_t h, index_t w) {
        const Window2d window = {.kernel_h = 3, .kernel_w = 3, .stride_h = 1, .stride_w = 2};
        const Conv2d conv = {window, 8};
        const Shape4 x_shape = {n, 16, h, w}, y_shape = conv2d_output_shape(x_shape, conv);
        std::vector<float> x(x_shape.size()), y(y_shape.size()), weight(8 * 16 * 9);
        release_cached_memory();
        conv2d<float>({x.data(), x_shape}, weight.data(), nullptr, conv, {y.data(), y_shape});
        conv2d_backward_weight<float>({y.data(), y_shape}, {x.data(), x_shape}, conv,
                                      weight.data());
        conv2d_backward_input<float>({y.data(), y_shape}, weight.data(), conv, {x.data(), x_shape});
        return memory_use().cached;
    }
};

/// Room for the packed weights, the packed block of the column matrix and the part of the image
/// that it reads, in each of the passes. The inputs below take 18 to 20 MiB, their column matrices
/// several times as much.
constexpr std::size_t kEnough = 8 * kMebibyte;

TEST_F(WorkspaceTest, DoesNotGrowWithTheBatch) {
    EXPECT_LE(of_convolution(200, 40, 40), kEnough);
}

TEST_F(WorkspaceTest, DoesNotGrowWithTheHeight) {
    EXPECT_LE(of_convolution(1, 8000, 40), kEnough);
}

TEST_F(WorkspaceTest, DoesNotGrowWithTheWidth) {
    EXPECT_LE(of_convolution(1, 6, 50000), kEnough);
    EXPECT_LE(of_convolution(1, 40, 8000), kEnough);
}

}  // namespace
}  // namespace pocketcnn::tests
