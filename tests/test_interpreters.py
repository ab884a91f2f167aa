"""Other interpreters than the usual one: without the GIL, and a second one in the process."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import textwrap

START = """
    import sys
    import numpy as np
    import pocketcnn, pocketcnn.functional as F

"""


def _run(code: str, **environment: str) -> tuple[str, str]:
    """Run code in a fresh interpreter; return its output and what it wrote on standard error."""
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(START + code)],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr


def test_a_python_without_gil_gets_it_back_and_says_why() -> None:
    code = """
    print(getattr(sys, "_is_gil_enabled", lambda: True)())
    """
    out, err = _run(code, PYTHON_GIL="")
    assert out == "True"
    free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    assert ("GIL" in err and "pocketcnn._core" in err) == free_threaded, err


def test_a_sub_interpreter_is_refused_with_a_reason() -> None:
    code = """
    import importlib.util
    module = next(
        (n for n in ("_xxsubinterpreters", "_interpreters") if importlib.util.find_spec(n)), None
    )
    if module is None:
        print("refused")
        sys.exit()
    interpreters = importlib.import_module(module)
    core = importlib.util.find_spec("pocketcnn._core").origin
    script = f'''if True:
        import importlib.machinery, importlib.util, warnings
        warnings.simplefilter("ignore")
        loader = importlib.machinery.ExtensionFileLoader("_core", {core!r})
        spec = importlib.util.spec_from_loader("_core", loader)
        try:
            loader.exec_module(importlib.util.module_from_spec(spec))
        except ImportError as error:
            assert "interpreter" in str(error), error
        else:
            raise AssertionError("imported")
    '''
    second = interpreters.create()
    failure = interpreters.run_string(second, script)
    interpreters.destroy(second)
    assert failure is None, failure
    assert (F.relu(np.array([-1.0, 2.0])) == [0, 2]).all()  # the first one goes on
    print("refused")
    """
    assert _run(code, PYTHON_GIL="1") == ("refused", "")
