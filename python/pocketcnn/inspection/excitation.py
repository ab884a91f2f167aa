"""What excites a filter most: the places in a data set where its feature map is largest."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pocketcnn import _arguments
from pocketcnn._arguments import Array
from pocketcnn.data.dataset import Arrays, Dataset
from pocketcnn.inspection.probe import Probe
from pocketcnn.inspection.receptive import ReceptiveField, receptive_field
from pocketcnn.network.measuring import batches_of
from pocketcnn.network.net import ConvNet


@dataclass(frozen=True)
class TopPatches:
    """Where in a data set the channels of a layer are most active, the largest first.

    Attributes
    ----------
    layer : str
    channels : ndarray of int64 (K,)
        Which channels of the layer.
    images : ndarray of int64 (K, count)
        For each channel, indices of images; no image twice.
    positions : ndarray of int64 (K, count, 2)
        Row and column of the largest activation on the layer's map; 0 where it has none.
    values : ndarray (K, count)
        The activations there.
    field : ReceptiveField
        Of the layer.
    """

    layer: str
    channels: NDArray[np.int64]
    images: NDArray[np.int64]
    positions: NDArray[np.int64]
    values: Array
    field: ReceptiveField

    def cut(self, x: ArrayLike | Dataset) -> NDArray[np.float64]:
        """Cut out of the images the pixels that the activations see.

        Parameters
        ----------
        x : array_like (N, C, H, W), or Dataset
            The images that were searched, possibly before they were normalised.

        Returns
        -------
        ndarray of float64 (K, count, C, h, w)
            NaN where a field reaches past the edge of the image. Along an axis on which the field
            is larger than the image, the whole image.

        Raises
        ------
        TypeError, ValueError
            `x` are not the images that were searched.
        """
        searched = x if isinstance(x, Dataset) else _as_dataset(_arguments.array("x", x, 4))
        needed = np.unique(self.images)
        if needed[-1] >= len(searched):
            raise ValueError(
                f"x has {len(searched)} images, but the patches come from up to {needed[-1]}"
            )
        images, _ = searched.batch(needed)
        places = np.searchsorted(needed, self.images)
        size = [min(self.field.pixels[axis], images.shape[2 + axis]) for axis in (0, 1)]
        patches = np.full((*self.images.shape, images.shape[1], *size), np.nan)
        for place in np.ndindex(self.images.shape):
            row, column = self.positions[place]
            top, left, _, _ = self.field.box(int(row), int(column))
            corner = [
                0 if self.field.pixels[axis] > images.shape[2 + axis] else (top, left)[axis]
                for axis in (0, 1)
            ]
            _cut_one(images[places[place]], corner, patches[place])
        return patches


def _as_dataset(images: Array) -> Arrays:
    return Arrays(images, np.zeros(len(images), np.int64))


def top_patches(
    net: ConvNet,
    x: ArrayLike | Dataset,
    layer: str,
    *,
    channels: Sequence[int] | None = None,
    count: int = 9,
    batch_size: int = 32,
) -> TopPatches:
    """Find the patches of a data set that excite the channels of a layer most.

    Only the place with the largest activation of each image counts, so that the patches show
    different things (Zeiler, Fergus, "Visualizing and Understanding Convolutional Networks", ECCV
    2014, figure 2).

    Parameters
    ----------
    net : ConvNet
    x : array_like (N, *input_shape), or Dataset
        The images to search. Those of a data set are read a batch at a time.
    layer : str
        Any layer; the units of one without maps see the whole image.
    channels : sequence of int, optional
        Which channels of its output; by default all.
    count : int, default 9
        How many patches per channel, at most one per image.
    batch_size : int, default 32
        How many images pass through the network at a time; results do not depend on it.

    Raises
    ------
    TypeError, ValueError
        `x` does not fit the network; there is no such layer or channel; or the layer gives NaN, so
        that there is no largest value.

    Examples
    --------
    >>> import pocketcnn as pc
    >>> net = pc.models.simple_convnet()
    >>> (x, _), _ = pc.data.digits()
    >>> top = top_patches(net, x[:50] / 255, "relu1", count=2)
    >>> top.images.shape, top.field.size
    ((30, 2), (5, 5))
    """
    field = receptive_field(net, layer)
    probe = Probe(net, until=layer)
    images = x if isinstance(x, Dataset) else _as_dataset(probe.input(x))
    count = min(_arguments.integer("count", count, 1), len(images))
    step = _arguments.integer("batch_size", batch_size, 1)
    peaks, places = [], []
    width = 1
    with closing(batches_of("x", images, step)) as batches:
        for batch, _ in batches:
            out = probe.output(probe.input(batch))
            width = out.shape[3] if out.ndim == 4 else 1
            maps = out.reshape(*out.shape[:2], -1)
            places.append(maps.argmax(axis=2))
            peaks.append(np.take_along_axis(maps, places[-1][:, :, np.newaxis], axis=2)[:, :, 0])
    value, place = np.concatenate(peaks), np.concatenate(places)
    chosen = _check_channels(channels, value.shape[1])
    value, place = value[:, chosen].T, place[:, chosen].T
    undecided = np.flatnonzero(np.isnan(value).any(axis=0))
    if len(undecided):
        raise ValueError(
            f"layer {layer!r} gives NaN for image {undecided[0]} of x: none is largest"
        )
    best = np.argsort(-value, axis=1, kind="stable")[:, :count]
    place = np.take_along_axis(place, best, axis=1)
    return TopPatches(
        layer=layer,
        channels=chosen,
        images=best.astype(np.int64),
        positions=np.stack(np.divmod(place, width), axis=2).astype(np.int64),
        values=np.take_along_axis(value, best, axis=1),
        field=field,
    )


def _check_channels(channels: Sequence[int] | None, count: int) -> NDArray[np.int64]:
    try:
        chosen = list(range(count) if channels is None else channels)
    except TypeError:
        raise TypeError(f"channels is {channels!r}, but must be a sequence of ints") from None
    checked = [_arguments.integer("channels", channel, 0) for channel in chosen]
    if not checked or max(checked) >= count:
        raise ValueError(f"channels are {checked}: wanted some of 0 to {count - 1}")
    return np.array(checked, dtype=np.int64)


def _cut_one(image: Array, corner: Sequence[int], patch: NDArray[np.float64]) -> None:
    """Copy the part of the image at `corner` into `patch` (C, h, w), within the image's edges."""
    inside, target = [slice(None)], [slice(None)]
    for begin, length, limit in zip(corner, patch.shape[1:], image.shape[1:], strict=True):
        first, last = max(begin, 0), min(begin + length, limit)
        inside.append(slice(first, max(first, last)))
        target.append(slice(first - begin, max(first, last) - begin))
    patch[tuple(target)] = image[tuple(inside)]
