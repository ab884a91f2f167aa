"""AdaGrad: a parameter's rate falls with the squares of its past gradients."""

from __future__ import annotations

from collections.abc import Mapping

from pocketcnn import functional as F
from pocketcnn._arguments import non_negative
from pocketcnn.functional._linear import Grad
from pocketcnn.optim.base import Array, Optimizer


class AdaGrad(Optimizer):
    """AdaGrad (Duchi, Hazan, Singer, 2011): a rate that falls with a parameter's past gradients.

    With `g = grad + weight_decay * p`: `s += g * g`, `p -= lr * g / (sqrt(s) + eps)`.

    Parameters
    ----------
    lr : float, default 0.01
        Learning rate.
    eps : float, default 1e-10
        Keeps the quotient finite.
    weight_decay : float, default 0
        Coefficient of the L2 penalty.
    rates : mapping of str to float, optional
        Factors of the learning rate by patterns of parameters' names; see `Optimizer`.
    """

    hyperparameters = ("lr", "eps", "weight_decay")

    def __init__(
        self,
        lr: float = 0.01,
        *,
        eps: float = 1e-10,
        weight_decay: float = 0.0,
        rates: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(lr, weight_decay, rates)
        self.eps = non_negative("eps", eps)

    @property
    def slots(self) -> tuple[str, ...]:
        """The sum of the squared gradients."""
        return ("square_sum",)

    def _update(self, params: list[Array], grads: list[Grad], slots: list[list[Array]]) -> None:
        F.adagrad_update(
            params, grads, slots[0], lr=self.lr, eps=self.eps, weight_decay=self.weight_decay
        )
