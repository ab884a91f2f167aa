// Runs the tests and says for which instruction sets and teams they ran.
#include <gtest/gtest.h>

#include <iostream>

#include "isa_test.h"
#include "thread_test.h"

// Tests request more memory than there is, to get std::bad_alloc; by default the sanitizers would
// end the process instead.
#define POCKETCNN_EXPORT __attribute__((visibility("default")))
extern "C" POCKETCNN_EXPORT const char* __asan_default_options() {
    return "allocator_may_return_null=1";
}
extern "C" POCKETCNN_EXPORT const char* __tsan_default_options() {
    return "allocator_may_return_null=1";
}

namespace {

namespace tests = pocketcnn::tests;

/// Says which of the `names` were used; a whole run must have used them all.
void report(const char* what, const std::vector<std::string>& names,
            const std::set<std::string>& used) {
    std::cout << what << ':';
    for (const std::string& name : names) {
        std::cout << ' ' << name << (used.contains(name) ? " (ran)" : " (not run)");
    }
    std::cout << '\n';
    if (::testing::GTEST_FLAG(filter) == "*") {
        EXPECT_EQ(used.size(), names.size()) << "a whole run must have used all of these";
    }
}

class Report : public ::testing::Environment {
  public:
    void TearDown() override {
        report("instruction sets of this machine", tests::isa_names(), tests::isas_that_ran());
        report("teams of this build", tests::team_names(), tests::teams_that_ran());
    }
};

}  // namespace

int main(int argc, char** argv) {
    ::testing::InitGoogleTest(&argc, argv);
    ::testing::AddGlobalTestEnvironment(new Report);
    return RUN_ALL_TESTS();
}
