"""The directive `cpp-headers`: public C++ headers as a reference, read from the headers themselves.

The headers are short and formatted by clang-format, so a reader of lines is enough: the comment
`///` belongs to the declaration below it, which ends where its brackets are closed. Functions
become entries of Sphinx's C++ domain; types are shown as they are written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

_TYPE = re.compile(r"(template <[^>]*>\s*)?(struct|class|enum class) (\w+)")
_PRIVATE = re.compile(r"\n\n? *private:.*(?=\n};)", flags=re.DOTALL)
_MARKUP = re.compile(r"([\\`*_\[\]<>{}])")
_HEADERS = Path(__file__).parents[2] / "cpp" / "include" / "pocketcnn"


class Declaration(NamedTuple):
    """A declaration of a header, and what the comment above it says."""

    comment: str
    code: str

    def markdown(self) -> str:
        """Write it as a directive of the C++ domain."""
        found = _TYPE.match(self.code)
        if found:
            directive = found[2].replace(" ", "-")
            signature = f"{found[1] or ''}{found[3]}"
            body = f"```cpp\n{_PRIVATE.sub('', self.code)}\n```\n"
        else:
            directive, signature, body = self._plain()
        comment = _MARKUP.sub(r"\\\1", self.comment)
        signature = " ".join(signature.split())
        return f"````{{cpp:{directive}}} {signature}\n{comment}\n\n{body}````\n"

    def _plain(self) -> tuple[str, str, str]:
        """What has no body to be shown: the directive, the signature, and nothing."""
        if self.code.startswith("using "):
            return "type", self.code.removeprefix("using ").rstrip(";"), ""
        if self.code.startswith("inline constexpr "):
            return "var", self.code.removeprefix("inline ").rstrip(";"), ""
        return "function", re.split(r"(?<=\)) \{|;", self.code, maxsplit=1)[0], ""


def declarations(text: str) -> Iterator[Declaration]:
    """Read what a header declares in the namespace, from top to bottom."""
    inside = text.partition("namespace pocketcnn {\n")[2].partition("}  // namespace")[0]
    comment: list[str] = []
    code: list[str] = []
    for line in inside.splitlines():
        if code or not line.startswith("//"):
            code += [line] if code or line else []
        elif line.startswith("///"):
            comment.append(line.removeprefix("///").strip())
        if _is_complete("\n".join(code)):
            yield Declaration(" ".join(comment), "\n".join(code))
            comment, code = [], []


def _is_complete(code: str) -> bool:
    """Whether a declaration's brackets are closed at its end."""
    bare = re.sub(r"//.*", "", code).rstrip()
    closed = all(bare.count(a) == bare.count(b) for a, b in ("{}", "()"))
    return closed and bare.endswith((";", "}"))


def reference(header: Path) -> str:
    """Write the page's section about one header."""
    text = header.read_text(encoding="utf-8")
    about = " ".join(line.removeprefix("// ") for line in text.split("#pragma")[0].splitlines())
    parts = [f"## pocketcnn/{header.name}\n", _MARKUP.sub(r"\\\1", about) + "\n"]
    return "\n".join([*parts, *(found.markdown() for found in declarations(text))])


class CppHeaders(SphinxDirective):
    """All public headers, the network's first."""

    def run(self) -> list[nodes.Node]:
        """Read the headers and let Sphinx read what was written of them."""
        headers = sorted(_HEADERS.glob("*.h"), key=lambda path: (path.name != "model.h", path.name))
        for header in headers:
            self.env.note_dependency(str(header))
        text = "\n".join(reference(header) for header in headers)
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("cpp-headers", CppHeaders)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
