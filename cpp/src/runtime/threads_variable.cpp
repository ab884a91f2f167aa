#include "runtime/threads_variable.h"

#include <pocketcnn/runtime.h>

#include <algorithm>
#include <charconv>

namespace pocketcnn {

ThreadsVariable read_threads_variable(std::string_view value) {
    std::string_view text = value;
    const auto trim = [&] {
        text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
    };
    trim();
    if (text.empty()) return {};
    const std::string told = "OMP_NUM_THREADS is '" + std::string(value) + "', ";
    const bool digits = text.front() >= '0' && text.front() <= '9';
    long threads = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), threads);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    trim();
    const bool whole = text.empty() || text.front() == ',';
    const bool huge = error == std::errc::result_out_of_range;
    if (!digits || !whole || (threads < 1 && !huge)) {
        return {0, told + "which is no number of threads, and is ignored"};
    }
    if (huge || threads > kMaxThreads) {
        return {kMaxThreads,
                told + "but at most " + std::to_string(kMaxThreads) + " threads are used"};
    }
    return {static_cast<int>(threads), {}};
}

}  // namespace pocketcnn
