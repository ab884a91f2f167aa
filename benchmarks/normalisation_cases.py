"""Batch, group and local response normalisation, forward in training and forward with backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from benchmarks.case import Array, Case, Dtype, Task, draw, in_layouts
from pocketcnn import functional as F

# Channels, size, batch: those of ResNet-18 and one of few channels; those of AlexNet.
_BATCH_NORMS = ((64, 112, 8), (64, 56, 8), (128, 28, 8), (256, 14, 8), (512, 7, 8), (16, 32, 128))
_GROUP_NORMS = ((64, 56, 8), (256, 14, 8), (512, 7, 8))
_RESPONSE_NORMS = ((96, 55, 32), (256, 27, 32))
_STEPS = ("fwd", "fwd+bwd")


def normalisations(batch: int | None) -> Iterator[Case]:
    """Every case, with its own batch size or the given one."""
    for kind, sizes, make in (
        ("batch norm", _BATCH_NORMS, batch_norm),
        ("group norm", _GROUP_NORMS, _group_norm),
        ("LRN", _RESPONSE_NORMS, _response_norm),
    ):
        for channels, size, own_batch in sizes:
            count = batch or own_batch
            name = f"{kind} {channels}x{size}x{size} ({count})"
            yield Case("normalisation", name, _STEPS, make((count, channels, size, size)))


def batch_norm(shape: tuple[int, ...]) -> Callable[[Dtype], dict[str, Task]]:
    """In training, forward, and forward with backward."""

    def make(dtype: Dtype) -> dict[str, Task]:
        gamma, beta = draw(dtype, 2, shape[1])
        running = np.zeros(shape[1], dtype), np.ones(shape[1], dtype)
        ones = [torch.from_numpy(a.copy()) for a in (*running, gamma, beta)]
        weights = [tensor.requires_grad_() for tensor in ones[2:]]

        def ours(x: Array) -> tuple[Array, Any]:
            return F.batch_norm(x, gamma, beta, *running, training=True)

        def theirs(x: Any) -> Any:
            return torch.nn.functional.batch_norm(x, *ones[:2], *weights, training=True)

        return _tasks(dtype, shape, ours, F.batch_norm_backward, theirs, weights)

    return make


def _group_norm(shape: tuple[int, ...]) -> Callable[[Dtype], dict[str, Task]]:
    groups = 32  # as in the paper

    def make(dtype: Dtype) -> dict[str, Task]:
        gamma, beta = draw(dtype, 2, shape[1])
        weights = [torch.from_numpy(a.copy()).requires_grad_() for a in (gamma, beta)]
        return _tasks(
            dtype,
            shape,
            lambda x: F.group_norm(x, groups, gamma, beta),
            F.group_norm_backward,
            lambda x: torch.nn.functional.group_norm(x, groups, *weights),
            weights,
        )

    return make


def _response_norm(shape: tuple[int, ...]) -> Callable[[Dtype], dict[str, Task]]:
    settings: dict[str, Any] = {"size": 5, "alpha": 5e-4, "beta": 0.75, "k": 2.0}

    def make(dtype: Dtype) -> dict[str, Task]:
        return _tasks(
            dtype,
            shape,
            lambda x: F.local_response_norm(x, **settings),
            F.local_response_norm_backward,
            lambda x: torch.nn.functional.local_response_norm(x, **settings),
            [],
        )

    return make


def _tasks(
    dtype: Dtype,
    shape: tuple[int, ...],
    forward: Callable[[Array], tuple[Array, Any]],
    backward: Callable[[Array, Any], object],
    theirs: Callable[[Any], Any],
    weights: list[Any],
) -> dict[str, Task]:
    """Forward, and forward with the gradients of the input and of the weights."""
    # Drawn together: with its own input as gradient, a batch norm's dx is only rounding errors.
    x, grad = draw(dtype, 2, *shape)

    def their_step(x: Any, grad: Any) -> object:
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            return torch.autograd.grad(theirs(leaf), [leaf, *weights], grad)

    return {
        "fwd": Task(lambda: forward(x)[0], in_layouts(theirs, x)),
        "fwd+bwd": Task(lambda: backward(grad, forward(x)[1]), in_layouts(their_step, x, grad)),
    }
