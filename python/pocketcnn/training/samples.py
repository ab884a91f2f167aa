"""Checks of a training's inputs, made before its first batch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pocketcnn._arguments import (
    Array,
    as_array,
    integer,
    real_numbers,
    require_batch,
)
from pocketcnn.layers import BatchNorm2d
from pocketcnn.losses.base import Loss, checked_weights
from pocketcnn.network.net import ConvNet
from pocketcnn.training.callbacks import Callback, EarlyStopping
from pocketcnn.training.history import COLUMNS
from pocketcnn.training.progress import ProgressBar
from pocketcnn.training.schedules import Plateau, Schedule
from pocketcnn.training.shares import Plan


@dataclass(frozen=True)
class Checks:
    """What images and targets must be for a network.

    Attributes
    ----------
    net : ConvNet
    loss : Loss
    any_size : bool
        Whether the images may have another size than the network takes.
    any_target : bool
        Whether the targets may be other than the loss takes.
    """

    net: ConvNet
    loss: Loss
    any_size: bool = False
    any_target: bool = False

    def samples(self, x_name: str, t_name: str, x: ArrayLike, t: ArrayLike) -> tuple[Array, Array]:
        """Return images and targets as arrays that fit each other and the network.

        Parameters
        ----------
        x_name, t_name : str
            What messages call them.
        x, t : array_like

        Raises
        ------
        TypeError
            Images that are not real numbers, or labels that are not integers.
        ValueError
            Shapes, labels or probabilities that do not fit.
        """
        images, targets = real_numbers(x_name, x), as_array(t_name, t)
        if images.ndim < 2 or len(images) == 0:
            raise ValueError(f"{x_name} has shape {images.shape}: wanted (N, C, H, W) with N > 0")
        if targets.ndim == 0 or len(targets) != len(images):
            raise ValueError(
                f"{t_name} has shape {targets.shape}, but {x_name} has {len(images)} images"
            )
        if not self.any_size:
            require_batch(x_name, images, self.net.input_shape)
        self.targets(t_name, targets)
        return images, targets

    def no_samples(self) -> tuple[Array, Array]:
        """Return images and targets of a batch without samples."""
        shape = (0, *self.net.input_shape)
        return np.zeros(shape, self.net.dtype), np.zeros(0, np.int64)

    def targets(self, name: str, targets: Array) -> None:
        """Raise TypeError or ValueError if targets (N, ...) do not fit the loss of the output."""
        if self.any_target:
            return
        made = self.net.output_shape
        try:
            self.loss.check(name, targets, (len(targets), *made))
        except ValueError as error:
            if len(made) == 1:
                raise
            raise ValueError(f"{error}; the network makes {made} of an image") from error


def check_weights(value: ArrayLike | None, samples: int) -> Array | None:
    """Return sample_weight as float64 (N,), finite and at least 0."""
    if value is None:
        return None
    return checked_weights("sample_weight", value, samples)


def check_every(value: int | None, checkpoint: object) -> int | None:
    """Return checkpoint_every, which needs a checkpoint."""
    if value is None:
        return None
    if checkpoint is None:
        raise ValueError(f"checkpoint_every is {value!r}, but no checkpoint is given")
    return integer("checkpoint_every", value, 1)


def check_callbacks(
    callbacks: Sequence[Callback], *, validated: bool, measured: Sequence[str] = ()
) -> tuple[Callback, ...]:
    """Return the callbacks, if they are callbacks and have what they need.

    Raises
    ------
    TypeError
        Something is not a `Callback`.
    ValueError
        A callback monitors what is not measured.
    """
    if not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks is {callbacks!r}, but must be a sequence of Callback")
    found = tuple(callbacks)
    for place, callback in enumerate(found):
        if not isinstance(callback, Callback):
            hint = "; make one of it" if isinstance(callback, type) else ""
            raise TypeError(f"callbacks[{place}] is {callback!r}, but must be a Callback{hint}")
        # A user's own callback may add its own measurement to the record.
        ours = (EarlyStopping, Plateau, ProgressBar, Schedule)
        if isinstance(callback, (EarlyStopping, Plateau)) and all(
            isinstance(earlier, ours) for earlier in found[:place]
        ):
            _check_monitor(callback.monitor, validated, measured)
    return found


def _check_monitor(monitor: str, validated: bool, measured: Sequence[str]) -> None:
    if monitor.startswith("val_") and not validated:
        raise ValueError(f"monitor {monitor!r} needs validation data: fit was given none")
    if monitor not in COLUMNS and monitor.removeprefix("val_") not in measured:
        has = f"has {', '.join(measured)}" if measured else "has none"
        raise ValueError(f"monitor {monitor!r} needs a metric of that name: the trainer {has}")


def check_last_batch(net: ConvNet, plan: Plan, size: int) -> None:
    """Raise ValueError if a batch of one image meets a layer that cannot normalise it."""
    if plan.smallest != 1:
        return
    for name, layer, shape in net.graph.every_input():
        if isinstance(layer, BatchNorm2d) and math.prod(shape[1:]) == 1:
            raise ValueError(
                f"{plan.samples} images in batches of {size} leave a batch of one, and layer "
                f"{name!r} needs two values per channel, but sees maps of one pixel: leave an "
                "image out, or choose another batch_size"
            )
