"""Pages whose blocks are executed, and can be downloaded as notebooks; pages translated as a whole.

They stay plain Markdown, readable in the repository and run by the tests; only while the site is
built do their blocks become cells of a notebook.

Where NAME.LANGUAGE.md stands beside NAME.md, it is that page in the site of its language.
"""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

_FRONT = """\
---
file_format: mystnb
kernelspec:
  name: python3
---
"""
_TITLE = re.compile(r"^(# .*)$", flags=re.MULTILINE)
# "[English](page.md) · [日本語](page.ja.md)": the site has a menu instead.
_LANGUAGES = re.compile(r"^\[.*\]\([\w.-]+\.md\) · .*\n\n", flags=re.MULTILINE)
_DOWNLOAD = "This page as a notebook: {{nb-download}}`{name}.ipynb`"


def _cell(fence: re.Match[str]) -> str:
    return "```{code-cell}" + ("\n%%bash" if fence[1] == "sh" else "")


def as_notebook(text: str, name: str, languages: list[str]) -> str:
    """Turn blocks in some languages into cells, and offer the notebook below the title."""
    text = re.sub(f"^```({'|'.join(languages)})$", _cell, text, flags=re.MULTILINE)
    return _FRONT + _TITLE.sub(rf"\1\n\n{_DOWNLOAD.format(name=name)}", text, count=1)


def _read(app: Sphinx, name: str, source: list[str]) -> None:
    whole = Path(app.env.doc2path(name)).with_suffix(f".{app.config.language}.md")
    if whole.exists():
        app.env.note_dependency(str(whole))
        source[0] = whole.read_text(encoding="utf-8")
    languages = app.config.executed_pages.get(name)
    if languages:
        source[0] = _LANGUAGES.sub("", source[0], count=1)
        source[0] = as_notebook(source[0], name.rpartition("/")[2], languages)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register `executed_pages`: names of pages, and the languages of the blocks that are run."""
    app.add_config_value("executed_pages", {}, "env", dict)
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
