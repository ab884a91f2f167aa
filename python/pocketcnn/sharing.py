"""One object in several threads: either a use is right, or one of them gets an error.

A lock would make threads wait for each other in silence, and would stay locked in the child of a
fork. Here each step is one operation of a dict, which the interpreter does not divide.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Concatenate, ParamSpec, Protocol, TypeVar

_User = tuple[int, int]  # a thread, and how many forks ago it was seen

_forks = 0


def _after_fork() -> None:
    global _forks
    _forks += 1  # the other threads are gone, and with them what they had begun


os.register_at_fork(after_in_child=_after_fork)


class Sharing:
    """Who uses an object: one thread that changes it, or any number that only read.

    Parameters
    ----------
    what : str
        The object in an error's words: "the network".
    advice : str
        What an error tells a thread to do instead.
    """

    def __init__(self, what: str, advice: str) -> None:
        self._what, self._advice = what, advice
        self._changer: dict[str, tuple[_User, str]] = {}
        self._readers: dict[int, _User] = {}

    def __reduce__(self) -> tuple[type[Sharing], tuple[str, str]]:
        return Sharing, (self._what, self._advice)  # a copy is nobody's

    def change(self, deed: str) -> _Changing:
        """For a ``with`` block that changes the object; waits until nobody reads it.

        Raises
        ------
        RuntimeError
            Another thread changes it, from the beginning of such a block to its end.
        """
        me = threading.get_ident(), _forks
        return _Changing(self, me, self._claim(me, deed))

    def read(self) -> _Reading:
        """For a ``with`` block that others may run at the same time.

        Raises
        ------
        RuntimeError
            Another thread changes the object.
        """
        me = threading.get_ident(), _forks
        reading = _Reading(self, me)
        changer = self._changer.get("user")
        if changer is not None and changer[0] != me and changer[0][1] == _forks:
            reading.end()
            raise self._refusal(changer)
        return reading

    def _claim(self, me: _User, deed: str) -> bool:
        """Whether the object was not this thread's already."""
        claim = me, deed
        changer = self._changer.setdefault("user", claim)
        if changer is claim:
            while any(user != me and user[1] == _forks for user in list(self._readers.values())):
                time.sleep(0.0002)
            return True
        if changer[0][1] != _forks:
            self._changer["user"] = claim
            return True
        if changer[0] == me:
            return False
        raise self._refusal(changer)

    def _refusal(self, changer: tuple[_User, str]) -> RuntimeError:
        (thread, _), deed = changer
        names = [other.name for other in threading.enumerate() if other.ident == thread]
        whose = f"thread {names[0]!r}" if names else "another thread"
        return RuntimeError(f"{self._what} is in {deed} of {whose}: {self._advice}")


class _Use:
    """A ``with`` block; without a reference it has ended too, should an interrupt come early."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()

    def __del__(self) -> None:
        self.end()

    def end(self) -> None:
        raise NotImplementedError


class _Changing(_Use):
    def __init__(self, sharing: Sharing, user: _User, outermost: bool) -> None:
        self._sharing, self._user, self._open = sharing, user, outermost

    def end(self) -> None:
        if self._open:
            self._open = False
            self._sharing._changer.pop("user", None)


class _Reading(_Use):
    def __init__(self, sharing: Sharing, user: _User) -> None:
        self._readers = sharing._readers
        self._readers[id(self)] = user

    def end(self) -> None:
        self._readers.pop(id(self), None)


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
    """Make all of a method a `Sharing.change` of its object's `sharing`."""

    def decorate(
        method: Callable[Concatenate[_Self, _Arguments], _Answer],
    ) -> Callable[Concatenate[_Self, _Arguments], _Answer]:
        @wraps(method)
        def alone(self: _Self, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Answer:
            with self.sharing.change(deed):
                return method(self, *args, **kwargs)

        return alone

    return decorate
