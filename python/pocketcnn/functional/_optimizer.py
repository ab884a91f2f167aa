"""One step of each optimiser, in place.

Wherever one of these functions takes an array it takes a list of them too: the arrays of many
parameters, each at the same place of every list, which are updated in one native call. A gradient
may be a :class:`LinearWeightGrad`, which is computed as it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from pocketcnn import _core
from pocketcnn._arguments import (
    Array,
    integer,
    number,
)
from pocketcnn.functional._linear import Grad, LinearWeightGrad

Arrays: TypeAlias = Array | Sequence[Array]
Grads: TypeAlias = Grad | Sequence[Grad]


def _update(
    function: Callable[..., None],
    arrays: dict[str, Any],
    settings: dict[str, float],
    *options: Any,
) -> None:
    """Update arrays in place together; they are param, grad, and what is kept of a parameter."""
    numbers = [number(name, value, -np.inf, np.inf) for name, value in settings.items()]
    many = isinstance(arrays["param"], (list, tuple))
    lists = {name: list(a) if many else [a] for name, a in arrays.items()}
    params, grads, *states = lists.values()
    factors = [g.factors if isinstance(g, LinearWeightGrad) else g for g in grads]
    try:
        # Refuses, before it changes anything, what it cannot update.
        function(params, factors, states, *numbers, *options)
    except (TypeError, ValueError):
        grads = [np.asarray(g) if isinstance(g, LinearWeightGrad) else g for g in grads]
        _check_lists(lists | {"grad": grads})
        # What is left are parameters of different dtypes.
        for param, grad, *state in zip(params, grads, *states, strict=True):
            function([param], [grad], [[a] for a in state], *numbers, *options)


def _check_lists(lists: dict[str, list[Array]]) -> None:
    """Raise the error that says which array cannot be updated in place, and why."""
    for name, arrays in lists.items():
        for a in arrays:
            if not isinstance(a, np.ndarray) or a.dtype not in (np.float32, np.float64):
                raise TypeError(f"{name} must be an array of float32 or float64")
        if len(arrays) != len(lists["param"]):
            raise ValueError(f"{name} has {len(arrays)} arrays, but param {len(lists['param'])}")
        for a, param in zip(arrays, lists["param"], strict=True):
            _check_alike(name, a, param)


def _check_alike(name: str, a: Array, param: Array) -> None:
    if a.dtype != param.dtype:
        raise TypeError(f"{name} has dtype {a.dtype}, but param has {param.dtype}")
    if a.shape != param.shape:
        raise ValueError(f"{name} has shape {a.shape}, but param has {param.shape}")
    if not a.flags.c_contiguous or not a.flags.aligned:
        raise ValueError(f"{name} must be C-contiguous to be updated in place")
    if not a.flags.writeable and name != "grad":
        raise ValueError(f"{name} is read-only, but is updated in place")


def sgd_update(
    param: Arrays,
    grad: Grads,
    velocity: Arrays | None,
    *,
    lr: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> None:
    """One step of stochastic gradient descent, in place.

    With g = grad + weight_decay * param: ``velocity = momentum * velocity + g`` and
    ``param -= lr * velocity``, or with nesterov ``param -= lr * (g + momentum * velocity)``.
    velocity may be None where there is no momentum.
    """
    settings = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
    if velocity is None and momentum:
        raise ValueError(f"velocity is None, but momentum is {momentum!r}")
    arrays: dict[str, Any] = {"param": param, "grad": grad}
    if velocity is not None:
        arrays["velocity"] = velocity
    _update(_core.sgd_update, arrays, settings, bool(nesterov))


def adagrad_update(
    param: Arrays, grad: Grads, square_sum: Arrays, *, lr: float, eps: float, weight_decay: float
) -> None:
    """One step of AdaGrad (Duchi et al., 2011), in place; see :func:`sgd_update` for g.

    ``square_sum += g ** 2; param -= lr * g / (sqrt(square_sum) + eps)``.
    """
    arrays: dict[str, Any] = {"param": param, "grad": grad, "square_sum": square_sum}
    settings = {"lr": lr, "eps": eps, "weight_decay": weight_decay}
    _update(_core.adagrad_update, arrays, settings)


def rmsprop_update(
    param: Arrays,
    grad: Grads,
    square_average: Arrays,
    *,
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float,
) -> None:
    """One step of RMSprop (Hinton, lecture 6e, 2012), in place; see :func:`sgd_update` for g.

    ``square_average = alpha * square_average + (1 - alpha) * g ** 2`` and
    ``param -= lr * g / (sqrt(square_average) + eps)``.
    """
    arrays: dict[str, Any] = {"param": param, "grad": grad, "square_average": square_average}
    settings = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay}
    _update(_core.rmsprop_update, arrays, settings)


def adam_update(
    param: Arrays,
    grad: Grads,
    m: Arrays,
    v: Arrays,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    step: int,
) -> None:
    """One step of Adam (Kingma and Ba, 2015), in place; `step` counts from 1.

    With decoupled weight decay it is AdamW (Loshchilov and Hutter, 2019): param shrinks by
    ``lr * weight_decay`` of itself, and g = grad; else see :func:`sgd_update` for g.
    """
    arrays: dict[str, Any] = {"param": param, "grad": grad, "m": m, "v": v}
    settings = {"lr": lr, "beta1": beta1, "beta2": beta2, "eps": eps, "weight_decay": weight_decay}
    _update(_core.adam_update, arrays, settings, bool(decoupled), integer("step", step, 1))
