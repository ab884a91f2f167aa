#include <pocketcnn/runtime.h>
#include <pybind11/stl.h>

#include <string>

#include "register.h"
#include "runtime/thread_requests.h"

namespace pocketcnn::bindings {

void register_runtime(pybind11::module_& module) {
    namespace py = pybind11;
    module.def("get_num_threads", get_num_threads);
    module.def("set_num_threads", set_num_threads, py::arg("threads"));
    module.def("begin_thread_block", begin_thread_block, py::arg("threads"));
    module.def("end_thread_block", end_thread_block, py::arg("block"));
    module.def("num_threads_complaint", [] { return std::string(num_threads_complaint()); });
    module.def("isa", [] { return std::string(isa()); });
    module.def("available_isas", [] {
        std::vector<std::string> names;
        for (const std::string_view name : available_isas()) names.emplace_back(name);
        return names;
    });
    module.def("use_isa", [](const std::string& name) { use_isa(name); }, py::arg("name"));
    module.def("memory_use", [] {
        const MemoryUse use = memory_use();
        return py::make_tuple(use.in_use, use.cached);
    });
    module.def("release_cached_memory", release_cached_memory);
    isa();  // a wrong POCKETCNN_ISA is an error of the import, not of some later call
}

}  // namespace pocketcnn::bindings
