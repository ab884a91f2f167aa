"""`pocketcnn --print-completion`: the words that a shell may complete; by shtab."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from pocketcnn.commands import console
from pocketcnn.commands.parser import Parser

SHELLS = ("bash", "zsh", "fish")

# What the help calls the arguments that are files.
_FILES = {"MODEL", "IMAGE", "FILE", "FOLDER", "FILE.toml", "IN.onnx", "OUT.onnx", "OUT.safetensors"}


class PrintCompletion(argparse.Action):
    """Prints the script for a shell, and exits."""

    def __call__(
        self, parser: argparse.ArgumentParser, _namespace: object, shell: object, _flag: object = ""
    ) -> None:
        """Print it.

        Raises
        ------
        ImportError
            shtab is not installed.
        """
        try:
            import shtab
        except ImportError:
            raise ImportError(
                "completion needs shtab: pip install shtab (or pocketcnn[completion])"
            ) from None
        for action in _actions(parser):
            if isinstance(action.metavar, str) and not _FILES.isdisjoint(action.metavar.split("|")):
                action.complete = shtab.FILE  # type: ignore[attr-defined]
        console.say(shtab.complete(parser, str(shell)))
        parser.exit()


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                if isinstance(command, Parser):
                    yield from _actions(command)
