#include <pocketcnn/runtime.h>
#include <pybind11/stl.h>

#include <string>

#include "register.h"
#include "runtime/thread_requests.h"

namespace pocketcnn::bindings {
namespace {

std::vector<std::string> strings(const std::vector<std::string_view>& views) {
    return {views.begin(), views.end()};
}

}  // namespace

void register_runtime(pybind11::module_& module) {
    namespace py = pybind11;
    module.def("get_num_threads", get_num_threads);
    module.def("set_num_threads", set_num_threads, py::arg("threads"));
    module.def("begin_thread_block", begin_thread_block, py::arg("threads"));
    module.def("end_thread_block", end_thread_block, py::arg("block"));
    module.def("num_threads_complaint", [] { return std::string(num_threads_complaint()); });
    module.def("isa", [] { return std::string(isa()); });
    module.def("available_isas", [] { return strings(available_isas()); });
    module.def("use_isa", [](const std::string& name) { use_isa(name); }, py::arg("name"));
    module.def("team", [] { return std::string(team()); });
    module.def("available_teams", [] { return strings(available_teams()); });
    module.def("use_team", [](const std::string& name) { use_team(name); }, py::arg("name"));
    module.def("memory_use", [] {
        const MemoryUse use = memory_use();
        return py::make_tuple(use.in_use, use.cached);
    });
    module.def("release_cached_memory", release_cached_memory);
    // A wrong POCKETCNN_ISA or POCKETCNN_TEAM is an error of the import, not of some later call.
    isa();
    team();
}

}  // namespace pocketcnn::bindings
