#include "runtime/cgroup_quota.h"

#include <algorithm>
#include <limits>
#include <sstream>
#include <string>

namespace pocketcnn {
namespace {

constexpr double kUnlimited = std::numeric_limits<double>::infinity();

double ratio(double quota, double period) {
    // NaN fails both comparisons, so it ends here too.
    return quota > 0 && period > 0 ? quota / period : kUnlimited;
}

/// cgroup v2: "max 100000" or "quota period", in microseconds.
double quota_v2(const std::string& folder, const ReadFile& read) {
    std::istringstream file(read(folder + "/cpu.max"));
    double quota = 0, period = 0;  // "max" is not a number, so the read fails
    file >> quota >> period;
    return file ? ratio(quota, period) : kUnlimited;
}

/// cgroup v1: the quota is -1 if there is none.
double quota_v1(const std::string& folder, const ReadFile& read) {
    std::istringstream quota_file(read(folder + "/cpu.cfs_quota_us"));
    std::istringstream period_file(read(folder + "/cpu.cfs_period_us"));
    double quota = 0, period = 0;
    return quota_file >> quota && period_file >> period ? ratio(quota, period) : kUnlimited;
}

/// A quota may be set at any level between the process's own group and the root.
double smallest_quota(const std::string& root, std::string group, const ReadFile& read,
                      double (*quota)(const std::string&, const ReadFile&)) {
    double smallest = quota(root, read);
    while (group.size() > 1 && group.front() == '/') {
        smallest = std::min(smallest, quota(root + group, read));
        group.resize(group.rfind('/'));
    }
    return smallest;
}

}  // namespace

double cgroup_quota(std::istream& groups, const ReadFile& read) {
    double smallest = kUnlimited;
    for (std::string line; std::getline(groups, line);) {  // hierarchy:controllers:/path
        const auto first = line.find(':');
        if (first == std::string::npos) continue;
        const auto second = line.find(':', first + 1);
        if (second == std::string::npos) continue;
        std::string controllers(",");
        controllers.append(line, first + 1, second - first - 1).append(",");
        const std::string group = line.substr(second + 1);
        if (controllers == ",,") {
            smallest = std::min(smallest, smallest_quota("/sys/fs/cgroup", group, read, quota_v2));
        } else if (controllers.find(",cpu,") != std::string::npos) {
            smallest =
                std::min(smallest, smallest_quota("/sys/fs/cgroup/cpu", group, read, quota_v1));
        }
    }
    return smallest;
}

}  // namespace pocketcnn
