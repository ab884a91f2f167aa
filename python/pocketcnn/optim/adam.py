"""Adam and AdamW: moving averages of the gradient and of its square."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pocketcnn import functional as F
from pocketcnn._arguments import non_negative, share
from pocketcnn.functional._linear import Grad
from pocketcnn.optim.base import Array, Optimizer


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015, algorithm 1), with the paper's bias correction.

    At step k, with `g = grad + weight_decay * p`: `m = beta1 * m + (1 - beta1) * g`,
    `v = beta2 * v + (1 - beta2) * g * g`,
    `p -= lr * (m / (1 - beta1**k)) / (sqrt(v / (1 - beta2**k)) + eps)`.

    Parameters
    ----------
    lr : float, default 0.001
        Learning rate.
    beta1, beta2 : float, default 0.9 and 0.999
        Shares of the averages that are kept; 0 to less than 1.
    eps : float, default 1e-8
        Keeps the quotient finite.
    weight_decay : float, default 0
        Coefficient of the L2 penalty.
    rates : mapping of str to float, optional
        Factors of the learning rate by patterns of parameters' names; see `Optimizer`.
    """

    hyperparameters = ("lr", "beta1", "beta2", "eps", "weight_decay")
    _decoupled: ClassVar[bool] = False

    def __init__(
        self,
        lr: float = 0.001,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        rates: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(lr, weight_decay, rates)
        self.beta1 = share("beta1", beta1)
        self.beta2 = share("beta2", beta2)
        self.eps = non_negative("eps", eps)

    @property
    def slots(self) -> tuple[str, ...]:
        """The moving averages of the gradients and of their squares."""
        return ("m", "v")

    def _update(self, params: list[Array], grads: list[Grad], slots: list[list[Array]]) -> None:
        F.adam_update(
            params,
            grads,
            slots[0],
            slots[1],
            lr=self.lr,
            beta1=self.beta1,
            beta2=self.beta2,
            eps=self.eps,
            weight_decay=self.weight_decay,
            decoupled=self._decoupled,
            step=self.steps,
        )


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019, algorithm 2).

    As `Adam`, but the decay does not pass through the averages: `p -= lr * weight_decay * p`
    first, then Adam's step with `g = grad`.

    Parameters
    ----------
    lr : float, default 0.001
        Learning rate.
    beta1, beta2 : float, default 0.9 and 0.999
        Shares of the averages that are kept; 0 to less than 1.
    eps : float, default 1e-8
        Keeps the quotient finite.
    weight_decay : float, default 0.01
        Times `lr`, the share that is subtracted from a parameter per step.
    rates : mapping of str to float, optional
        Factors of the learning rate by patterns of parameters' names; see `Optimizer`.
    """

    _decoupled = True

    def __init__(
        self,
        lr: float = 0.001,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        rates: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(
            lr, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay, rates=rates
        )
