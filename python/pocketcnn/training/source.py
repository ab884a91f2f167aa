"""Where the batches of a training come from: arrays in memory, or a data set read meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from pocketcnn._arguments import Array, as_array, require_shape
from pocketcnn.data import Arrays, Dataset
from pocketcnn.data.dataset import Indices, identify
from pocketcnn.data.digest import digest
from pocketcnn.data.prefetch import Batches, read_ahead
from pocketcnn.network.net import ConvNet
from pocketcnn.training import divergence
from pocketcnn.training.batches import gathered
from pocketcnn.training.samples import Checks
from pocketcnn.training.shares import Shard


class Source(Protocol):
    """The samples of a training or a measurement."""

    @property
    def given(self) -> tuple[Any, ...]:
        """The arrays or the data set, as they are passed to `Trainer.evaluate`."""

    def __len__(self) -> int:
        """How many samples there are."""

    def batches(self, chosen: Sequence[Indices]) -> Batches:
        """Yield the samples of each batch, which may have none.

        The images of a batch may be changed, and are valid until the next batch is requested. A
        caller that may leave early must close the iterator.
        """

    def outputs(self, net: ConvNet, size: int) -> Batches:
        """Yield the network's output in inference, in batches of `size`, and the targets.

        Scores, which are small, come at once, and maps batch by batch.
        """

    def identity(self) -> tuple[str | None, str | None]:
        """Return digests of the images and of the targets, each None where there is none."""

    def describe_not_finite(self) -> str | None:
        """Say how many pixels are not finite, if that is known without reading the data again."""

    def explain(self, net: ConvNet, size: int) -> str:
        """Say why the loss is not finite in inference, in batches of `size`."""


@dataclass(frozen=True)
class ArraySource:
    """Arrays in memory, which were checked; `name` is that of the images in messages."""

    name: str
    x: Array
    t: Array

    @property
    def given(self) -> tuple[Any, ...]:
        """Images and targets."""
        return self.x, self.t

    def __len__(self) -> int:
        return len(self.x)

    def batches(self, chosen: Sequence[Indices]) -> Batches:
        """Gather them in memory that is reused."""
        return gathered(self.x, self.t, chosen)

    def outputs(self, net: ConvNet, size: int) -> Batches:
        """Predict all, or batch by batch."""
        step = len(self.x) if len(net.output_shape) == 1 else size
        for start in range(0, len(self.x), step):
            part = slice(start, start + step)
            yield net.predict(self.x[part], batch_size=size), self.t[part]

    def identity(self) -> tuple[str | None, str | None]:
        """Return digests of both arrays."""
        return digest(self.x), digest(self.t)

    def describe_not_finite(self) -> str | None:
        """Look at all images."""
        return divergence.describe_not_finite(self.name, self.x)

    def explain(self, net: ConvNet, size: int) -> str:
        """Look at all images, and at what the network makes of them."""
        return divergence.explain(net, self.name, self.x, size)


@dataclass(frozen=True)
class DatasetSource:
    """A data set, read in a thread of its own; each batch is checked when it comes."""

    name: str
    dataset: Dataset
    checks: Checks

    @property
    def given(self) -> tuple[Any, ...]:
        """The data set."""
        return (self.dataset,)

    def __len__(self) -> int:
        return len(self.dataset)

    def batches(self, chosen: Sequence[Indices]) -> Batches:
        """Read them ahead."""
        some = [indices for indices in chosen if len(indices)]
        with closing(read_ahead(self.dataset, some)) as read:
            for indices in chosen:
                if len(indices):
                    yield self._checked(next(read), len(indices))
                else:
                    yield self.checks.no_samples()

    def outputs(self, net: ConvNet, size: int) -> Batches:
        """Predict batch by batch."""
        with closing(self.batches(_in_order(len(self), size))) as batches:
            parts = ((net.predict(x, batch_size=size), t) for x, t in batches)
            if len(net.output_shape) == 1 and len(self):
                outputs, targets = zip(*parts, strict=True)
                yield np.concatenate(outputs), np.concatenate(targets)
            else:
                yield from parts

    def identity(self) -> tuple[str | None, str | None]:
        """Return what the data set says of itself."""
        return identify(self.dataset)

    def describe_not_finite(self) -> str | None:
        """Say nothing: it would have to be read."""
        return None

    def explain(self, net: ConvNet, size: int) -> str:
        """Read until a batch is found whose scores are not finite."""
        with closing(self.batches(_in_order(len(self), size))) as batches:
            for number, (x, _) in enumerate(batches):
                if not divergence.is_finite(net.predict(x, batch_size=size)):
                    return divergence.explain(net, f"batch {number} of {self.name}", x, size)
        return "the scores of the last layer are finite, but too far apart"

    def _checked(self, batch: Any, count: int) -> tuple[Array, Array]:
        call = f"{self.name}.batch(indices)"
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise TypeError(f"{call} gave a {type(batch).__name__}, but must give (x, t)")
        x, t = self.checks.samples(f"{call}[0]", f"{call}[1]", *batch)
        if len(x) != count:
            raise ValueError(f"{call} gave {len(x)} images for {count} indices")
        return x if x.flags.writeable else x.copy(), t


def _in_order(count: int, size: int) -> list[Indices]:
    numbers = np.arange(count)
    return [numbers[start : start + size] for start in range(0, count, size)]


def open_source(names: tuple[str, str], x: Any, t: Any, checks: Checks) -> Source:
    """Return arrays or a data set as a source, after all checks that need no reading.

    Parameters
    ----------
    names : (str, str)
        What messages call images and targets.
    x, t : array_like, or a Dataset and None
    checks : Checks

    Raises
    ------
    TypeError, ValueError
        It is neither, or does not fit the network; or the data set is empty.
    """
    if t is not None:
        if isinstance(x, Dataset):
            raise TypeError(f"{names[0]} is a data set, which has targets: {names[1]} must be None")
        return ArraySource(names[0], *checks.samples(*names, x, t))
    if isinstance(x, Arrays):
        return ArraySource(names[0], *checks.samples(*names, x.x, x.t))
    if not isinstance(x, Dataset):
        raise TypeError(
            f"{names[1]} is missing: {names[0]} is a {type(x).__name__}, and no data set with a "
            "length and batch(indices)"
        )
    if len(x) == 0 and not isinstance(x, Shard):
        raise ValueError(f"{names[0]} is a data set without samples")
    labels = getattr(x, "labels", None)
    if labels is not None and checks.loss.kind == "classes" and len(checks.net.output_shape) == 1:
        labels = as_array(f"{names[0]}.labels", labels)
        require_shape(f"{names[0]}.labels", labels, (len(x),))
        checks.targets(f"{names[0]}.labels", labels)
    return DatasetSource(names[0], x, checks)


def open_validation(validation: Any, checks: Checks) -> Source | None:
    """Return (x, t) or a data set as a source, as `open_source` does, or None for none."""
    if validation is None:
        return None
    if isinstance(validation, Dataset):
        return open_source(("validation", "tv"), validation, None, checks)
    if not isinstance(validation, Iterable) or len(pair := tuple(validation)) != 2:
        raise TypeError("validation must be images and targets, (xv, tv), or a data set")
    return open_source(("xv", "tv"), pair[0], pair[1], checks)
