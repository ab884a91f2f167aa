"""What the subcommands' options have in common: usage errors, numbers, shared arguments."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NoReturn

from pocketcnn.commands import console

# Larger sizes and counts fit neither memory nor an int of the core.
_LARGEST = 2**31 - 1


class WrongUsage(Exception):  # noqa: N818  # the message is a whole line
    """Options or arguments that the command does not take; the message says which."""


class Parser(argparse.ArgumentParser):
    """Reports wrong usage in one line."""

    def error(self, message: str) -> NoReturn:
        """Raise WrongUsage."""
        raise WrongUsage(f"{self.prog}: {console.one_line(message)} (see {self.prog} --help)")


def positive(text: str) -> int:
    """Read a count: 1 or more."""
    return _whole(text, 1)


def natural(text: str) -> int:
    """Read an index: 0 or more."""
    return _whole(text, 0)


def port(text: str) -> int:
    """Read the number of a port; 0 stands for any that is free."""
    value = _whole(text, 0)
    if value > 65535:
        raise argparse.ArgumentTypeError(f"{text} is more than 65535")
    return value


def seed(text: str) -> int:
    """Read a seed: 0 or more, of any length."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is less than 0")
    return value


def not_negative(text: str) -> float:
    """Read a finite number of at least 0."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of at least 0")
    return value


def some_number(text: str) -> float:
    """Read a finite number of more than 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of more than 0")
    return value


def names_of(known: Collection[str]) -> Callable[[str], str]:
    """Return what reads names with commas between them, each of which is known."""

    def read(text: str) -> str:
        for name in text.split(","):
            if name.strip() not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return text

    return read


def share(text: str) -> float:
    """Read a share: at least 0 and less than 1."""
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 0 and less than 1")
    return value


def some_share(text: str) -> float:
    """Read a share: more than 0 and less than 1."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not more than 0 and less than 1")
    return value


def image_shape(text: str) -> tuple[int, ...]:
    """Read the shape of an image: three sizes, 1 or more."""
    shape = tuple(_whole(size, 1) for size in text.split(","))
    if len(shape) != 3:
        raise argparse.ArgumentTypeError(f"{text} is not C,H,W")
    return shape


# argparse uses the function's name in its message about text that is not a number.
positive.__name__ = natural.__name__ = seed.__name__ = port.__name__ = "whole number"
image_shape.__name__ = "shape"
not_negative.__name__ = share.__name__ = some_share.__name__ = some_number.__name__ = "number"


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the argument for the model."""
    told = "a .safetensors or .onnx file, or a run's folder"
    parser.add_argument("model", metavar="MODEL", help=told)


def add_images(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for the images."""
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="image files, folders of them, .npy arrays, or digits:N for one of the built-in "
        "test digits",
    )


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add the option for the data set to measure on."""
    parser.add_argument(
        "--data",
        metavar="NAME|FOLDER",
        help="as in train; of a folder the images in its test folder, or all where it has none "
        "(what it was trained on: the images that were held out)",
    )


def add_invert(parser: argparse.ArgumentParser) -> None:
    """Add the switch for dark ink on light paper."""
    parser.add_argument(
        "--invert", action="store_true", help="exchange dark and light: for ink on white paper"
    )


def add_out(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the option for the path of a picture."""
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help=f"the picture ({name} beside the model)"
    )


def _whole(text: str, least: int) -> int:
    value = int(text)
    if value < least:
        raise argparse.ArgumentTypeError(f"{text} is less than {least}")
    if value > _LARGEST:
        raise argparse.ArgumentTypeError(f"{text} is more than {_LARGEST}")
    return value
