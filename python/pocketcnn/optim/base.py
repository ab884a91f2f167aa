"""Optimisers: small classes that change parameter arrays in place.

The arithmetic of a step is one native call (`functional.*_update`); what is here is the
hyper-parameters, the state of each parameter, and their way in and out of a checkpoint.
The definitions are PyTorch's; where they differ from the paper, the class says so.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from copy import copy
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pocketcnn import _arguments
from pocketcnn import functional as F
from pocketcnn._sharing import Sharing, changes

__all__ = [
    "SGD",
    "AdaGrad",
    "Adam",
    "AdamW",
    "Optimizer",
    "RMSprop",
]


def __dir__() -> list[str]:
    """List the public names, which completion shows."""
    return sorted(__all__)


Array = NDArray[np.floating]
Grad: TypeAlias = Array | F.LinearWeightGrad
Grads: TypeAlias = Mapping[str, Grad]


class Optimizer(ABC):
    """What all optimisers share: a learning rate, weight decay, and state by parameter name.

    Attributes
    ----------
    lr : float
        The learning rate; may be changed between updates.
    weight_decay : float
        Coefficient of the L2 penalty.
    state : dict of str to dict of str to ndarray
        For each slot (`"velocity"`, `"m"`, ...) the array of each parameter, made at its first
        update with the parameter's shape and dtype.
    steps : int
        How many updates were made.
    sharing : Sharing
        Which thread updates now: a second one gets a RuntimeError.
    """

    hyperparameters: ClassVar[tuple[str, ...]] = ("lr", "weight_decay")

    def __init__(self, lr: float, weight_decay: float) -> None:
        self.lr = _at_least_zero("lr", lr)
        self.weight_decay = _at_least_zero("weight_decay", weight_decay)
        self.steps = 0
        self.state: dict[str, dict[str, Array]] = {}
        self.sharing = Sharing("the optimiser", "each thread needs an optimiser of its own")

    @property
    @abstractmethod
    def slots(self) -> tuple[str, ...]:
        """The names of the state arrays that a parameter has."""

    @changes("an update")
    def update(self, params: Mapping[str, Array], grads: Mapping[str, Array]) -> None:
        """Make one step: change every array of `params` in place.

        Parameters
        ----------
        params : mapping of str to ndarray
            C-contiguous float32 or float64 arrays.
        grads : mapping of str to ndarray
            The gradient of the loss, with the keys, shapes and dtypes of `params`.

        Raises
        ------
        ValueError
            The keys differ, or a gradient or the state kept for a parameter has another shape.
        TypeError
            A gradient has another dtype.
        """
        _require_same_keys(params, grads)  # a refused update is no step
        self.begin()
        self.apply(params, grads)

    def begin(self) -> None:
        """Count a step, whose changes `apply` makes, all at once or parameter by parameter."""
        self.steps += 1

    def apply(self, params: Mapping[str, Array], grads: Grads) -> None:
        """Make the current step's change to some parameters.

        Parameters
        ----------
        params : mapping of str to ndarray
            As in `update`.
        grads : mapping of str to ndarray or LinearWeightGrad
            As in `update`, or not computed yet.

        Raises
        ------
        ValueError
            As in `update`.
        """
        _require_same_keys(params, grads)
        slots = [self._arrays_of(slot, params) for slot in self.slots]
        try:
            self._update(list(params.values()), [grads[name] for name in params], slots)
        except (TypeError, ValueError) as error:
            raise _named(error, params, grads) from error

    def _arrays_of(self, slot: str, params: Mapping[str, Array]) -> list[Array]:
        """The state arrays of one slot in the order of `params`, made where they are missing."""
        arrays = self.state.setdefault(slot, {})
        for name, param in params.items():
            if name not in arrays:
                arrays[name] = np.zeros_like(param, order="C")
        return [arrays[name] for name in params]

    def _knows(self, slot: str) -> bool:
        """Whether a state dict may have arrays of that slot."""
        return slot in self.slots

    @abstractmethod
    def _update(self, params: list[Array], grads: list[Grad], slots: list[list[Array]]) -> None:
        """Change `params` and their `slots` (in the order of `self.slots`) in place."""

    def state_dict(self) -> dict[str, object]:
        """Return everything a later run needs to continue to the same bits.

        Returns
        -------
        dict
            `"steps"` and each hyper-parameter as a number, and `"<slot>/<parameter>"` for each
            state array (the arrays themselves, not copies).
        """
        values: dict[str, object] = {}
        for name in (*self.hyperparameters, "steps"):
            value = getattr(self, name)
            values[name] = value.item() if isinstance(value, np.generic) else value
        for slot, arrays in self.state.items():
            values.update({f"{slot}/{name}": array for name, array in arrays.items()})
        return values

    def load_state_dict(self, values: Mapping[str, object]) -> None:
        """Take over what `state_dict` returned, hyper-parameters included, or nothing of it.

        Parameters
        ----------
        values : mapping
            From an optimiser of the same class.

        Raises
        ------
        TypeError, ValueError
            `values` comes from another kind of optimiser, or has something that is none of its
            settings.
        """
        kind = type(self).__name__
        scalars = {*self.hyperparameters, "steps"}
        if missing := scalars - values.keys():
            raise ValueError(f"values lacks {sorted(missing)} of {kind}")
        twin = copy(self)
        for scalar in scalars:
            setattr(twin, scalar, _checked_scalar(scalar, values[scalar]))
        state: dict[str, dict[str, Array]] = {}
        for key in values.keys() - scalars:
            slot, _, name = key.partition("/")
            array = values[key]
            if not name or not twin._knows(slot) or not isinstance(array, np.ndarray):
                raise ValueError(f"values has {key!r}, which {kind} does not know")
            state.setdefault(slot, {})[name] = array.copy()
        twin.state = state
        self.__dict__.update(twin.__dict__)

    def __repr__(self) -> str:
        values = (f"{name}={getattr(self, name)!r}" for name in self.hyperparameters)
        return f"{type(self).__name__}({', '.join(values)})"


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum when asked.

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
        self, lr: float, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0
    ) -> None:
        super().__init__(lr, weight_decay)
        self.momentum = _share("momentum", momentum)
        self.nesterov = bool(nesterov)
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov=True needs a momentum above 0, but momentum is 0")

    @property
    def slots(self) -> tuple[str, ...]:
        """The velocity, unless the momentum is zero."""
        return ("velocity",) if self.momentum else ()

    def _knows(self, slot: str) -> bool:
        return slot == "velocity"  # also while the momentum is zero: it may have been another

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
    """

    hyperparameters = ("lr", "eps", "weight_decay")

    def __init__(self, lr: float = 0.01, *, eps: float = 1e-10, weight_decay: float = 0.0) -> None:
        super().__init__(lr, weight_decay)
        self.eps = _at_least_zero("eps", eps)

    @property
    def slots(self) -> tuple[str, ...]:
        """The sum of the squared gradients."""
        return ("square_sum",)

    def _update(self, params: list[Array], grads: list[Grad], slots: list[list[Array]]) -> None:
        F.adagrad_update(
            params, grads, slots[0], lr=self.lr, eps=self.eps, weight_decay=self.weight_decay
        )


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
    """

    hyperparameters = ("lr", "alpha", "eps", "weight_decay")

    def __init__(
        self,
        lr: float = 0.01,
        *,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(lr, weight_decay)
        self.alpha = _share("alpha", alpha)
        self.eps = _at_least_zero("eps", eps)

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
    ) -> None:
        super().__init__(lr, weight_decay)
        self.beta1 = _share("beta1", beta1)
        self.beta2 = _share("beta2", beta2)
        self.eps = _at_least_zero("eps", eps)

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
        Share of a parameter that is taken off a step, times `lr`.
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
    ) -> None:
        super().__init__(lr, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay)


def _require_same_keys(params: Mapping[str, Array], grads: Grads) -> None:
    if params.keys() != grads.keys():
        odd = sorted(set(params) ^ set(grads))
        raise ValueError(f"params and grads must have the same keys; only one has {odd}")


def _named(error: Exception, params: Mapping[str, Array], grads: Grads) -> Exception:
    """Return an error that says which parameter's gradient does not fit, if that is why."""
    for name, param in params.items():
        grad = grads[name]
        for kind in ("dtype", "shape"):
            came, wanted = getattr(grad, kind, None), getattr(param, kind, None)
            if came != wanted and came is not None:
                return type(error)(
                    f"the gradient of {name!r} has {kind} {came}, but the parameter has {wanted}"
                )
    return error


def _at_least_zero(name: str, value: float) -> float:
    return _arguments.non_negative(name, value)


def _share(name: str, value: float) -> float:
    share = _arguments.number(name, value, 0.0, 1.0)
    if share == 1.0:
        raise ValueError(f"{name} is {value}: wanted at least 0 and less than 1")
    return share


_CHECKS: Mapping[str, Callable[[str, float], float]] = {
    "lr": _at_least_zero,
    "weight_decay": _at_least_zero,
    "eps": _at_least_zero,
    "momentum": _share,
    "alpha": _share,
    "beta1": _share,
    "beta2": _share,
}
"""What the hyper-parameters of the optimisers in this file may be."""


def _checked_scalar(name: str, value: object) -> object:
    """Return a hyper-parameter, or the number of steps, out of a state dict."""
    if name == "steps":
        return _arguments.integer(name, value, 0)  # type: ignore[arg-type]  # it checks that
    if name == "nesterov" and not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"nesterov is {value!r}, but must be a bool")
    if name not in _CHECKS:
        return value  # somebody's own
    if isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}, but must be a number")
    return _CHECKS[name](name, value)  # type: ignore[arg-type]  # it checks that
