"""RMSprop: AdaGrad with a moving average."""

from __future__ import annotations

from collections.abc import Mapping

from pocketcnn import functional as F
from pocketcnn._arguments import non_negative, share
from pocketcnn.functional._linear import Grad
from pocketcnn.optim.base import Array, Optimizer


class RMSprop(Optimizer):
    """RMSprop (Hinton, Coursera lecture 6e, 2012): AdaGrad with a moving average.

    With `g = grad + weight_decay * p`: `s = alpha * s + (1 - alpha) * g * g`,
    `p -= lr * g / (sqrt(s) + eps)`.

    Parameters
    ----------
    lr : float, default 0.01
        Learning rate.
    alpha : float, default 0.99
        Share of the average that is kept; 0 to less than 1.
    eps : float, default 1e-8
        Keeps the quotient finite.
    weight_decay : float, default 0
        Coefficient of the L2 penalty.
    rates : mapping of str to float, optional
        Factors of the learning rate by patterns of parameters' names; see `Optimizer`.
    """

    hyperparameters = ("lr", "alpha", "eps", "weight_decay")

    def __init__(
        self,
        lr: float = 0.01,
        *,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        rates: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(lr, weight_decay, rates)
        self.alpha = share("alpha", alpha)
        self.eps = non_negative("eps", eps)

    @property
    def slots(self) -> tuple[str, ...]:
        """The moving average of the squared gradients."""
        return ("square_average",)

    def _update(self, params: list[Array], grads: list[Grad], slots: list[list[Array]]) -> None:
        F.rmsprop_update(
            params,
            grads,
            slots[0],
            lr=self.lr,
            alpha=self.alpha,
            eps=self.eps,
            weight_decay=self.weight_decay,
        )
