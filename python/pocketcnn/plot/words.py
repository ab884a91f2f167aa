"""Users' words in pictures: names of classes, layers and runs are drawn as they were given."""

from __future__ import annotations

import unicodedata
import warnings
from functools import lru_cache
from typing import Any

# Longer names are cut: even the longest usual names leave little room for the picture.
_LONGEST = 40
_NO_GLYPH = "□"


def drawable(text: object) -> str:
    r"""Return a name as a picture can show it.

    Unprintable characters are escaped, characters that no font has become boxes, and long names are
    cut.

    Examples
    --------
    >>> print(drawable("a\nb"))
    a\nb
    """
    name = "".join(map(_printable, str(text)))
    name = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
    missing = "".join(sorted(set(name) - _characters(_families(name))))
    if missing:
        _tell_of(missing)
    return "".join(_NO_GLYPH if c in missing else c for c in name)


def _printable(character: str) -> str:
    """A character or its replacement: nothing for format characters, a space for any space."""
    category = unicodedata.category(character)
    if category == "Zs":
        return " "
    if category == "Cf":
        return ""
    return character if character.isprintable() else ascii(character)[1:-1]


def literally(*texts: str) -> dict[str, Any]:
    """Settings of a matplotlib Text with users' words.

    A dollar sign is not read as TeX, and letters that the usual font lacks come from an installed
    font that has them.
    """
    return {"parse_math": False, "usetex": False, "fontfamily": list(_families("".join(texts)))}


def _families(text: str) -> tuple[str, ...]:
    """The usual font families, followed by those that the rest of a text needs."""
    from matplotlib.font_manager import FontProperties, fontManager

    usual = tuple(FontProperties().get_family())
    rest = "".join(sorted(set(text) - _characters(usual)))
    return (*usual, *_found(rest, len(fontManager.ttflist))) if rest else usual


@lru_cache(maxsize=64)
def _found(characters: str, installed: int) -> tuple[str, ...]:
    """Installed families that have some of these characters, those with most of them first.

    `installed` is the number of fonts: when it changes, the search is made again.
    """
    from matplotlib.font_manager import fontManager

    wanted = set(characters)
    having: dict[str, set[str]] = {}
    for font in fontManager.ttflist[:installed]:
        if font.style == "normal" and not font.name.startswith("Last Resort"):
            having.setdefault(font.name, set()).update(wanted & _glyphs(font.fname))
    families: list[str] = []
    while wanted:
        best = max(having, key=lambda name: len(wanted & having[name]), default="")
        if not best or not wanted & having[best]:
            break
        families.append(best)
        wanted -= having[best]
    return tuple(families)


@lru_cache(maxsize=64)
def _characters(families: tuple[str, ...]) -> frozenset[str]:
    """The characters that some font families have."""
    from matplotlib.font_manager import FontProperties, findfont

    files = []
    for family in families:
        try:
            files.append(findfont(FontProperties(family=[family]), fallback_to_default=False))
        except ValueError:  # not installed: matplotlib skips it too
            continue
    return frozenset().union(*(_glyphs(file) for file in files or [findfont(FontProperties())]))


@lru_cache(maxsize=1024)
def _glyphs(file: str) -> frozenset[str]:
    """The characters in a font file; none if it cannot be read."""
    from matplotlib.font_manager import get_font

    try:
        return frozenset(map(chr, get_font(file).get_charmap()))
    except (OSError, RuntimeError, ValueError):
        return frozenset()


@lru_cache(maxsize=64)
def _tell_of(missing: str) -> None:
    """Warn of characters that no font has, once."""
    warnings.warn(
        f"no font has the characters {missing!r}, which pictures show as {_NO_GLYPH}: install one "
        "that has them, such as Noto Sans CJK",
        stacklevel=2,
    )
