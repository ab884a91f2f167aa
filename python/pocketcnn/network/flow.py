"""Flow: a network's computation, in runs of stages between the values that are used in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pocketcnn._arguments import Array
from pocketcnn.functional._conv_block import add
from pocketcnn.network.graph import Graph
from pocketcnn.network.stages import LayerStage, Made, Stage, Update, flow_back


class Run(NamedTuple):
    """Stages, each of which alone takes what the one before it gives.

    Attributes
    ----------
    sources : tuple of int
        The values that the first stage takes, as `Graph` numbers them: several make a list.
    stages : tuple of Stage
    result : int
        The value that the last stage gives.
    """

    sources: tuple[int, ...]
    stages: tuple[Stage, ...]
    result: int


class Flow:
    """Carries values through runs, and gradients back; a chain of layers is a single run.

    Parameters
    ----------
    runs : sequence of Run
        Each after those that give what it takes; the last gives the network's output.
    wanted : sequence of bool, optional
        For every value, whether a gradient of it is of use. By default, all are.
    """

    def __init__(self, runs: Sequence[Run], wanted: Sequence[bool] | None = None) -> None:
        self.runs = tuple(runs)
        self._wanted = wanted
        self._output = self.runs[-1].result if self.runs else 0
        self._spent: list[tuple[int, ...]] = []
        later: set[int] = set()
        for run in reversed(self.runs):
            self._spent.append(tuple(set(run.sources) - later))
            later.update(run.sources)
        self._spent.reverse()

    @property
    def stages(self) -> Iterator[Stage]:
        """The stages of all runs, in order."""
        return (stage for run in self.runs for stage in run.stages)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Compute the output for x; stages remember what `backward` needs."""
        values: dict[int, Any] = {0: x}
        for run, spent in zip(self.runs, self._spent, strict=True):
            out: Any = _take(run, spent, values)
            for stage in run.stages:
                out = stage.forward(out, training)
            values[run.result] = out
        output: Array = values[self._output]
        return output

    def infer(self, x: Array) -> Array:
        """Compute the output for x in inference mode; nothing is remembered."""
        values: dict[int, Any] = {0: x}
        for run, spent in zip(self.runs, self._spent, strict=True):
            out: Any = _take(run, spent, values)
            for stage in run.stages:
                out = stage.forward(out)
                stage.clear()
            values[run.result] = out
        output: Array = values[self._output]
        return output

    def backward(
        self,
        grad: Array,
        update: Update | None = None,
        *,
        made: Made | None = None,
        value: int = 0,
    ) -> Array | None:
        """Carry a gradient back, filling those of the layers; stages forget on the way.

        Gradients of a value that several runs take are added, the last run's first. Returns that of
        `value`, which no run gives, if it is wanted.
        """
        grads: dict[int, Array] = {self._output if self.runs else value: grad}
        del grad  # so that it is let go when the last stage has used it
        for run in reversed(self.runs):
            # Without names for the arrays, which would keep them for longer.
            self._hand_on(
                grads, run, flow_back(run.stages, grads.pop(run.result, None), update, made)
            )
        return grads.get(value)

    def _hand_on(self, grads: dict[int, Array], run: Run, flowing: Any) -> None:
        """Add the gradients of what a run took to those of the values."""
        if flowing is None:
            return
        parts = flowing if len(run.sources) > 1 else [flowing]
        for source, part in zip(run.sources, parts, strict=True):
            if self._wanted is None or self._wanted[source]:
                known = grads.get(source)
                grads[source] = part if known is None else add(known, part)

    def clear(self) -> None:
        """Let go of what the stages remember."""
        for stage in self.stages:
            stage.clear()


def _take(run: Run, spent: Sequence[int], values: dict[int, Any]) -> Any:
    """What a run's first stage takes; values that no later run takes are let go."""
    sources = run.sources
    taken = values[sources[0]] if len(sources) == 1 else [values[s] for s in sources]
    for source in spent:
        del values[source]
    return taken


def one_by_one(graph: Graph) -> list[Run]:
    """A run for each layer, in order."""
    return [
        Run(node.sources, (LayerStage(node.layer),), value)
        for value, node in enumerate(graph.nodes, start=1)
    ]


def split_into_chains(graph: Graph) -> list[list[int]]:
    """Group the nodes into chains: each node but the first is the only one that takes the last.

    In the order of the chains' first nodes, so that a chain comes after those it takes from.
    """
    chains: list[list[int]] = []
    ending_in: dict[int, list[int]] = {}
    for place, node in enumerate(graph.nodes):
        source = node.sources[0]
        alone = len(node.sources) == 1 and len(graph.readers[source]) == 1
        chain = ending_in.pop(source, None) if alone else None
        if chain is None:
            chain = []
            chains.append(chain)
        chain.append(place)
        ending_in[place + 1] = chain
    return chains
