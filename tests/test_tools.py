"""The versions of tools, which are in more than one file, are the same everywhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pocketcnn as pc

ROOT = Path(__file__).parent.parent
PIN = re.compile(r"([a-z-]+)==([\w.]+)")


def test_commit_hooks_have_the_versions_of_the_checks() -> None:
    constraints = dict(PIN.findall((ROOT / "dev-constraints.txt").read_text()))
    hooks = PIN.findall((ROOT / ".pre-commit-config.yaml").read_text())
    assert {name for name, _ in hooks} == {"ruff", "clang-format"}
    for name, version in hooks:
        assert version == constraints[name], name


@pytest.mark.parametrize("name", ["CMakeLists.txt", "pyproject.toml", "CITATION.cff"])
def test_the_version_is_one(name: str) -> None:
    patterns = {
        "CMakeLists.txt": r"project\(pocketcnn VERSION ([\d.]+)",
        "pyproject.toml": r'^version = "([\d.]+)"',
        "CITATION.cff": r"^version: ([\d.]+)",
    }
    found = re.findall(patterns[name], (ROOT / name).read_text(), re.MULTILINE)
    assert found == [pc.__version__]
