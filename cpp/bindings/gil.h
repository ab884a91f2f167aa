// The interpreter's lock, which the core computes without.
#pragma once

#include <pybind11/pybind11.h>

#include <optional>

#include "runtime/interrupt.h"

namespace pocketcnn::bindings {

/// While it lives, other Python threads run. What the core does meanwhile ends with Interrupted if
/// a signal's handler in Python raises an exception, Ctrl-C's above all; only Python's main thread
/// hears signals, and it does so some times a second. A daemon thread that wants the lock back
/// while the interpreter ends is halted.
class WithoutGil {
  public:
    enum class Signals {
        heard,
        kept_waiting,  ///< for what must not be left half done
    };

    explicit WithoutGil(Signals signals = Signals::heard);
    ~WithoutGil();
    WithoutGil(const WithoutGil&) = delete;
    WithoutGil& operator=(const WithoutGil&) = delete;

  private:
    bool signal_raises();

    PyThreadState* state_;
    std::optional<InterruptScope> scope_;
};

/// Whether the interpreter is the process's first; if not, an ImportError is set.
bool in_main_interpreter();

/// Makes Python see what a signal's handler raised where the core throws Interrupted.
void prepare_interpreter();

}  // namespace pocketcnn::bindings
