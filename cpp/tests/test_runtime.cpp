// The choice of the instruction set.
#include <pocketcnn/runtime.h>

#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>

#include "isa_test.h"
#include "kernels/kernel_table.h"
#include "runtime/cpu.h"
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

#if defined(__x86_64__) || defined(__i386__)

constexpr CpuAnswers kEverything = {~0U, ~0U, ~0U};

TEST(Cpu, WithEverything) {
    EXPECT_TRUE(has_avx2(kEverything));
    EXPECT_TRUE(has_avx512(kEverything));
    EXPECT_FALSE(has_avx2({}));
    EXPECT_FALSE(has_avx512({}));
}

/// Instructions whose registers the system does not save must not run. The numbers are those of
/// Intel's manual.
TEST(Cpu, EachBitIsNeeded) {
    for (const unsigned bit : {12U, 28U}) {  // FMA, AVX
        CpuAnswers cpu = kEverything;
        cpu.leaf1_ecx &= ~(1U << bit);
        EXPECT_FALSE(has_avx2(cpu)) << bit;
        EXPECT_FALSE(has_avx512(cpu)) << bit;
    }
    for (const unsigned bit : {5U, 16U, 17U, 30U, 31U}) {  // AVX2, AVX512F, DQ, BW, VL
        CpuAnswers cpu = kEverything;
        cpu.leaf7_ebx &= ~(1U << bit);
        EXPECT_EQ(has_avx2(cpu), bit != 5) << bit;
        EXPECT_FALSE(has_avx512(cpu)) << bit;
    }
    for (const unsigned bit : {1U, 2U, 5U, 6U, 7U}) {  // XMM, YMM, masks, and two halves of ZMM
        CpuAnswers cpu = kEverything;
        cpu.saved &= ~(1U << bit);
        EXPECT_EQ(has_avx2(cpu), bit > 2) << bit;
#if !defined(__APPLE__)
        EXPECT_FALSE(has_avx512(cpu)) << bit;
#endif
    }
}

#endif

#if defined(__linux__) && (defined(__x86_64__) || defined(__i386__))

std::set<std::string> flags_of_linux() {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        if (line.rfind("flags", 0) != 0) continue;
        std::istringstream words(line);
        return {std::istream_iterator<std::string>(words), {}};
    }
    return {};
}

TEST(Cpu, AsLinuxSays) {
    const std::set<std::string> flags = flags_of_linux();
    if (flags.empty()) GTEST_SKIP() << "/proc/cpuinfo has no flags";
    const bool avx2 = flags.count("avx2") != 0 && flags.count("fma") != 0;
    bool avx512 = avx2;
    for (const char* name : {"avx512f", "avx512dq", "avx512bw", "avx512vl"}) {
        avx512 = avx512 && flags.count(name) != 0;
    }
    EXPECT_EQ(has_avx2(ask_cpu()), avx2);
    EXPECT_EQ(has_avx512(ask_cpu()), avx512);
}

#endif

}  // namespace
}  // namespace pocketcnn::tests
