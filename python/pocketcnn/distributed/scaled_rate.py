"""The learning rate of large batches: as many times as high as there are ranks."""

from __future__ import annotations

from pocketcnn import _arguments
from pocketcnn.training.schedules import Schedule


class ScaledRate(Schedule):
    """The rate of one rank times their number, after a rise from the rate of one.

    Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", 2017
    (arXiv:1706.02677), section 2.

    Parameters
    ----------
    ranks : int
        How many times the batch is as large as that which the optimiser's rate is for.
    then : Schedule, optional
        Whose factors multiply the rate too; a constant rate when not given.
    warmup : float, default 0.05
        Share of the run in which the rate rises; 5 of 90 epochs in the paper.

    Examples
    --------
    >>> [ScaledRate(4, warmup=0.5).factor(p) for p in (0, 0.25, 0.5, 0.99)]
    [1.0, 2.5, 4.0, 4.0]
    """

    def __init__(self, ranks: int, then: Schedule | None = None, *, warmup: float = 0.05) -> None:
        super().__init__()
        if then is not None and not isinstance(then, Schedule):
            raise TypeError(f"then is {then!r}, but must be a Schedule")
        self.ranks = _arguments.integer("ranks", ranks, 1)
        self.then = then
        self.warmup = _arguments.share("warmup", warmup)

    def factor(self, progress: float) -> float:
        """Rise along a line, and follow the other schedule."""
        times = float(self.ranks)
        if progress < self.warmup:
            times = 1 + (self.ranks - 1) * progress / self.warmup
        return times * (1.0 if self.then is None else self.then.factor(progress))
