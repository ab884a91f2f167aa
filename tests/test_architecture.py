"""The layers of docs/design.md: a file uses what is below it, never what is above."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "python" / "pocketcnn"
CPP = ROOT / "cpp"

# The folders and files of the package, top to bottom. Each imports only from those below it,
# including types; the files of one folder import each other in any order without a circle.
ROOMS = [
    *("__main__", "cli", "commands", "_startup"),
    "live",
    *("plot", "scratch", "inspection", "onnx"),
    *("sklearn", "distributed"),
    *("schedules", "training"),
    *("models", "network"),
    *("optim", "data", "losses", "layers"),
    *("config", "functional"),
    *("_files", "_alignment", "_arguments", "_lazy", "_sharing", "_text"),
    "_core",
]

# The package's `__init__` imports from all of these except the command line.
FACE = "__init__"


def _module(path: Path) -> str:
    """Its dotted name within the package; a folder's `__init__` is the folder."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == FACE else parts)


MODULES = {_module(path): path for path in sorted(PACKAGE.rglob("*.py"))}
NAMES = {*MODULES, "_core"}


def _imports(path: Path) -> Iterator[str]:
    """Modules of pocketcnn that a file imports, at any depth of its code."""
    package = ["pocketcnn", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        for name in names:
            root, _, rest = name.partition(".")
            if root == "pocketcnn":
                while rest and rest not in NAMES:  # a class or a function of a module
                    rest = rest.rpartition(".")[0]
                yield rest or FACE


def _room(module: str) -> str:
    return module.partition(".")[0]


IMPORTS = {module: set(_imports(path)) for module, path in MODULES.items()}


def test_every_room_has_its_place_and_none_is_invented() -> None:
    assert len(set(ROOMS)) == len(ROOMS)
    assert {*ROOMS, FACE} == {_room(name) for name in NAMES}


@pytest.mark.parametrize("module", sorted(MODULES.keys() - {FACE}))
def test_imports_point_downwards(module: str) -> None:
    own = ROOMS.index(_room(module))
    for imported in IMPORTS[module]:
        if imported == FACE:
            assert _room(module) in ("__main__", "cli", "commands"), (
                f"{module} imports the package's face, which stands above it"
            )
        else:
            assert ROOMS.index(_room(imported)) >= own, f"{module} imports {imported}, above it"


def test_no_imports_run_in_a_circle() -> None:
    """Not even for types only."""
    below = {module: IMPORTS[module] - {module, FACE} for module in MODULES}
    try:
        TopologicalSorter(below).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_functional_and_config_alone_import_the_native_module() -> None:
    importers = {_room(module) for module in MODULES if "_core" in IMPORTS[module]}
    assert importers <= {"functional", "config"}


# Hold classes derived from those of other libraries, or are of no use without them; imported when
# the first picture is drawn, the first estimator is made, and the page is served.
WITH_OPTIONAL = {
    "plot.figure",
    *("live.app", "live.guard", "live.server"),
    *(f"sklearn{part}" for part in ("", ".classifier", ".estimator", ".regressor")),
}


@pytest.mark.parametrize("module", sorted(MODULES.keys() - WITH_OPTIONAL))
def test_other_libraries_are_imported_only_when_used(module: str) -> None:
    """Only NumPy at the top of a file, where importing the package would need it."""
    for node in ast.parse(MODULES[module].read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            roots = {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            roots = {(node.module or "").split(".")[0]}
        else:
            continue
        assert roots <= {"numpy", "pocketcnn", *sys.stdlib_module_names}, f"{module}: {roots}"


INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
SOURCES = sorted(
    path
    for folder in ("include", "src")
    for path in (CPP / folder).rglob("*")
    if path.suffix in {".h", ".hpp", ".cpp", ".in"}
)

# What the inner loops may see of the standard library: types, limits and intrinsics. A
# header with inline functions would put copies compiled for AVX-512 into everyone's program.
KERNEL_HEADERS = {
    "cstddef", "cstdint", "limits", "type_traits", "climits", "cfloat", "float.h", "stdint.h",
    "stddef.h", "immintrin.h", "arm_neon.h", "bit", "concepts",
}  # fmt: skip

# Folders of cpp/src from the operations down; the public headers are for all but kernels.
CPP_FLOORS = [
    *("model", "session", "", "block", "channels_last"),
    *("conv", "gemm", "runtime", "kernels"),
]


def _includes(path: Path) -> list[tuple[bool, str]]:
    """Names of included files, each with whether it is ours."""
    found = INCLUDE.findall(path.read_text(encoding="utf-8"))
    return [(bracket == '"' or name.startswith("pocketcnn/"), name) for bracket, name in found]


def _source_id(path: Path) -> str:
    return str(path.relative_to(CPP))


def test_there_are_sources_to_look_at() -> None:
    assert len(MODULES) > 5
    assert len(SOURCES) > 5


@pytest.mark.parametrize("path", SOURCES, ids=_source_id)
def test_the_core_does_not_know_python(path: Path) -> None:
    for _, name in _includes(path):
        assert not re.search(r"python|pybind11|numpy", name, re.IGNORECASE), f"{path}: {name}"


KERNELS = [path for path in SOURCES if (CPP / "src" / "kernels") in path.parents]


@pytest.mark.parametrize(
    "path", [*KERNELS, CPP / "include" / "pocketcnn" / "types.h"], ids=_source_id
)
def test_kernels_know_neither_openmp_nor_the_library(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"^\s*#\s*pragma\s+omp\b", text, re.MULTILINE)
    assert not re.search(r"\bthrow\b\s|\bmalloc\b|std::vector|std::string", text)
    for ours, name in _includes(path):
        if ours:
            assert name == "pocketcnn/types.h" or name.startswith("kernels/")
        else:
            assert name in KERNEL_HEADERS, f"{path.name} includes <{name}>"


@pytest.mark.parametrize("path", SOURCES, ids=_source_id)
def test_includes_point_downwards(path: Path) -> None:
    """Public headers see public headers; a folder of src sees the folders below its own."""
    in_src = (CPP / "src") in path.parents
    relative = path.relative_to(CPP / ("src" if in_src else "include"))
    own = relative.parts[0] if in_src and len(relative.parts) > 1 else ""
    for ours, name in _includes(path):
        if not ours:
            continue
        folder = name.split("/")[0] if "/" in name else own
        if folder == "pocketcnn":
            assert (CPP / "include" / name).exists(), f"{path.name} includes {name}"
            continue
        assert in_src, f"public {path.name} includes {name}, which is not installed"
        assert folder in CPP_FLOORS, f"{path.name} includes {name} from a folder of no floor"
        assert CPP_FLOORS.index(folder) >= CPP_FLOORS.index(own), f"{path.name}: {name}"
