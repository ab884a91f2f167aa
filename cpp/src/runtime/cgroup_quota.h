// The CPU quota that Linux gives a process, as the files of its control groups tell it.
#pragma once

#include <functional>
#include <istream>
#include <string>

namespace pocketcnn {

/// The content of a file; empty if it cannot be read.
using ReadFile = std::function<std::string(const std::string& path)>;

/// The smallest quota, in CPUs, of these control groups (lines as in /proc/self/cgroup) and of all
/// levels above them; infinite if there is none.
double cgroup_quota(std::istream& groups, const ReadFile& read);

}  // namespace pocketcnn
