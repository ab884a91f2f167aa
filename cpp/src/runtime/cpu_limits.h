// What the operating system lets this process use.
#pragma once

#include <functional>
#include <istream>
#include <string>

namespace pocketcnn {

/// The CPUs in the calling thread's affinity mask; at least 1.
int affinity_cpus();

/// The cgroup's CPU quota, rounded up; at least 1, and a large number if there is none.
int cpu_quota();

/// The content of a file; empty if it cannot be read.
using ReadFile = std::function<std::string(const std::string& path)>;

/// The smallest quota, in CPUs, of these control groups (lines as in /proc/self/cgroup) and of all
/// levels above them; infinite if there is none.
double cgroup_quota(std::istream& groups, const ReadFile& read);

}  // namespace pocketcnn
