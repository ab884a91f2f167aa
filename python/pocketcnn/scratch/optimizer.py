"""The optimisers of chapter 6: the book's ``common.optimizer``.

Each updates arrays in place and rebinds plain numbers, as the book's do. State is stored per
parameter, under its name.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, MutableMapping
from numbers import Real
from typing import Any, TypeAlias

import numpy as np

from pocketcnn import functional as F
from pocketcnn._arguments import Array, array

# The scripts expect to get np from "from common.optimizer import *".
__all__ = ["SGD", "AdaGrad", "Adam", "Momentum", "Nesterov", "RMSprop", "np"]

# What the book adds to the roots it divides by.
_EPS = 1e-7

State: TypeAlias = dict[str, Array] | None
"""An array for each parameter; None before the first update."""


class _Optimizer(ABC):
    def update(self, params: MutableMapping[str, Any], grads: Mapping[str, Any]) -> None:
        """Take one step.

        Parameters
        ----------
        params : dict
            Arrays, which are changed in place, or plain numbers, which are replaced.
        grads : mapping
            The gradient of each; further entries are ignored.

        Raises
        ------
        TypeError
            For an array of integers, in which a step would be lost, or a value that is neither an
            array nor a number. Nothing is changed then.
        KeyError, ValueError
            For a gradient that is missing, or of another shape. Nothing is changed then.
        """
        self._apply(params, _checked(params, grads))

    def _apply(self, params: MutableMapping[str, Any], grads: Mapping[str, Array]) -> None:
        for key, grad in grads.items():
            value = params[key]
            param = _updatable(value)
            self._step(key, param, np.ascontiguousarray(grad, param.dtype).reshape(grad.shape))
            if isinstance(value, np.ndarray):
                if param is not value:
                    value[...] = param
            else:
                params[key] = param[()]

    @abstractmethod
    def _step(self, key: str, param: Array, grad: Array) -> None:
        """Change param, C-contiguous and of one dtype with grad, in place."""


def _checked(params: Mapping[str, Any], grads: Mapping[str, Any]) -> dict[str, Array]:
    """Return the gradients of `params`, after checking that every pair can be updated."""
    checked = {}
    for key, value in params.items():
        _require_floats(key, value)
        checked[key] = array(f"grads[{key!r}]", grads[key])
        if checked[key].shape != np.shape(value):
            raise ValueError(
                f"grads[{key!r}] has shape {checked[key].shape}, but params[{key!r}] "
                f"{np.shape(value)}"
            )
    return checked


def _require_floats(key: str, value: Any) -> None:
    """Raise an error unless `value` is a writeable array of floats, or a number."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind != "f":
            raise TypeError(
                f"params[{key!r}] has dtype {value.dtype}, but must be an array of floats"
            )
        if not value.flags.writeable:
            raise ValueError(f"params[{key!r}] is read-only, but is updated in place")
    elif not isinstance(value, Real):
        raise TypeError(
            f"params[{key!r}] is a {type(value).__name__}, but must be an array of floats or a "
            "number"
        )


def _updatable(value: Any) -> Array:
    """`value` itself if it is an array that can be updated in place, else a copy that can."""
    if (
        isinstance(value, np.ndarray)
        and value.dtype in (np.float32, np.float64)
        and value.flags.carray
    ):
        return value
    return np.array(value, np.float64, order="C")


def _state(store: State, key: str, like: Array) -> tuple[dict[str, Array], Array]:
    """Return the store, created if needed, and its array for a parameter."""
    store = {} if store is None else store
    if key not in store:
        store[key] = np.zeros_like(like)
    return store, store[key]


class SGD(_Optimizer):
    """``param -= lr * grad``."""

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = lr

    def _step(self, key: str, param: Array, grad: Array) -> None:
        F.sgd_update(param, grad, None, lr=self.lr, momentum=0, nesterov=False, weight_decay=0)


class Momentum(_Optimizer):
    """``v = momentum * v - lr * grad; param += v``."""

    _nesterov = False

    def __init__(self, lr: float = 0.01, momentum: float = 0.9) -> None:
        self.lr = lr
        self.momentum = momentum
        self.v: State = None

    def _step(self, key: str, param: Array, grad: Array) -> None:
        self.v, v = _state(self.v, key, param)
        # The book's velocity has the learning rate inside, so that the step itself is 1.
        scaled = np.multiply(grad, -self.lr, out=np.empty_like(grad))
        F.sgd_update(
            *(param, scaled, v),
            lr=-1,
            momentum=self.momentum,
            nesterov=self._nesterov,
            weight_decay=0,
        )


class Nesterov(Momentum):
    """``v = momentum * v - lr * grad; param += momentum * v - lr * grad``.

    Bengio, Boulanger-Lewandowski, Pascanu, "Advances in Optimizing Recurrent Networks" (2013),
    equation 7.
    """

    _nesterov = True


class AdaGrad(_Optimizer):
    """``h += grad ** 2; param -= lr * grad / (sqrt(h) + 1e-7)``."""

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = lr
        self.h: State = None

    def _step(self, key: str, param: Array, grad: Array) -> None:
        self.h, h = _state(self.h, key, param)
        F.adagrad_update(param, grad, h, lr=self.lr, eps=_EPS, weight_decay=0)


class RMSprop(_Optimizer):
    """AdaGrad with ``h = decay_rate * h + (1 - decay_rate) * grad ** 2``."""

    def __init__(self, lr: float = 0.01, decay_rate: float = 0.99) -> None:
        self.lr = lr
        self.decay_rate = decay_rate
        self.h: State = None

    def _step(self, key: str, param: Array, grad: Array) -> None:
        self.h, h = _state(self.h, key, param)
        rate = self.decay_rate
        F.rmsprop_update(param, grad, h, lr=self.lr, alpha=rate, eps=_EPS, weight_decay=0)


class Adam(_Optimizer):
    """Kingma, Ba, "Adam" (2015), in the form at the end of its section 2.

    There the corrections of the averages m and v are part of the learning rate:
    ``lr * sqrt(1 - beta2 ** iter) / (1 - beta1 ** iter) * m / (sqrt(v) + 1e-7)``.
    """

    def __init__(self, lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999) -> None:
        self.lr = lr
        self.beta1 = beta1
        self.beta2 = beta2
        self.iter = 0
        self.m: State = None
        self.v: State = None

    def update(self, params: MutableMapping[str, Any], grads: Mapping[str, Any]) -> None:
        """Take one step; see `SGD.update`."""
        checked = _checked(params, grads)
        self.iter += 1
        self._apply(params, checked)

    def _step(self, key: str, param: Array, grad: Array) -> None:
        self.m, m = _state(self.m, key, param)
        self.v, v = _state(self.v, key, param)
        # The usual form adds eps to the corrected root, this one to the root before.
        eps = _EPS / math.sqrt(1 - self.beta2**self.iter)
        F.adam_update(
            *(param, grad, m, v),
            lr=self.lr,
            beta1=self.beta1,
            beta2=self.beta2,
            eps=eps,
            weight_decay=0,
            decoupled=False,
            step=self.iter,
        )
