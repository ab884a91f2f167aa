"""Text out of files, shown in a terminal: harmless there, and as wide as it looks."""

from __future__ import annotations

import unicodedata

# Control characters, format characters (they turn the direction of writing), lone surrogates and
# the separators that begin a new line. The two joiners are needed to write some languages.
_ESCAPED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"


def printable(text: str) -> str:
    r"""Return `text` with an escape in place of every character that a terminal would obey.

    >>> print(printable("red\x1b[2J\nnext"))
    red\x1b[2J\nnext
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if unicodedata.category(character) in _ESCAPED and character not in _JOINERS
        else character
        for character in text
    )


def columns(text: str) -> int:
    """Return how many columns of a terminal `text` takes: two for a Chinese character.

    >>> columns("cat"), columns("猫")
    (3, 2)
    """
    return len(text) if text.isascii() else sum(map(_width, text))


def fit(text: str, width: int) -> str:
    """Return `text` in exactly `width` columns: filled with spaces, or cut with a mark.

    >>> fit("cat", 5), fit("猫", 5), fit("caterpillar", 5)
    ('cat  ', '猫   ', 'cate…')
    """
    room = width - columns(text)
    if room >= 0:
        return text + " " * room
    kept = 0
    for place, character in enumerate(text):
        kept += _width(character)
        if kept >= width:
            return text[:place] + "…" + " " * (width - 1 - columns(text[:place]))
    return text


def _width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
