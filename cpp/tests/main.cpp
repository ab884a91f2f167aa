// Runs the tests and says for which instruction sets they ran.
#include <gtest/gtest.h>

#include <iostream>

#include "isa_test.h"

// Tests ask for more memory than there is, to see std::bad_alloc; by default the sanitizers would
// end the process instead.
#define POCKETCNN_EXPORT __attribute__((visibility("default")))
extern "C" POCKETCNN_EXPORT const char* __asan_default_options() {
    return "allocator_may_return_null=1";
}
extern "C" POCKETCNN_EXPORT const char* __tsan_default_options() {
    return "allocator_may_return_null=1";
}

namespace {

using pocketcnn::tests::isa_names;
using pocketcnn::tests::isas_that_ran;

class IsaReport : public ::testing::Environment {
  public:
    void TearDown() override {
        std::cout << "instruction sets of this machine:";
        for (const std::string& name : isa_names()) {
            std::cout << ' ' << name << (isas_that_ran().contains(name) ? " (ran)" : " (not run)");
        }
        std::cout << '\n';
        if (::testing::GTEST_FLAG(filter) == "*") {
            EXPECT_EQ(isas_that_ran().size(), isa_names().size())
                << "a whole run must have used every instruction set";
        }
    }
};

}  // namespace

int main(int argc, char** argv) {
    ::testing::InitGoogleTest(&argc, argv);
    ::testing::AddGlobalTestEnvironment(new IsaReport);
    return RUN_ALL_TESTS();
}
