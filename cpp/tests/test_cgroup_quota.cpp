// What control groups let a process use, from the text of their files.
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <sstream>
#include <string>

#include "runtime/cgroup_quota.h"

namespace pocketcnn::tests {
namespace {

constexpr double kNone = std::numeric_limits<double>::infinity();

double quota(const std::string& groups, const std::map<std::string, std::string>& files) {
    std::istringstream lines(groups);
    return cgroup_quota(lines, [&](const std::string& path) {
        const auto found = files.find(path);
        return found == files.end() ? std::string() : found->second;
    });
}

TEST(CgroupQuota, TheSmallestQuotaOfAllLevelsCounts) {
    const std::string group = "0::/a/b/c\n", root = "/sys/fs/cgroup";
    EXPECT_EQ(quota(group, {}), kNone);
    EXPECT_EQ(quota(group, {{root + "/a/b/c/cpu.max", "max 100000\n"}}), kNone);
    EXPECT_EQ(quota(group, {{root + "/a/b/c/cpu.max", "250000 100000\n"}}), 2.5);
    EXPECT_EQ(quota(group, {{root + "/a/b/c/cpu.max", "250000 100000\n"},
                            {root + "/a/cpu.max", "50000 100000\n"}}),
              0.5);
    EXPECT_EQ(quota(group, {{root + "/cpu.max", "3000 1000\n"}}), 3);
    EXPECT_EQ(quota("0::/\n", {{root + "/cpu.max", "3000 1000\n"}}), 3);
}

TEST(CgroupQuota, TheFirstVersionHasTwoFiles) {
    const std::string group = "5:memory:/m\n4:cpuacct,cpu:/a\n", folder = "/sys/fs/cgroup/cpu/a";
    EXPECT_EQ(quota(group, {{folder + "/cpu.cfs_quota_us", "150000\n"},
                            {folder + "/cpu.cfs_period_us", "100000\n"}}),
              1.5);
    EXPECT_EQ(quota(group, {{folder + "/cpu.cfs_quota_us", "-1\n"},
                            {folder + "/cpu.cfs_period_us", "100000\n"}}),
              kNone);
    EXPECT_EQ(quota(group, {{folder + "/cpu.cfs_quota_us", "150000\n"}}), kNone);
}

TEST(CgroupQuota, WhatIsNoQuotaIsNone) {
    for (const char* text : {"", "x", "100000", "0 100000", "-5 100000", "5 0", "nan 1", "5 nan"}) {
        EXPECT_EQ(quota("0::/a\n", {{"/sys/fs/cgroup/a/cpu.max", text}}), kNone) << text;
    }
    for (const char* line : {"", ":", "0:", "no colon", "0::", "0::no slash", "0:cpu", "::::"}) {
        EXPECT_EQ(quota(line, {}), kNone) << line;
    }
}

}  // namespace
}  // namespace pocketcnn::tests
