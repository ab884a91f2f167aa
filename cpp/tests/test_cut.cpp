// How work is cut, and partial sums added up in order.
#include "runtime/cut.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "isa_test.h"
#include "random.h"
#include "runtime/add_in_order.h"
#include "thread_test.h"

namespace pocketcnn::tests {
namespace {

TEST(Split, PartsFollowEachOtherAndDifferByAtMostOne) {
    for (const index_t size : {0, 1, 2, 7, 16, 100, 101}) {
        for (const index_t count : {1, 2, 3, 7, 16, 120}) {
            const Split split = {size, count};
            EXPECT_EQ(split.begin(0), 0);
            EXPECT_EQ(split.end(count - 1), size);
            for (index_t part = 0; part < count; ++part) {
                EXPECT_EQ(split.end(part), split.begin(part + 1));
                EXPECT_GE(split.length(part), size / count);
                EXPECT_LE(split.length(part), ceil_div(size, count));
            }
        }
    }
}

TEST(Split, FewestPartsOfAtMostSoMany) {
    for (const index_t size : {1, 2, 7, 16, 100, 101}) {
        for (const index_t most : {1, 2, 7, 16, 1000}) {
            const Split split = Split::at_most(size, most);
            EXPECT_GT(size, (split.count - 1) * most);
            for (index_t part = 0; part < split.count; ++part) EXPECT_LE(split.length(part), most);
        }
    }
    EXPECT_EQ(Split::at_most(0, 5).count, 0);
}

TEST(Split, EvenSteps) {
    EXPECT_EQ(even_step(100, 30), 25);
    EXPECT_EQ(even_step(101, 30), 26);
    EXPECT_EQ(even_step(30, 30), 30);
    EXPECT_EQ(even_step(7, 1000), 7);
    EXPECT_EQ(even_step(7, 1), 1);
    EXPECT_EQ(even_step(0, 30), 1);
    for (const index_t size : {1, 2, 7, 16, 100, 101}) {
        for (const index_t most : {1, 2, 7, 16, 1000}) {
            EXPECT_LE(even_step(size, most), most);
            EXPECT_EQ(ceil_div(size, even_step(size, most)), ceil_div(size, most));
        }
    }
}

template <typename T>
void expect_sums_in_order(index_t count, index_t size) {
    Random random("add in order");
    const RandomArray<T> arrays(random, count * size), before(random, size);
    const Guarded<T> expected(size);
    std::copy_n(before.data(), size, expected.data());
    for (index_t i = 0; i < count * size; ++i) expected[i % size] += arrays[i];
    for (const Crew& crew : crews({1, 3})) {
        use(crew.team, crew.threads);
        const Guarded<T> to(size);
        std::copy_n(before.data(), size, to.data());
        add_in_order(count, size, arrays.data(), to.data());
        EXPECT_EQ(to.copy(), expected.copy()) << count << " arrays of " << size;
    }
}

/// To the last bit, whoever adds.
TEST(AddInOrder, FirstToLast) {
    const KeepThreads keep;
    for_every_isa([] {
        for (const index_t size : {0, 1, 4095, 4097, 40000}) {
            for (const index_t count : {0, 1, 2, 15}) {
                expect_sums_in_order<float>(count, size);
                expect_sums_in_order<double>(count, size);
            }
        }
    });
}

}  // namespace
}  // namespace pocketcnn::tests
