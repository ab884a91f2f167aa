"""One object in several threads: a use is either safe, or raises an error in one of them.

A lock would make threads wait for each other silently, and could stay locked in the child of a
fork. Here each step is one operation of a dict, which the interpreter executes atomically.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from threading import get_ident
from typing import Concatenate, ParamSpec, Protocol, TypeVar
from weakref import WeakSet

_PATIENCE = 60.0  # seconds


class Sharing:
    """Who uses an object: one thread that changes it, or any number of threads that only read.

    Parameters
    ----------
    what : str
        How errors name the object: "the network".
    advice : str
        What an error recommends to do instead.
    """

    def __init__(self, what: str, advice: str) -> None:
        self._what, self._advice = what, advice
        self._changer: dict[str, tuple[int, str]] = {}  # at most one "user": thread, deed
        self._readers: dict[int, str] = {}
        _all.add(self)

    def __reduce__(self) -> tuple[type[Sharing], tuple[str, str]]:
        return Sharing, (self._what, self._advice)  # a copy has no user yet

    def claim(self, deed: str) -> bool:
        """Begin to change the object, once no thread reads it.

        Returns
        -------
        bool
            True if this call claimed it and `release` must follow; False if this thread had it.

        Raises
        ------
        RuntimeError
            Another thread is changing it.
        """
        claim = get_ident(), deed
        changer = self._changer.setdefault("user", claim)
        if changer is not claim:
            if changer[0] == claim[0]:
                return False
            raise self._refusal(*changer)
        if self._readers:
            self._wait_for_readers()
        return True

    def release(self) -> None:
        """End what `claim` began."""
        self._changer.pop("user", None)

    def begin_reading(self, deed: str) -> None:
        """Begin a use that other threads may share, but not with a change of the object.

        Raises
        ------
        RuntimeError
            Another thread is changing it.
        """
        self._readers[get_ident()] = deed
        if self._changer:
            self._refuse_readers()

    def end_reading(self) -> None:
        """End what `begin_reading` began."""
        self._readers.pop(get_ident(), None)

    @contextmanager
    def change(self, deed: str) -> Iterator[None]:
        """A ``with`` block from `claim` to `release`."""
        outermost = self.claim(deed)
        try:
            yield
        finally:
            if outermost:
                self.release()

    @contextmanager
    def read(self, deed: str) -> Iterator[None]:
        """A ``with`` block from `begin_reading` to `end_reading`."""
        self.begin_reading(deed)
        try:
            yield
        finally:
            self.end_reading()

    def _refuse_readers(self) -> None:
        changer = self._changer.get("user")
        if changer is not None and changer[0] != get_ident():
            self.end_reading()
            raise self._refusal(*changer)

    def _wait_for_readers(self) -> None:
        end = time.monotonic() + _PATIENCE
        while others := [it for it in list(self._readers.items()) if it[0] != get_ident()]:
            if time.monotonic() > end:
                self.release()
                raise self._refusal(*others[0])
            time.sleep(0.0002)

    def _forget_other_threads(self) -> None:
        me = get_ident()
        self._changer = {key: it for key, it in self._changer.items() if it[0] == me}
        self._readers = {user: deed for user, deed in self._readers.items() if user == me}

    def _refusal(self, user: int, deed: str) -> RuntimeError:
        names = [thread.name for thread in threading.enumerate() if thread.ident == user]
        whose = f"thread {names[0]!r}" if names else "another thread"
        return RuntimeError(f"{self._what} is in {deed} of {whose}: {self._advice}")


_all: WeakSet[Sharing] = WeakSet()


def _after_fork() -> None:
    """In the child of a fork, forget the other threads, which do not exist there."""
    for sharing in list(_all):
        sharing._forget_other_threads()


os.register_at_fork(after_in_child=_after_fork)


class _Shared(Protocol):
    @property
    def sharing(self) -> Sharing: ...


_Self = TypeVar("_Self", bound=_Shared)
_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")


def changes(
    deed: str,
) -> Callable[
    [Callable[Concatenate[_Self, _Arguments], _Answer]],
    Callable[Concatenate[_Self, _Arguments], _Answer],
]:
    """Make a whole method a change of its object, as `sharing` defines it."""

    def decorate(
        method: Callable[Concatenate[_Self, _Arguments], _Answer],
    ) -> Callable[Concatenate[_Self, _Arguments], _Answer]:
        @wraps(method)
        def alone(self: _Self, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Answer:
            sharing = self.sharing
            outermost = sharing.claim(deed)
            try:
                return method(self, *args, **kwargs)
            finally:
                if outermost:
                    sharing.release()

        return alone

    return decorate
