#include "runtime/cpu_limits.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <string>
#include <thread>

namespace pocketcnn {
namespace {

constexpr double kUnlimited = std::numeric_limits<double>::infinity();

/// cgroup v2: "max 100000" or "quota period", in microseconds.
double quota_v2(const std::string& folder) {
    std::ifstream file(folder + "/cpu.max");
    double quota = 0, period = 0;  // "max" is no number: the read fails
    if (!(file >> quota >> period) || quota <= 0 || period <= 0) return kUnlimited;
    return quota / period;
}

/// cgroup v1: quota is -1 where there is none.
double quota_v1(const std::string& folder) {
    std::ifstream quota_file(folder + "/cpu.cfs_quota_us");
    std::ifstream period_file(folder + "/cpu.cfs_period_us");
    double quota = 0, period = 0;
    if (!(quota_file >> quota) || !(period_file >> period) || quota <= 0 || period <= 0) {
        return kUnlimited;
    }
    return quota / period;
}

/// A quota may stand at any level between the process's own group and the root.
double smallest_quota(const std::string& root, std::string group,
                      double (*quota)(const std::string&)) {
    double smallest = quota(root);
    while (group.size() > 1) {
        smallest = std::min(smallest, quota(root + group));
        group.resize(group.rfind('/'));
    }
    return smallest;
}

double cgroup_quota() {
    double smallest = kUnlimited;
    std::ifstream groups("/proc/self/cgroup");
    for (std::string line; std::getline(groups, line);) {  // hierarchy:controllers:/path
        const auto first = line.find(':');
        const auto second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) continue;
        std::string controllers(",");
        controllers.append(line, first + 1, second - first - 1).append(",");
        const std::string group = line.substr(second + 1);
        if (controllers == ",,") {
            smallest = std::min(smallest, smallest_quota("/sys/fs/cgroup", group, quota_v2));
        } else if (controllers.find(",cpu,") != std::string::npos) {
            smallest = std::min(smallest, smallest_quota("/sys/fs/cgroup/cpu", group, quota_v1));
        }
    }
    return smallest;
}

}  // namespace

int affinity_cpus() {
#ifdef __linux__
    cpu_set_t mask;
    if (sched_getaffinity(0, sizeof mask, &mask) == 0) return CPU_COUNT(&mask);
#endif
    return static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

int cpu_quota() {
    return static_cast<int>(std::clamp(std::ceil(cgroup_quota()), 1.0, 1e6));
}

}  // namespace pocketcnn
