"""Every check of pocketcnn; ``nox`` alone runs all of them.

One session a question: ``lint`` (does it read well?), ``typing`` (do the annotations hold?),
``cpp`` (does the C++ library work by itself, on every instruction set of this machine?),
``tests`` (does the package work?), ``docs`` (does the documentation tell the truth?).
Not in the default run: ``sanitize``, ``tidy``, and ``dev``, which prepares a working place.

Test runners leave JUnit files in ``build/reports``; ``.ci/run`` counts them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["lint", "typing", "cpp", "tests", "docs"]

ROOT = Path(__file__).parent
BUILD = ROOT / "build"
REPORTS = BUILD / "reports"
CONSTRAINTS = ROOT / "dev-constraints.txt"
MINIMUM_CMAKE = (3, 25)
CPP_FOLDERS = ("cpp", "examples")
CPP_SUFFIXES = (".h", ".inl", ".cpp")

_wheels: list[Path] = []


def install(session: nox.Session, *requirements: str) -> None:
    """Install requirements at the versions of ``dev-constraints.txt``."""
    session.install("-c", str(CONSTRAINTS), *requirements)


def wheel(session: nox.Session) -> Path:
    """Build the wheel at the first call of a nox run and return its path."""
    if not _wheels:
        folder = BUILD / "wheel"
        shutil.rmtree(folder, ignore_errors=True)
        session.run(
            *("python", "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT)),
            env={"PIP_CONSTRAINT": "", "PIP_BUILD_CONSTRAINT": str(CONSTRAINTS)},
        )
        _wheels.extend(folder.glob("pocketcnn-*.whl"))
    return _wheels[0]


def install_wheel(session: nox.Session, extra: str, *requirements: str) -> None:
    """Install the wheel with one of its extras, and what else the session needs."""
    built = wheel(session)
    install(session, f"pocketcnn[{extra}] @ {built.as_uri()}", *requirements)
    # In an environment used again (nox -r) pip would keep an older build of the same version.
    session.install("--force-reinstall", "--no-deps", str(built))


def install_native_tools(session: nox.Session) -> None:
    """Take CMake and Ninja from PyPI unless the system's will do."""
    if system_cmake_version() < MINIMUM_CMAKE:
        install(session, "cmake")
    if shutil.which("ninja") is None:
        install(session, "ninja")
    native(session, "cmake", "--version")


def system_cmake_version() -> tuple[int, ...]:
    """Version of the ``cmake`` on PATH; () when there is none."""
    if shutil.which("cmake") is None:
        return ()
    answer = subprocess.run(["cmake", "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"version (\d+)\.(\d+)", answer.stdout)
    return tuple(int(part) for part in found.groups()) if found else ()


def native(session: nox.Session, *command: str) -> None:
    """Run a program that may be the system's or the session's."""
    session.run(*command, external=True)


def build_and_ctest(session: nox.Session, preset: str) -> None:
    """Configure and build a preset of CMakePresets.json, then run its tests."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    native(session, "cmake", "--preset", preset, "--fresh")
    native(session, "cmake", "--build", "--preset", preset)
    report = REPORTS / f"ctest-{preset}.xml"
    jobs = str(os.cpu_count() or 1)
    native(
        session,
        *("ctest", "--preset", preset, "--output-junit", str(report), "--parallel", jobs),
        *session.posargs,
    )


def cpp_sources() -> list[str]:
    """List every C++ file of ours."""
    files = (path for folder in CPP_FOLDERS for path in (ROOT / folder).rglob("*"))
    return sorted(str(path.relative_to(ROOT)) for path in files if path.suffix in CPP_SUFFIXES)


@nox.session
def lint(session: nox.Session) -> None:
    """Rules and formatting of Python and C++."""
    install(session, "ruff", "clang-format")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("clang-format", "--dry-run", "-Werror", *cpp_sources())


@nox.session
def typing(session: nox.Session) -> None:
    """Check annotations strictly, and the extension module against its stub."""
    install_wheel(session, "all", "mypy", "nox")
    session.run("mypy")
    session.run("mypy", "--strict", "noxfile.py", ".ci/count_tests.py", "cpp/tests")
    # From elsewhere than the sources: stubtest shall see the wheel's own stub.
    with session.chdir(session.create_tmp()):
        session.run("python", "-m", "mypy.stubtest", "pocketcnn._core")


@nox.session
@nox.parametrize("preset", ["dev", "release"], ids=["dev", "release"])
def cpp(session: nox.Session, preset: str) -> None:
    """Test the C++ library on every instruction set of this machine."""
    install_native_tools(session)
    build_and_ctest(session, preset)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the Python tests against the installed wheel; ``-- -k conv`` selects some."""
    install_wheel(session, "test")
    session.run("pytest", f"--junitxml={REPORTS / 'pytest.xml'}", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Run the examples in the docstrings of the installed package."""
    install_wheel(session, "test")
    session.run(
        *("pytest", "--config-file=pyproject.toml", "--rootdir=.", "--doctest-modules"),
        *(f"--junitxml={REPORTS / 'doctest.xml'}", "--pyargs", "pocketcnn"),
    )


@nox.session(default=False)
def sanitize(session: nox.Session) -> None:
    """Run the C++ tests under the address and undefined-behaviour sanitizers."""
    install_native_tools(session)
    build_and_ctest(session, "sanitize")


@nox.session(default=False)
def tidy(session: nox.Session) -> None:
    """Run clang-tidy over the library's sources."""
    install_native_tools(session)
    install(session, "clang-tidy")
    native(session, "cmake", "--preset", "dev", "--fresh")
    units = [n for n in cpp_sources() if n.startswith("cpp/src/") and n.endswith(".cpp")]
    session.run("clang-tidy", "--quiet", "-p", str(BUILD / "dev"), *(session.posargs or units))


@nox.session(default=False)
def dev(session: nox.Session) -> None:
    """Make ``.venv`` with an editable install that rebuilds itself on import, and every tool."""
    session.run(sys.executable, "-m", "venv", ".venv", external=True)
    pip = (str(ROOT / ".venv" / "bin" / "python"), "-m", "pip", "install", "-c", str(CONSTRAINTS))
    tools = ("ruff", "mypy", "clang-format", "nox", "cmake", "ninja")
    native(session, *pip, "scikit-build-core", "pybind11", *tools)
    native(
        session,
        *(*pip, "--no-build-isolation", "--editable", ".[test]"),
        *("-Ceditable.rebuild=true", "-Ceditable.verbose=false", "-Cbuild-dir=build/editable"),
    )
