// Large blocks of the pool: free neighbours join, and what is free goes back to the system.
#include "runtime/regions.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "random.h"

namespace pocketcnn::tests {
namespace {

constexpr std::size_t kMebibyte = std::size_t{1} << 20;

class RegionsTest : public testing::Test {
  protected:
    ~RegionsTest() override {
        for (const Block& block : blocks_) regions_.give(block.data);
        regions_.trim(0);
        EXPECT_EQ(regions_.kept(), 0);
    }

    struct Block {
        unsigned char* data;
        std::size_t size;
        unsigned char content;
    };

    /// Whether there was room without a new region.
    bool take(std::size_t size) {
        void* block = regions_.take(size);
        const bool had_room = block != nullptr;
        if (!had_room) {
            EXPECT_TRUE(regions_.grow(size));
            block = regions_.take(size);
        }
        blocks_.push_back({static_cast<unsigned char*>(block), size, ++content_});
        std::memset(block, content_, size);
        return had_room;
    }

    /// Gives a block back that is as it was left.
    void give(std::size_t index) {
        const Block block = blocks_[index];
        const auto own = [&](unsigned char byte) { return byte == block.content; };
        EXPECT_TRUE(std::all_of(block.data, block.data + block.size, own));
        regions_.give(block.data);
        blocks_.erase(blocks_.begin() + static_cast<std::ptrdiff_t>(index));
    }

    Regions regions_;
    std::vector<Block> blocks_;
    unsigned char content_ = 0;
};

TEST_F(RegionsTest, HasNothingAtFirst) {
    EXPECT_EQ(regions_.take(Regions::kPage), nullptr);
    EXPECT_EQ(regions_.kept(), 0);
}

TEST_F(RegionsTest, ManySmallBlocksMakeRoomForALargeOne) {
    ASSERT_FALSE(take(12 * kMebibyte));
    give(0);
    for (int i = 0; i < 6; ++i) EXPECT_TRUE(take(2 * kMebibyte));
    EXPECT_EQ(regions_.take(Regions::kPage), nullptr);
    for (const std::size_t i : {1, 3, 1, 2, 1, 0}) give(i);  // neighbours before and behind
    EXPECT_EQ(regions_.kept(), 12 * kMebibyte);
    EXPECT_TRUE(take(12 * kMebibyte));
}

TEST_F(RegionsTest, TakesTheSmallestPieceThatFits) {
    ASSERT_FALSE(take(12 * kMebibyte));
    give(0);
    for (const std::size_t size : {5, 1, 3, 1, 2}) take(size * kMebibyte);
    unsigned char* const three = blocks_[2].data;
    give(2);
    give(0);
    take(2 * kMebibyte + Regions::kPage);
    EXPECT_EQ(blocks_.back().data, three);
}

TEST_F(RegionsTest, ReturnsWhatIsFreeBetweenBlocks) {
    ASSERT_FALSE(take(12 * kMebibyte));
    give(0);
    for (int i = 0; i < 3; ++i) take(4 * kMebibyte);
    give(1);
    regions_.trim(0);
#if defined(__linux__)
    EXPECT_EQ(regions_.kept(), 0);
#endif
    EXPECT_TRUE(take(4 * kMebibyte));
    give(0);
    give(0);
    EXPECT_EQ(regions_.kept(), 8 * kMebibyte);
}

TEST_F(RegionsTest, TrimsToWhatIsAsked) {
    for (int i = 0; i < 4; ++i) take(40 * kMebibyte);
    while (!blocks_.empty()) give(0);
    regions_.trim(100 * kMebibyte);
    EXPECT_EQ(regions_.kept(), 80 * kMebibyte);
}

TEST_F(RegionsTest, KeepsBlocksApart) {
    Random random("regions");
    for (int i = 0; i < 600; ++i) {
        if (blocks_.size() < 12) {
            take((1 + static_cast<std::size_t>(random.below(600))) * Regions::kPage);
        } else {
            give(static_cast<std::size_t>(random.below(12)));
        }
        if (i % 50 == 0) regions_.trim(kMebibyte);
    }
}

}  // namespace
}  // namespace pocketcnn::tests
