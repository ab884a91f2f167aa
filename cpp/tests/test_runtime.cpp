// The choice of the instruction set.
#include <pocketcnn/runtime.h>

#include <stdexcept>
#include <string>

#include "isa_test.h"
#include "kernels/kernel_table.h"
#include "runtime/isa.h"

namespace pocketcnn::tests {
namespace {

class RuntimeTest : public IsaTest {};
POCKETCNN_FOR_EVERY_ISA(RuntimeTest);

TEST_P(RuntimeTest, UsesWhatItIsTold) {
    EXPECT_EQ(isa(), GetParam());
}

template <typename T>
void check_tile(const Kernels<T>& kernels) {
    EXPECT_GT(kernels.product.rows, 0);
    EXPECT_GT(kernels.product.cols, 0);
    EXPECT_LE(kernels.product.cols, kPackSlack)
        << "readers keep one tile's columns in fixed arrays";
}

TEST_P(RuntimeTest, TilesFitTheReaders) {
    check_tile(kernels<float>());
    check_tile(kernels<double>());
}

TEST(Runtime, BaselineIsAlwaysThereAndLast) {
    ASSERT_FALSE(available_isas().empty());
    EXPECT_EQ(available_isas().back(), "baseline");
}

TEST(Runtime, RefusesUnknownInstructionSets) {
    const std::string before(isa());
    for (const char* name : {"", "nonsense", "AVX2", "avx", "baseline "}) {
        try {
            use_isa(name);
            ADD_FAILURE() << "'" << name << "' was taken";
        } catch (const std::invalid_argument& error) {
            // The message says what was given and what is available.
            const std::string message = error.what();
            EXPECT_NE(message.find("'" + std::string(name) + "'"), std::string::npos) << message;
            EXPECT_NE(message.find("baseline"), std::string::npos) << message;
        }
        EXPECT_EQ(isa(), before);
    }
}

}  // namespace
}  // namespace pocketcnn::tests
