"""Time contestants in turn, so that other load on the machine affects all of them.

One turn is a *burst* of calls. Between bursts the machine rests, because OpenMP's threads spin
for some milliseconds after their work and would take the next library's cores.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

# libgomp spins 300,000 pauses before it sleeps: about 5 ms where a pause takes 65 cycles.
REST_SECONDS = 0.010
# Below this a first call, which wakes threads and fetches caches, is not representative: after
# another library's turn that of a training step of DeepConvNet took 24 ms, the next ones 18.
_SHORT_SECONDS = 0.100
_WARM_UP_SECONDS = 0.010


@dataclass(frozen=True)
class Timing:
    """Seconds a call took."""

    minimum: float
    median: float
    mean: float
    calls: int

    @classmethod
    def of(cls, times: Sequence[float]) -> Timing:
        """Summarise the times of single calls."""
        return cls(min(times), statistics.median(times), statistics.fmean(times), len(times))

    def joined(self, other: Timing) -> Timing:
        """Both together; the median is the mean of the two, weighted by their calls."""
        calls = self.calls + other.calls
        share = self.calls / calls
        return Timing(
            min(self.minimum, other.minimum),
            share * self.median + (1 - share) * other.median,
            share * self.mean + (1 - share) * other.mean,
            calls,
        )


@dataclass(frozen=True)
class Pace:
    """How a race is run.

    Attributes
    ----------
    seconds : float
        Total time of all bursts.
    alternations : int
        Bursts of each contestant.
    clock : str
        A key of `CLOCKS`.
    """

    seconds: float
    alternations: int
    clock: str = "wall"


CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


class Contestant(Protocol):
    """What can be timed: a function in this process or in another."""

    def burst(self, seconds: float, wake: bool, clock: str) -> list[float]:
        """Call repeatedly, as :func:`burst` does; return each call's seconds."""


class Local:
    """A function in this process.

    Parameters
    ----------
    function : callable
        What is timed.
    prepare : callable, optional
        Called before each burst, not timed: to set the number of threads, for example.
    """

    def __init__(
        self, function: Callable[[], object], prepare: Callable[[], object] | None = None
    ) -> None:
        self.function = function
        self.prepare = prepare

    def burst(self, seconds: float, wake: bool, clock: str) -> list[float]:
        """Prepare, then call repeatedly, as :func:`burst` does."""
        if self.prepare is not None:
            self.prepare()
        return burst(self.function, seconds, wake, clock)


def burst(function: Callable[[], object], seconds: float, wake: bool, clock: str) -> list[float]:
    """Time single calls for `seconds`, at least one; with `wake` after one untimed call."""
    now = CLOCKS[clock]
    times: list[float] = []
    gc.disable()
    try:
        if wake:
            function()
        stop = now()
        end = stop + seconds
        while not times or stop < end:
            start = now()
            function()
            stop = now()
            times.append(stop - start)
    finally:
        gc.enable()
    return times


def alternate(contestants: Sequence[Contestant], pace: Pace) -> list[Timing]:
    """Give each contestant its bursts in turn, after a warm-up.

    Parameters
    ----------
    contestants : sequence of Contestant
    pace : Pace

    Returns
    -------
    list of Timing
        In the order of the contestants, over all calls of all bursts.
    """
    share = pace.seconds / (pace.alternations * len(contestants))
    fastest = [min(_warm_up(contestant)) for contestant in contestants]
    times: list[list[float]] = [[] for _ in contestants]
    for _ in range(pace.alternations):
        for contestant, least, mine in zip(contestants, fastest, times, strict=True):
            time.sleep(REST_SECONDS)
            mine.extend(contestant.burst(share, least < _SHORT_SECONDS, pace.clock))
    return [Timing.of(mine) for mine in times]


def _warm_up(contestant: Contestant) -> list[float]:
    time.sleep(REST_SECONDS)
    return contestant.burst(_WARM_UP_SECONDS, False, "wall")
