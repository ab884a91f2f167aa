"""Layers that enlarge maps: transposed convolution and resizing, with their gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from benchmarks.case import Array, Case, Dtype, Task, draw, in_layouts
from pocketcnn import functional as F

# Channels, filters, size, kernel, stride, padding, batch: those of U-Net, and of decoders.
_TRANSPOSED = (
    (128, 64, 28, 2, 2, 0, 8),
    (64, 32, 56, 2, 2, 0, 8),
    (64, 32, 32, 4, 2, 1, 8),
    (64, 64, 32, 3, 1, 1, 8),
)
# Channels, size, scale, batch.
_RESIZED = ((64, 28, 2, 8), (64, 56, 2, 8), (3, 112, 1.7, 8))
_STEPS = ("fwd", "fwd+bwd")


def resizings(batch: int | None) -> Iterator[Case]:
    """Every case, with its own batch size or the given one."""
    for channels, filters, size, kernel, stride, padding, own_batch in _TRANSPOSED:
        n = batch or own_batch
        name = f"transposed {channels}-{filters} {kernel}x{kernel}/{stride} {size}x{size} ({n})"
        settings = (channels, filters, kernel), {"stride": stride, "padding": padding}
        yield Case("enlarging", name, _STEPS, _transposed((n, channels, size, size), *settings))
    for channels, size, scale, own_batch in _RESIZED:
        n = batch or own_batch
        for mode in ("nearest", "bilinear"):
            name = f"{mode} {scale} {channels}x{size}x{size} ({n})"
            yield Case("enlarging", name, _STEPS, _resized((n, channels, size, size), scale, mode))


def _transposed(
    shape: tuple[int, ...], sizes: tuple[int, int, int], window: dict[str, Any]
) -> Callable[[Dtype], dict[str, Task]]:
    def make(dtype: Dtype) -> dict[str, Task]:
        channels, filters, kernel = sizes
        x, weight = draw(dtype, *shape), draw(dtype, channels, filters, kernel, kernel)
        bias = draw(dtype, filters)
        tensors = [torch.from_numpy(a).requires_grad_() for a in (weight, bias)]
        grad = draw(dtype, *F.conv_transpose2d(x, weight, bias, **window).shape)

        def step() -> object:
            F.conv_transpose2d(x, weight, bias, **window)
            return F.conv_transpose2d_backward(grad, x, weight, **window)

        return _tasks(
            x,
            grad,
            lambda: F.conv_transpose2d(x, weight, bias, **window),
            step,
            lambda x: torch.nn.functional.conv_transpose2d(x, *tensors, **window),
            tensors,
        )

    return make


def _resized(shape: tuple[int, ...], scale: float, mode: str) -> Callable[[Dtype], dict[str, Task]]:
    def make(dtype: Dtype) -> dict[str, Task]:
        x = draw(dtype, *shape)
        grad = draw(dtype, *F.upsample2d(x, scale, mode).shape)

        def step() -> object:
            F.upsample2d(x, scale, mode)
            return F.upsample2d_backward(grad, shape, scale, mode)

        return _tasks(
            x,
            grad,
            lambda: F.upsample2d(x, scale, mode),
            step,
            lambda x: torch.nn.functional.interpolate(x, scale_factor=scale, mode=mode),
            [],
        )

    return make


def _tasks(
    x: Array,
    grad: Array,
    forward: Callable[[], object],
    step: Callable[[], object],
    theirs: Callable[[Any], Any],
    weights: list[Any],
) -> dict[str, Task]:
    def their_step(x: Any, grad: Any) -> object:
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            return torch.autograd.grad(theirs(leaf), [leaf, *weights], grad)

    return {
        "fwd": Task(forward, in_layouts(theirs, x)),
        "fwd+bwd": Task(step, in_layouts(their_step, x, grad)),
    }
