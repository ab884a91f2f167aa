// What the library reads from outside, with bytes that libFuzzer draws: OMP_NUM_THREADS, and the
// control groups with their quotas. `nox -s fuzz` builds it with clang and begins with corpus/.
#include <pocketcnn/runtime.h>

#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <string>

#include "runtime/cgroup_quota.h"
#include "runtime/threads_variable.h"

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(reinterpret_cast<const char*>(data), size);
    const pocketcnn::ThreadsVariable read = pocketcnn::read_threads_variable(text);
    require(read.threads >= 0 && read.threads <= pocketcnn::kMaxThreads);
    require(read.threads > 0 || !read.complaint.empty() ||
            text.find_first_not_of(" \t") == std::string::npos);

    // Up to the first byte 0 the groups, after it what every file holds.
    const std::string groups = text.substr(0, text.find('\0'));
    const std::string content = groups.size() < size ? text.substr(groups.size() + 1) : "";
    std::istringstream lines(groups);
    require(pocketcnn::cgroup_quota(lines, [&](const std::string&) { return content; }) > 0);
    return 0;
}
