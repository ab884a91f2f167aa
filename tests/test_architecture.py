"""The floors of docs/design.md: a file uses what stands below it, never what stands above."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "python" / "pocketcnn"
CPP = ROOT / "cpp"

# Top to bottom. A module may import from its own floor and from those below.
FLOORS: list[set[str]] = [
    {"cli", "commands", "__main__", "_startup"},
    {"sklearn", "onnx", "plot", "distributed"},
    {"scratch"},
    {
        *("trainer", "callbacks", "progress", "schedules", "checkpoint", "history"),
        *("resumption", "saved_run", "identity", "samples", "divergence"),
    },
    {"models", "inspection"},
    {"net", "fusion", "stages", "serialization", "summary", "gradient_check"},
    {"layers", "chain", "losses", "optim", "data", "init"},
    {"functional", "config", "alignment", "tensor_file"},
    {"arguments", "atomic", "text", "reading", "sharing"},
    {"_core"},
]

# The face of the package gathers every floor but the command line.
FACE = "__init__"


def _floor(part: str) -> int:
    for index, floor in enumerate(FLOORS):
        if part in floor:
            return index
    raise AssertionError(f"pocketcnn.{part} stands on no floor: add it to FLOORS")


def _imports(path: Path) -> Iterator[str]:
    """Parts of pocketcnn that a file imports, at any depth of its code."""
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
            parts = name.split(".")
            if parts[0] == "pocketcnn":
                yield parts[1] if len(parts) > 1 else FACE


def _part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


MODULES = sorted(PACKAGE.rglob("*.py"))


def _module_id(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", MODULES, ids=_module_id)
def test_imports_point_downwards(path: Path) -> None:
    part = _part(path)
    if part == FACE:
        return
    own = _floor(part)
    for imported in _imports(path):
        if imported in (FACE, "__version__"):
            assert own == 0, f"{path.name} imports the package's face, which stands above it"
            continue
        assert _floor(imported) >= own, f"{path.name} imports {imported}, which stands above it"


def test_functional_and_config_alone_import_the_native_module() -> None:
    importers = {_part(path) for path in MODULES if "_core" in _imports(path)}
    assert importers <= {"functional", "config"}


OPTIONAL = {"matplotlib", "PIL", "pooch", "onnx", "sklearn", "mpi4py", "torch", "scipy"}
# Holds a class derived from matplotlib's; imported when the first picture is drawn.
WITH_OPTIONAL = PACKAGE / "plot" / "figure.py"


@pytest.mark.parametrize(
    "path", [path for path in MODULES if path != WITH_OPTIONAL], ids=_module_id
)
def test_optional_libraries_are_imported_only_when_used(path: Path) -> None:
    """None at the top of a file, where importing the package would need it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Import):
            roots = {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            roots = {(node.module or "").split(".")[0]}
        else:
            continue
        assert not roots & OPTIONAL, f"{path.name} imports {roots & OPTIONAL} at its top"


INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
SOURCES = sorted(
    path
    for folder in ("include", "src")
    for path in (CPP / folder).rglob("*")
    if path.suffix in {".h", ".hpp", ".cpp", ".inl", ".in"}
)

# What the inner loops may see of the standard library: types, limits and intrinsics. A
# header with inline functions would put copies compiled for AVX-512 into everyone's program.
KERNEL_HEADERS = {
    "cstddef", "cstdint", "limits", "type_traits", "climits", "cfloat", "float.h", "stdint.h",
    "stddef.h", "immintrin.h", "arm_neon.h", "bit", "concepts",
}  # fmt: skip

# Folders of cpp/src from the operations down; the public headers are for all but kernels.
CPP_FLOORS = ["", "conv", "gemm", "runtime", "kernels"]


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
