"""The documentation is right: code runs, links have targets, commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").glob("**/*.md")),
    *sorted((ROOT / "benchmarks" / "results").glob("*.md")),
]


# Their shell commands are run too.
TRANSCRIPTS = {ROOT / "docs" / "own-pictures.md"}


class Block(NamedTuple):
    """A fenced block of a Markdown file."""

    language: str
    line: int
    text: str


def blocks(document: Path) -> list[Block]:
    """Find the fenced blocks of a Markdown file; `line` is where a block's text starts."""
    text = document.read_text(encoding="utf-8")
    fences = re.finditer(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [Block(m[1], text[: m.start(2)].count("\n") + 1, m[2]) for m in fences]


def each_document() -> pytest.MarkDecorator:
    """Repeat a test for every document, named by its path."""
    return pytest.mark.parametrize(
        "document", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS]
    )


@each_document()
def test_python_blocks_run(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of one document run in order, in one namespace, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    mpl.use("Agg")
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(document):
        if block.language == "python":
            # Leading newlines make a traceback show the document's own line.
            source = "\n" * (block.line - 1) + block.text
            exec(compile(source, str(document), "exec"), namespace)
        elif block.language == "sh" and document in TRANSCRIPTS:
            run_shell(block.text)


@pytest.mark.parametrize(
    "page", sorted((ROOT / "docs").glob("*.??.md")), ids=lambda path: path.name
)
def test_a_translated_page_has_the_code_and_the_parts_of_the_english_one(page: Path) -> None:
    english = page.with_suffix("").with_suffix(".md")
    parts = [
        re.findall(r"^(#+ |\|)", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for path in (page, english)
    ]
    assert parts[0] == parts[1]
    code = [[(block.language, block.text) for block in blocks(path)] for path in (page, english)]
    assert code[0] == code[1]


def run_shell(text: str) -> None:
    """Run commands of a shell that finds `pocketcnn`, and stop at the first that fails."""
    command = f'pocketcnn() {{ "{sys.executable}" -m pocketcnn "$@"; }}; set -e; {text}'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), text


def anchors(document: Path) -> set[str]:
    """Name the headings of a Markdown file as links do."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def exists(target: Path, anchor: str) -> bool:
    """Whether a file is there, and the heading in it if one is named."""
    return target.exists() and (not anchor or anchor in anchors(target))


@each_document()
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]*)#?([^)]*)\)", document.read_text(encoding="utf-8"))
    missing = [
        f"{path}#{anchor}"
        for path, anchor in links
        if not path.startswith(("http://", "https://"))
        and not exists(document.parent / path if path else document, anchor)
    ]
    assert not missing


def test_documents_that_sources_cite_exist() -> None:
    sources = [
        path
        for folder in ("cpp", "python", "tests", "tools", "benchmarks")
        for path in sorted((ROOT / folder).glob("**/*"))
        if path.suffix in {".py", ".h", ".cpp", ".inl", ".txt"}
    ]
    missing = [
        f"{source.relative_to(ROOT)}: {path}#{anchor}"
        for source in sources
        for path, anchor in re.findall(
            r"(?<![\w/])((?:docs|benchmarks/results)/[\w/.-]+?\.md)#?([\w-]*)",
            source.read_text(encoding="utf-8"),
        )
        if not exists(ROOT / path, anchor)
    ]
    assert sources
    assert not missing


@each_document()
def test_commands_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for command in set(re.findall(r"(?:^|`|&& )pocketcnn ([a-z]+)", text, flags=re.MULTILINE)):
        answer = subprocess.run(
            [sys.executable, "-m", "pocketcnn", command, "--help"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.returncode == 0, f"pocketcnn {command}: {answer.stderr}"


def nox_sessions() -> set[str]:
    """Name the sessions of nox as `nox -s` takes them: `cpp` as well as `cpp(dev)`."""
    names: set[str] = set()
    files = (ROOT / "noxfile.py", ROOT / "nox_platforms.py")
    source = "".join(file.read_text(encoding="utf-8") for file in files)
    found = re.findall(r"^@nox\.session.*\n((?:@.*\n)*)def (\w+)", source, flags=re.MULTILINE)
    for marks, name in found:
        ids = re.findall(r"ids=\[(.*)\]", marks)
        names |= {name, *(f"{name}({word})" for word in re.findall(r"\w+", " ".join(ids)))}
    return names


def test_sessions_are_read_as_nox_names_them() -> None:
    assert {"lint", "cpp", "cpp(dev)", "cpp(release)", "guard"} <= nox_sessions()
    assert "install" not in nox_sessions()


@each_document()
def test_nox_sessions_exist(document: Path) -> None:
    named = re.findall(r"nox -s [\"']?(\w+(?:\(\w+\))?)", document.read_text(encoding="utf-8"))
    assert set(named) <= nox_sessions()


def test_cmake_lines_are_those_of_the_example() -> None:
    example = (ROOT / "examples" / "find_package" / "CMakeLists.txt").read_text(encoding="utf-8")
    found = next(block for block in blocks(ROOT / "docs" / "cpp.md") if block.language == "cmake")
    assert "find_package(pocketcnn" in example
    assert "pocketcnn::pocketcnn" in found.text
    assert "pocketcnn::pocketcnn" in example
