#include "gil.h"

#include <chrono>
#include <thread>

#include "runtime/loop.h"
#include "runtime/system/system.h"

namespace pocketcnn::bindings {
namespace {

namespace py = pybind11;

/// The one that Python runs handlers of signals in; in the child of a fork, the one that forked.
unsigned long main_thread;

/// Until Python 3.14, PyEval_RestoreThread ends a daemon thread of an interpreter that is going: it
/// unwinds the stack, where every destructor would touch objects without the lock. From 3.14 on it
/// halts the thread, and so do we.
void retake(PyThreadState* state) noexcept {
    try {
        PyEval_RestoreThread(state);
    } catch (...) {
        for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }
}

/// The handler's exception is Python's current one already.
// NOLINTNEXTLINE(performance-unnecessary-value-param): the type is pybind11's
void translate(std::exception_ptr thrown) {
    try {
        if (thrown) std::rethrow_exception(thrown);
    } catch (const Interrupted&) {
        if (PyErr_Occurred() == nullptr) PyErr_SetNone(PyExc_KeyboardInterrupt);
    }
}

}  // namespace

WithoutGil::WithoutGil(Signals signals) : state_(PyEval_SaveThread()) {
    if (signals == Signals::kept_waiting || PyThread_get_thread_ident() != main_thread) return;
    const auto ask = [](void* self) { return static_cast<WithoutGil*>(self)->signal_raises(); };
    scope_.emplace(ask, this);
}

WithoutGil::~WithoutGil() {
    scope_.reset();
    retake(state_);
}

bool WithoutGil::signal_raises() {
    const bool forked_before = is_forked_child();
    retake(state_);
    bool raises = PyErr_CheckSignals() != 0;
    if (is_forked_child() && !forked_before && !raises) {
        PyErr_SetString(PyExc_RuntimeError,
                        "a signal's handler forked: the operation that it came into cannot go on "
                        "in the child, which has none of the threads that worked on it");
        raises = true;
    }
    state_ = PyEval_SaveThread();
    return raises;
}

bool in_main_interpreter() {
    if (PyInterpreterState_Get() == PyInterpreterState_Main()) return true;
    PyErr_SetString(PyExc_ImportError,
                    "pocketcnn cannot be imported in a sub-interpreter: the arrays, signals and "
                    "threads that it works with are the main one's; use threads or processes");
    return false;
}

void prepare_interpreter() {
    if (!in_main_interpreter()) throw py::error_already_set();
    const py::object main = py::module_::import("threading").attr("main_thread")();
    main_thread = main.attr("ident").cast<unsigned long>();
    system::at_fork(nullptr, nullptr, [] { main_thread = PyThread_get_thread_ident(); });
    py::register_local_exception_translator(translate);
}

}  // namespace pocketcnn::bindings
