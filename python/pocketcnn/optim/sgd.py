"""SGD, with optional momentum."""

from __future__ import annotations

from collections.abc import Mapping

from pocketcnn import functional as F
from pocketcnn._arguments import share
from pocketcnn.functional._linear import Grad
from pocketcnn.optim.base import Array, Optimizer


class SGD(Optimizer):
    """Stochastic gradient descent, with optional momentum.

    With `g = grad + weight_decay * p`: `v = momentum * v + g`, `p -= lr * v`. Nesterov's
    momentum, in the form of Sutskever et al. (2013): `p -= lr * (g + momentum * v)`.

    Parameters
    ----------
    lr : float
        Learning rate.
    momentum : float, default 0
        Share of the last velocity that is kept; 0 to less than 1.
    nesterov : bool, default False
        Look ahead along the velocity; needs `momentum > 0`.
    weight_decay : float, default 0
        Coefficient of the L2 penalty.
    rates : mapping of str to float, optional
        Factors of the learning rate by patterns of parameters' names; see `Optimizer`.

    Examples
    --------
    >>> import numpy as np
    >>> from pocketcnn import optim
    >>> w = np.array([1.0, 2.0])
    >>> optim.SGD(0.1).update({"w": w}, {"w": np.array([1.0, -1.0])})
    >>> w
    array([0.9, 2.1])
    """

    hyperparameters = ("lr", "momentum", "nesterov", "weight_decay")

    def __init__(
        self,
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        *,
        rates: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(lr, weight_decay, rates)
        self.momentum = share("momentum", momentum)
        self.nesterov = bool(nesterov)
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov=True needs a momentum above 0, but momentum is 0")

    @property
    def slots(self) -> tuple[str, ...]:
        """The velocity, unless the momentum is zero."""
        return ("velocity",) if self.momentum else ()

    def _knows(self, slot: str) -> bool:
        return slot == "velocity"  # also with zero momentum, which may have been changed

    def _update(self, params: list[Array], grads: list[Grad], slots: list[list[Array]]) -> None:
        F.sgd_update(
            params,
            grads,
            slots[0] if self.momentum else None,
            lr=self.lr,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
        )
