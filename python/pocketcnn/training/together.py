"""What several processes must have in common when they train one network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from pocketcnn._arguments import integer
from pocketcnn.config import isa
from pocketcnn.layers import BatchNorm2d
from pocketcnn.layers.chain import every_layer
from pocketcnn.network.net import ConvNet
from pocketcnn.training.checkpoint import Arrays, network_arrays
from pocketcnn.training.ranks import Ranks, draw_apart, require_same
from pocketcnn.training.run import Run
from pocketcnn.training.source import Source


class Together:
    """Keeps a trainer's network and settings the same on all ranks.

    Parameters
    ----------
    net : ConvNet
    ranks : Ranks
    sync_batch_norm : bool
        Whether batch normalisation sees the batches of all ranks as one.
    micro_batches : int or None
        In how many parts a batch of all ranks is computed; one for each rank when None.

    Attributes
    ----------
    micro : int
        In how many micro-batches each rank computes its part of a batch.

    Raises
    ------
    ValueError
        The ranks cannot share the micro-batches, or not normalise them as one.
    """

    def __init__(
        self,
        net: ConvNet,
        ranks: Ranks,
        sync_batch_norm: bool = False,
        micro_batches: int | None = None,
    ) -> None:
        self._net, self._ranks = net, ranks
        self.sync_batch_norm = bool(sync_batch_norm)
        self.micro_batches = micro_batches
        self.micro = 1
        if micro_batches is None:
            return
        self.micro, rest = divmod(integer("micro_batches", micro_batches, 1), ranks.size)
        if rest:
            raise ValueError(
                f"micro_batches is {micro_batches}, but must be a multiple of the {ranks.size} "
                "processes"
            )
        if self.sync_batch_norm and self.micro > 1:
            raise ValueError(
                f"sync_batch_norm needs all {micro_batches} micro-batches at once, but "
                f"{ranks.size} process{'es' * (ranks.size > 1)} would compute {self.micro} each, "
                "one after the other"
            )

    def begin(self, generators: Mapping[str, np.random.Generator]) -> None:
        """Take rank 0's weights, and other random numbers than it: but for the order of samples."""
        if self._ranks.size == 1:
            return
        shapes = {name: (a.shape, str(a.dtype)) for name, a in self._arrays().items()}
        require_same(self._ranks, {"the network's layers": shapes, "isa (POCKETCNN_ISA)": isa()})
        self._ranks.broadcast(self._arrays().values())
        own = {name: rng for name, rng in generators.items() if name != "trainer.order"}
        draw_apart(self._ranks, own)

    def agree(
        self, run: Run, *, epochs: int, checkpoint_every: int | None, validation: Source | None
    ) -> None:
        """Compare the settings of a run, and take rank 0's weights and optimiser.

        Raises
        ------
        ValueError
            The ranks differ in a setting; all of them raise it.
        """
        if self._ranks.size == 1:
            return
        settings = {
            "batch_size": run.batch_size,
            "seed": run.seed,
            "epochs": epochs,
            "checkpoint_every": checkpoint_every,
            "validation": validation is not None,
            "accumulate": run.updates.accumulate,
            "clip_norm": run.updates.clip_norm,
            "ema": run.updates.ema,
            "sync_batch_norm": self.sync_batch_norm,
            "micro_batches": self.micro_batches,
            "optimizer": repr(run.optimizer),
            "loss": repr(run.objective),
            "frozen": self._net.frozen,
        }
        require_same(self._ranks, settings)
        self._ranks.broadcast(self._arrays().values())
        state = self._ranks.gather(run.optimizer.state_dict() if self._ranks.rank == 0 else None)[0]
        if self._ranks.rank > 0:
            run.optimizer.load_state_dict(state)

    def first_reason(self, found: str | None) -> str:
        """Return, on all ranks, the first of the reasons that some have found."""
        for rank, reason in enumerate(self._ranks.gather(found)):
            if reason is not None:
                return f"rank {rank}: {reason}" if self._ranks.size > 1 else str(reason)
        return "the sum over all ranks is too large"

    @contextmanager
    def normalizing(self) -> Iterator[None]:
        """Let batch normalisation see the batches of all ranks, if that is wished."""
        norms: list[BatchNorm2d] = []
        if self.sync_batch_norm and self._ranks.size > 1:
            layers = every_layer(self._net.layers)
            norms = [layer for _, layer in layers if isinstance(layer, BatchNorm2d)]
        for norm in norms:
            norm.total = self._ranks.total
        try:
            yield
        finally:
            for norm in norms:
                norm.total = None

    def _arrays(self) -> Arrays:
        return network_arrays(self._net)
