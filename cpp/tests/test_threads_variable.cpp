// OMP_NUM_THREADS as OpenMP 5.2, section 21.1.2, has it: a positive number or a list of them.
#include <gtest/gtest.h>
#include <pocketcnn/runtime.h>

#include "runtime/threads_variable.h"

namespace pocketcnn::tests {
namespace {

TEST(ThreadsVariable, ANumberOrTheFirstOfAList) {
    for (const char* value : {"3", " 3", "\t3 ", "3,2", "3 , 2,1", "003"}) {
        const ThreadsVariable read = read_threads_variable(value);
        EXPECT_EQ(read.threads, 3) << value;
        EXPECT_EQ(read.complaint, "") << value;
    }
}

TEST(ThreadsVariable, NothingIsNoComplaint) {
    for (const char* value : {"", " ", "\t "}) {
        EXPECT_EQ(read_threads_variable(value).threads, 0);
        EXPECT_EQ(read_threads_variable(value).complaint, "");
    }
}

TEST(ThreadsVariable, WhatIsNoNumberIsToldAndIgnored) {
    for (const char* value : {"0", "-4", "+4", "1e9", "3x", "x", "3.5", ",3", "0x10", "-1e99"}) {
        const ThreadsVariable read = read_threads_variable(value);
        EXPECT_EQ(read.threads, 0) << value;
        EXPECT_NE(read.complaint.find("is ignored"), std::string::npos) << value;
        EXPECT_NE(read.complaint.find(value), std::string::npos) << value;
    }
}

TEST(ThreadsVariable, TooManyAreAsManyAsThereMayBe) {
    for (const char* value : {"5000", "99999999999999999999999"}) {
        const ThreadsVariable read = read_threads_variable(value);
        EXPECT_EQ(read.threads, kMaxThreads) << value;
        EXPECT_NE(read.complaint.find("at most"), std::string::npos) << value;
    }
}

}  // namespace
}  // namespace pocketcnn::tests
