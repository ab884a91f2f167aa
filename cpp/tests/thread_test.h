// A test that changes the number of threads.
#pragma once

#include <gtest/gtest.h>
#include <pocketcnn/runtime.h>

namespace pocketcnn::tests {

class ThreadTest : public ::testing::Test {
  protected:
    ~ThreadTest() override { set_num_threads(before_); }

  private:
    int before_ = get_num_threads();
};

}  // namespace pocketcnn::tests
