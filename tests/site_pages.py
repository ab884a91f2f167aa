"""The built site is whole: every language, every link, nothing from elsewhere, notebooks that ran.

`nox -s docs` runs this file after building; POCKETCNN_SITE names the folder.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

SITE = Path(os.environ["POCKETCNN_SITE"])
LANGUAGES = ("en", "ko", "ja")
PAGES = sorted(str(path.relative_to(SITE / "en")) for path in SITE.glob("en/**/*.html"))
TUTORIALS = (
    *("first-network", "from-scratch", "own-pictures", "look-inside", "fine-tuning", "in-and-out"),
    "distributed",
)
EXECUTED = (*TUTORIALS, "how-it-works", "tour")

# What a browser fetches by itself, and where the address stands.
FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
# What is written in no other language of the site.
LETTERS = {"ko": re.compile("[가-힣]"), "ja": re.compile("[ぁ-んァ-ヶ]")}
# Two words of English; names and code are the same in every language.
ENGLISH = re.compile(r"\b[a-z]{2,} [a-z]{2,}\b")


class Page(HTMLParser):
    """What the tests look at in a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.untranslated: list[str] = []
        self._open: list[tuple[str, bool]] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        self.ids |= {named["id"]} if "id" in named else set()
        if tag == "a" and "href" in named:
            self.links.append(named["href"])
        if FETCHED.get(tag, "") in named and named.get("rel") not in ("index", "search", "next"):
            self.fetched.append(named[FETCHED[tag]])
        classes = named.get("class", "").split()
        if tag not in ("br", "img", "input", "link", "meta", "hr", "wbr", "source", "col"):
            inherited = bool(self._open) and self._open[-1][1]
            mark = "untranslated" in classes or (inherited and "translated" not in classes)
            self._open.append((tag, mark and tag not in ("code", "pre", "script", "style", "svg")))

    def handle_endtag(self, tag: str) -> None:
        while self._open:
            if self._open.pop()[0] == tag:
                break

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1][1]:
            self.untranslated.append(data)


page = cache(Page)


def local(links: list[str]) -> Iterator[tuple[str, str]]:
    """Path and anchor of the links that stay in the site."""
    for link in links:
        parts = urlsplit(link)
        if not parts.scheme and not parts.netloc:
            yield unquote(parts.path), unquote(parts.fragment)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_page(language: str) -> None:
    root = SITE / language
    assert "docs/index.html" in PAGES
    assert "docs/api/cpp.html" in PAGES
    assert sorted(str(path.relative_to(root)) for path in root.glob("**/*.html")) == PAGES


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", PAGES)
def test_links_lead_to_what_is_there(name: str, language: str) -> None:
    path = SITE / language / name
    missing = []
    for target, anchor in local([*page(path).links, *page(path).fetched]):
        file = (path.parent / target).resolve() if target else path.resolve()
        known = not anchor or file.suffix != ".html" or anchor in page(file).ids
        if not file.is_file() or not known:
            missing.append(f"{target}#{anchor}")
    assert not missing


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_fetched_from_elsewhere(name: str, language: str) -> None:
    fetched = page(SITE / language / name).fetched
    assert fetched
    outside = [urlsplit(link) for link in fetched if not link.startswith("data:")]
    assert not [link for link in outside if link.scheme or link.netloc]


def test_styles_and_scripts_fetch_nothing_from_elsewhere() -> None:
    for path in [*SITE.glob("en/_static/**/*.css"), *SITE.glob("en/_static/**/*.js")]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(?:url\(|@import|import\(|fetch\()\s*[\"']?(?:https?:)?//", text), (
            path
        )


@pytest.mark.parametrize("language", ["ko", "ja"])
@pytest.mark.parametrize("name", ["index", *TUTORIALS])
def test_tutorials_are_translated(name: str, language: str) -> None:
    path = SITE / language / "docs" / f"{name}.html"
    assert len(LETTERS[language].findall(path.read_text(encoding="utf-8"))) > 200
    assert not [part for part in page(path).untranslated if ENGLISH.search(part)]


@pytest.mark.parametrize("name", EXECUTED)
def test_notebooks_were_run(name: str) -> None:
    links = page(SITE / "en" / "docs" / f"{name}.html").links
    (link,) = [link for link in links if link.endswith(f"{name}.ipynb")]
    notebook = json.loads((SITE / "en" / "docs" / link).read_text(encoding="utf-8"))
    outputs = [out for cell in notebook["cells"] for out in cell.get("outputs", [])]
    assert outputs
    assert not [out for out in outputs if out["output_type"] == "error"]
