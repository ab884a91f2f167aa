"""What clang 14 does not take, although newer compilers do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

CPP = Path(__file__).parent.parent / "cpp"
SOURCES = sorted(path for path in CPP.rglob("*") if path.suffix in {".h", ".cpp"})
BINDINGS = re.compile(r"auto(?: const)?\s*&{0,2}\s*\[([\w, ]+)\]\s*[=:({]")
CAPTURING = re.compile(r"\[[&=][^\]]*\]\s*(?:\([^{;]*)?\{")


def _end_of_block(text: str, start: int) -> int:
    depth = 0
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth < 0:
            return place
    return len(text)


def _captured_bindings(text: str) -> Iterator[str]:
    """Names of structured bindings that a lambda after them takes by a default of its own."""
    text = re.sub(r"//.*", "", text)
    for bindings in BINDINGS.finditer(text):
        names = re.findall(r"\w+", bindings[1])
        block = text[: _end_of_block(text, bindings.end())]
        for function in CAPTURING.finditer(block, bindings.end()):
            words = re.findall(r"\w+", block[function.end() : _end_of_block(block, function.end())])
            yield from sorted(set(names) & set(words))


def test_the_search_finds_them() -> None:
    code = "void f() {{ const auto& [a, b] = g(); {} h([&](int i) {{ return i + {}; }}); }}"
    assert list(_captured_bindings(code.format("", "b"))) == ["b"]
    assert not list(_captured_bindings(code.format("b;", "c")))
    assert not list(_captured_bindings(code.format("} {", "b")))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(CPP)))
def test_lambdas_capture_no_structured_bindings(path: Path) -> None:
    assert not list(_captured_bindings(path.read_text(encoding="utf-8")))
