"""The files of the page: small, by themselves, in three languages, readable in light and dark."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest

STATIC = Path(str(files("pocketcnn.live").joinpath("static")))


def test_the_wheel_part_of_the_page_is_small() -> None:
    assert sum(file.stat().st_size for file in STATIC.iterdir()) < 150_000


def test_the_languages_have_the_same_words() -> None:
    keys = {
        language: re.findall(r"^  (\w+): ", (STATIC / f"words-{language}.js").read_text(), re.M)
        for language in ("en", "ko", "ja")
    }
    assert len(keys["en"]) == len(set(keys["en"])) > 100
    # Korean and Japanese have words of their own for some kinds that English leaves as they are.
    assert set(keys["ko"]) == set(keys["ja"])
    extra = set(keys["ko"]) - set(keys["en"])
    assert set(keys["en"]) <= set(keys["ko"])
    assert all(key.startswith("kind_") for key in extra)
    used = set()
    for file in STATIC.iterdir():
        text = file.read_text(encoding="utf-8")
        used |= set(re.findall(r'\bt\("(\w+)"', text))
        used |= set(re.findall(r'data-w(?:-label)?="(\w+)"', text))
    assert used <= set(keys["en"]), used - set(keys["en"])


def test_words_have_the_same_places() -> None:
    found: dict[str, set[frozenset[str]]] = {}
    for language in ("en", "ko", "ja"):
        text = (STATIC / f"words-{language}.js").read_text(encoding="utf-8")
        for key, value in re.findall(r'^  (\w+): "(.*)",$', text, re.M):
            found.setdefault(key, set()).add(frozenset(re.findall(r"\{(\w+)\}", value)))
    assert {key for key, places in found.items() if len(places) > 1} == set()


def test_no_file_names_another_place() -> None:
    for file in STATIC.iterdir():
        addresses = re.findall(r"https?://[\w./]+", file.read_text(encoding="utf-8"))
        assert set(addresses) <= {"http://www.w3.org/2000/svg"}, file.name


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_from_its_ground(theme: str) -> None:
    """At least 4.5 to 1 for text, 3 to 1 for curves and frames, as WCAG 2 asks (AA)."""
    text = (STATIC / "page.css").read_text(encoding="utf-8")
    heads = {"light": ":root {", "dark": '[data-theme="dark"] {'}
    block = text[text.index(heads[theme]) :].split("}")[0]
    colours = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6});", block))

    def contrast(one: str, other: str) -> float:
        low, high = sorted((luminance(colours[one]), luminance(colours[other])))
        return (high + 0.05) / (low + 0.05)

    for name in ("ink", "soft", "blue"):
        for ground in ("card", "paper", "wash"):
            assert contrast(name, ground) >= 4.5, (name, ground)
    for name in ("orange", "green", "purple", "one", "two", "three", "four", "five", "six"):
        assert contrast(name, "card") >= 3, name
