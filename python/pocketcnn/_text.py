"""Foreign text in a terminal: made harmless, and measured as wide as it appears."""

from __future__ import annotations

import unicodedata
from collections.abc import Container, Sequence

# Control characters, format characters (they turn the direction of writing), lone surrogates and
# the separators that begin a new line. The two joiners are needed to write some languages.
_ESCAPED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"


def printable(text: str) -> str:
    r"""Return `text` with escapes for all characters that control a terminal.

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


def excerpt(text: object, limit: int = 200) -> str:
    r"""Return foreign text as one line that may be shown: escaped, and cut in the middle.

    Names and messages from a file may contain line ends, terminal commands, or megabytes.

    Parameters
    ----------
    text : object
        A string, or an object for `str`, such as an error.
    limit : int
        Largest number of characters to return.

    Examples
    --------
    >>> print(excerpt("cat\x1b[2J\n"), excerpt("x" * 1000, 20))
    cat\x1b[2J\n xxxxxxxxxx ... xxxxx
    """
    # Cut first, so that a megabyte is not escaped only to be dropped.
    return _cut(printable(_cut(str(text), limit)), limit)


def _cut(text: str, limit: int) -> str:
    """Leave out the middle of a text: the end of an error says what was wanted."""
    if len(text) <= limit:
        return text
    gap = " ... "
    tail = (limit - len(gap)) // 3
    return text[: limit - len(gap) - tail] + gap + text[len(text) - tail :]


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


def align_columns(
    head: Sequence[str], body: Sequence[Sequence[str]], *, numbers: Container[int]
) -> list[str]:
    """Format a table as lines: head, rule, body; columns in `numbers` are aligned to the right.

    Names may come from files, so each cell is shown as `excerpt` returns it.
    """
    body = [tuple(map(excerpt, cells)) for cells in body]
    widths = [max(map(columns, column)) for column in zip(head, *body, strict=True)]

    def line(cells: Sequence[str]) -> str:
        gaps = [" " * (width - columns(cell)) for cell, width in zip(cells, widths, strict=True)]
        return "  ".join(
            gap + cell if column in numbers else cell + gap
            for column, (cell, gap) in enumerate(zip(cells, gaps, strict=True))
        ).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return [line(head), rule, *map(line, body)]


def _width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
