"""A network in words that every library's builder understands, and what a builder returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# Small enough that random images and labels do not blow up the largest network.
LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class Network:
    """What is to be built.

    Attributes
    ----------
    model : str
        Function of `pocketcnn.models`.
    layers : list of (name, kind, settings)
        `kind` is the class in `pocketcnn.layers`, `settings` its constructor's arguments.
    input_shape : list of int
        Of one image.
    classes, batch, threads : int
    dtype : str
        "float32" or "float64".
    variant : str
        Something only the library knows, such as a memory layout.
    weights : str or None
        Folder with a .npy file for each parameter; None leaves each library its own.
    """

    model: str
    layers: list[tuple[str, str, dict[str, Any]]]
    input_shape: list[int]
    classes: int
    batch: int
    threads: int
    dtype: str
    variant: str = ""
    weights: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what the constructor takes."""
        return dataclasses.asdict(self)

    def images(self) -> Array:
        """The same random batch for everybody, (N, C, H, W)."""
        shape = (self.batch, *self.input_shape)
        return np.random.default_rng(0).standard_normal(shape, np.float32).astype(self.dtype)

    def labels(self) -> NDArray[np.int64]:
        """The same random labels for everybody."""
        return np.random.default_rng(1).integers(0, self.classes, self.batch)

    def parameters(self, layer: str) -> list[Array]:
        """Weight and bias, if it has one, of a layer; nothing where they are not given."""
        if self.weights is None:
            return []
        files = (Path(self.weights) / f"{layer}.{key}.npy" for key in ("weight", "bias"))
        return [np.load(file) for file in files if file.exists()]

    def shapes(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """The layers, their settings with every window as a pair."""
        yield from with_pairs(self.layers)


def with_pairs(
    layers: Iterable[tuple[str, str, dict[str, Any]]],
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The layers, their settings with every window as a pair."""
    for name, kind, settings in layers:
        pairs = {
            key: (value, value) if isinstance(value, int) else tuple(value)
            for key, value in settings.items()
            if key in ("kernel_size", "stride", "padding", "dilation") and value is not None
        }
        if "kernel_size" in pairs:
            pairs.setdefault("stride", pairs["kernel_size"])
        yield name, kind, {**settings, **pairs}


def inside(
    name: str, settings: dict[str, Any], branch: str
) -> list[tuple[str, str, dict[str, Any]]]:
    """The layers of one branch of a Residual, as `with_pairs` gives layers."""
    layers = settings[branch] or []
    return list(
        with_pairs(
            (f"{name}.{branch}.{each['name']}", each["kind"], each["config"]) for each in layers
        )
    )


@dataclass(frozen=True)
class Subject:
    """A built network.

    Attributes
    ----------
    run : callable
        What is timed: a training step, or a prediction.
    logits : callable
        The scores of the batch in inference mode, (N, K), to compare libraries with.
    """

    run: Callable[[], object]
    logits: Callable[[], Array]
