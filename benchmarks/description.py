"""A network's description that every library's builder understands, and what builders return."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# Small enough that the largest network does not diverge on random images and labels.
LEARNING_RATE = 1e-3
# Of the set of images from which the book's Trainer draws: as many as whole MNIST has.
BATCHES = 600
_WINDOW = ("kernel_size", "stride", "padding", "dilation", "output_padding")


@dataclass(frozen=True)
class Network:
    """The network to build.

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
        Something specific to the library, such as a memory layout.
    weights : str or None
        Folder with a .npy file for each parameter and the whole as ``model.onnx``; None lets each
        library draw its own.
    inputs : dict of str to list of str, or None
        What each layer takes, by name, if it is not what the layer before gives; "input" is the
        network's own.
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
    inputs: dict[str, list[str]] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what the constructor takes."""
        return dataclasses.asdict(self)

    def images(self) -> Array:
        """The same random batch for all libraries, (N, C, H, W)."""
        shape = (self.batch, *self.input_shape)
        return np.random.default_rng(0).standard_normal(shape, np.float32).astype(self.dtype)

    def labels(self) -> NDArray[np.int64]:
        """The same random labels for all libraries."""
        return np.random.default_rng(1).integers(0, self.classes, self.batch)

    def parameters(self, layer: str) -> list[Array]:
        """Weight and bias, if there is one, of a layer; empty if no weights are given."""
        if self.weights is None:
            return []
        files = (Path(self.weights) / f"{layer}.{key}.npy" for key in ("weight", "bias"))
        return [np.load(file) for file in files if file.exists()]

    @property
    def onnx(self) -> Path:
        """The file with the whole network."""
        if self.weights is None:
            raise ValueError(f"{self.model} was described without weights")
        return Path(self.weights) / "model.onnx"

    def shapes(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Yield the layers, with every window in their settings as a pair."""
        yield from with_pairs(self.layers)


def with_pairs(
    layers: Iterable[tuple[str, str, dict[str, Any]]],
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the layers, with every window in their settings as a pair.

    With "same" padding and a stride there may be one row and column more behind than before:
    `uneven` is then true in the settings.
    """
    for name, kind, settings in layers:
        pairs = {
            key: (value, value) if isinstance(value, int) else tuple(value)
            for key, value in settings.items()
            if key in _WINDOW and value not in (None, "same")
        }
        if "kernel_size" in pairs:
            pairs.setdefault("stride", pairs["kernel_size"])
        more: dict[str, bool] = {}
        if settings.get("padding") == "same":
            # Where the stride divides the size of the image, as in all networks here.
            total = pairs["kernel_size"][0] - pairs["stride"][0]
            pairs["padding"], more["uneven"] = (total // 2, total // 2), total % 2 == 1
        yield name, kind, {**settings, **pairs, **more}


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
        The timed function: a training step, or a prediction.
    logits : callable
        The scores of the batch in inference mode, (N, K) or (N, K, H, W), to compare libraries
        with.
    """

    run: Callable[[], object]
    logits: Callable[[], Array]
