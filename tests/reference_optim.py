"""The optimiser steps of ``pocketcnn.functional``, in float64, from PyTorch's definitions.

Each takes the parameter, the gradient and the state, and returns the new parameter and the
new state; nothing is changed in place. ``test_optim_updates.py`` compares.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]


def sgd(
    p: Array, grad: Array, v: Array | None, *, lr: float, momentum: float, nesterov: bool,
    weight_decay: float,
) -> tuple[Array, Array | None]:  # fmt: skip
    g = grad + weight_decay * p
    if v is None:
        return p - lr * g, None
    v = momentum * v + g
    return p - lr * (g + momentum * v if nesterov else v), v


def adagrad(
    p: Array, grad: Array, square_sum: Array, *, lr: float, eps: float, weight_decay: float
) -> tuple[Array, Array]:
    g = grad + weight_decay * p
    square_sum = square_sum + g * g
    return p - lr * g / (np.sqrt(square_sum) + eps), square_sum


def rmsprop(
    p: Array, grad: Array, average: Array, *, lr: float, alpha: float, eps: float,
    weight_decay: float,
) -> tuple[Array, Array]:  # fmt: skip
    g = grad + weight_decay * p
    average = alpha * average + (1.0 - alpha) * g * g
    return p - lr * g / (np.sqrt(average) + eps), average


def adam(
    p: Array, grad: Array, m: Array, v: Array, *, lr: float, beta1: float, beta2: float,
    eps: float, weight_decay: float, decoupled: bool, step: int,
) -> tuple[Array, Array, Array]:  # fmt: skip
    if decoupled:
        p, g = p - lr * weight_decay * p, grad
    else:
        g = grad + weight_decay * p
    m = beta1 * m + (1.0 - beta1) * g
    v = beta2 * v + (1.0 - beta2) * g * g
    corrected_m, corrected_v = m / (1.0 - beta1**step), v / (1.0 - beta2**step)
    return p - lr * corrected_m / (np.sqrt(corrected_v) + eps), m, v
