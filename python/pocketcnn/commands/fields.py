"""Options as the fields of a dataclass: a field makes the argument, its help and a TOML entry.

A field is called as the option is, with underscores, and with one more at its end where the name is
a word of Python: `from_` is `--from`. Its type is `bool`, `int`, `float` or `str`, or one of these
or None. A switch, which is a `bool`, can be set back with `--no-` before its name.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import Field, field, fields
from types import NoneType
from typing import Any, NoReturn, get_args, get_type_hints

from pocketcnn._text import excerpt
from pocketcnn.commands.parser import Parser

# What a file may hold for an option of each type.
_FITTING: dict[type, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str,), "text"),
}


def option(
    default: Any,
    told: str,
    *,
    group: str | None = None,
    read: Callable[[str], Any] = str,
    choices: Collection[Any] | None = None,
    metavar: str | None = None,
    shown: str | None = None,
) -> Any:
    """Make a field of a dataclass of options.

    Parameters
    ----------
    default : bool, int, float, str or None
        The value when it is not given.
    told : str
        What it means.
    group : str, optional
        Under which heading the help shows it, if not among the command's own.
    read : callable
        Reads the value from text; raises ValueError or `argparse.ArgumentTypeError`.
    choices : collection, optional
        The only values, all of which the help shows.
    metavar : str, optional
        What the help calls the value.
    shown : str, optional
        The default as the help shows it, where it depends on something.
    """
    if shown is None and default is not None and default is not False:
        shown = str(default)
    if shown is not None:
        told = f"{told} ({shown})"
    settings = {"help": told, "type": read, "choices": choices, "metavar": metavar}
    return field(default=default, metadata={"group": group, "settings": settings})


def key_of(name: str) -> str:
    """Return what a field is called in files."""
    return name.rstrip("_")


def flag_of(name: str) -> str:
    """Return what a field is called on the command line."""
    return f"--{key_of(name).replace('_', '-')}"


def add_fields(parser: argparse.ArgumentParser, kind: type) -> None:
    """Add an argument for each field of a dataclass; None is the value of one that is not given."""
    groups: dict[str | None, argparse._ActionsContainer] = {None: parser}
    types = _types(kind)
    for entry in _options(kind):
        heading = entry.metadata["group"]
        if heading not in groups:
            groups[heading] = parser.add_argument_group(heading)
        settings, group = entry.metadata["settings"], groups[heading]
        name, flag = entry.name, flag_of(entry.name)
        if types[name] is not bool:
            group.add_argument(flag, dest=name, **settings)
            continue
        told = settings["help"]
        group.add_argument(flag, dest=name, action="store_const", const=True, help=told)
        back, hidden = f"--no-{flag[2:]}", argparse.SUPPRESS
        group.add_argument(back, dest=name, action="store_const", const=False, help=hidden)


def given(arguments: argparse.Namespace, kind: type) -> dict[str, Any]:
    """Return the options of a dataclass that were given, by the names of its fields."""
    values = {entry.name: getattr(arguments, entry.name) for entry in _options(kind)}
    return {name: value for name, value in values.items() if value is not None}


def read_values(values: Mapping[str, object], *kinds: type) -> argparse.Namespace:
    """Read options from a file's values, with the same checks as on the command line.

    Returns
    -------
    Namespace
        As the command line makes it: None for what is not given.

    Raises
    ------
    ValueError
        The file has options that there are not, or values of the wrong type or out of range. The
        message names the option.
    """
    known = {
        key_of(name): (name, wanted) for kind in kinds for name, wanted in _types(kind).items()
    }
    unknown = [excerpt(repr(key), 60) for key in sorted(values.keys() - known.keys())]
    if unknown:
        raise ValueError(f"unknown options [{', '.join(unknown)}]")
    words = []
    for key, value in values.items():
        name, kind = known[key]
        fitting, wanted = _FITTING[kind]
        if value is None:
            continue
        if type(value) not in fitting:
            raise ValueError(f"{key} is {excerpt(repr(value), 60)}: wanted {wanted}")
        if kind is not bool:
            words.append(f"{flag_of(name)}={value}")
        elif value:
            words.append(flag_of(name))
    parser = _Refusing(add_help=False, allow_abbrev=False)
    for each in kinds:
        add_fields(parser, each)
    return parser.parse_args(words)


def to_toml(values: object) -> str:
    """Write the options of a dataclass as a TOML table, under the headings of the help.

    Those at None are left out, as TOML has no such value.
    """
    return "\n".join(_toml_lines(values)) + "\n"


def _toml_lines(values: Any) -> Iterator[str]:
    heading = None
    for entry in _options(type(values)):
        value = getattr(values, entry.name)
        if value is None:
            continue
        if entry.metadata["group"] != heading:
            heading = entry.metadata["group"]
            yield f"\n# {heading}"
        # A string of JSON is one of TOML but for this character.
        text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        yield f"{key_of(entry.name)} = {text}"


def _options(kind: type) -> Sequence[Field[Any]]:
    return [entry for entry in fields(kind) if "settings" in entry.metadata]


def _types(kind: type) -> dict[str, type]:
    """Return the type of each field without None."""
    hints = get_type_hints(kind)
    return {
        entry.name: next(
            (each for each in get_args(hints[entry.name]) if each is not NoneType),
            hints[entry.name],
        )
        for entry in _options(kind)
    }


class _Refusing(Parser):
    """Raises an error where the command line would exit with a message."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)
