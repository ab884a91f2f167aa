"""What excites the filters of a layer most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from pocketcnn import _arguments, inspection
from pocketcnn._arguments import Array
from pocketcnn.data.dataset import Dataset
from pocketcnn.plot.canvas import (
    as_picture,
    draw_picture,
    grid_shape,
    new_figure,
    pixel_range,
    root,
    tile,
)
from pocketcnn.plot.words import drawable, literally

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pocketcnn.network.net import ConvNet

# What lies outside an image, and the lines between patches: in colours that images do not have.
_PALE_BLUE, _BLUE = np.array([0.75, 0.87, 0.96]), np.array([0.0, 0.45, 0.7])
_PALE_GREY, _GREY = np.full(3, 0.8), np.full(3, 0.5)
_GAPS = {"wspace": 0.08, "hspace": 0.04}


def top_patches(
    net: ConvNet,
    x: ArrayLike | Dataset,
    layer: str,
    *,
    channels: Sequence[int] | None = None,
    count: int = 9,
    axes: Sequence[Axes] | None = None,
) -> Figure:
    """Draw the patches of a data set that excite the channels of a layer most.

    Each channel has a mosaic of patches as large as the layer's receptive field, the strongest
    first. Parts outside the image are pale.

    Parameters
    ----------
    net : ConvNet
    x : array_like (N, C, H, W), or Dataset
        The images to search, scaled as the network was trained. Those of a data set are read a
        batch at a time.
    layer : str
        Any layer; best the activation after a convolution.
    channels : sequence of int, optional
        Which channels; by default the first twelve.
    count : int, default 9
        How many patches per channel, at most one per image.
    axes : sequence of matplotlib Axes, optional
        Where to draw, one per channel; a new figure when not given.

    Returns
    -------
    matplotlib.figure.Figure
        The figure the axes belong to.

    Raises
    ------
    TypeError, ValueError
        `x` does not fit the network; there is no such layer or channel; `axes` are too few.
    ImportError
        matplotlib is not installed.

    See Also
    --------
    pocketcnn.inspection.top_patches : The places themselves.
    """
    images = x if isinstance(x, Dataset) else _arguments.array("x", x, 4)
    top = inspection.top_patches(net, images, layer, channels=channels, count=count)
    shown = len(top.channels) if channels is not None else min(len(top.channels), 12)
    if axes is None:
        rows, columns = grid_shape(shown, 4)
        figure = new_figure(2.0 * columns + 0.3, 2.2 * rows + 0.5)
        axes = list(figure.subplots(rows, columns, squeeze=False, gridspec_kw=_GAPS).ravel())
        height, width = top.field.pixels
        title = f"What excites {drawable(layer)} most: patches of {height} × {width}"
        figure.suptitle(title, fontsize=12, **literally(title))
    if len(axes) < shown:
        raise ValueError(f"axes are {len(axes)}, but there are {shown} channels to draw")
    for ax in axes:
        ax.set_axis_off()
    patches = top.cut(images)
    shades = images.batch(np.unique(top.images))[0] if isinstance(images, Dataset) else images
    black_and_white = pixel_range(shades)
    for ax, channel, mine in zip(axes, top.channels[:shown], patches, strict=False):
        draw_picture(ax, _mosaic(mine, black_and_white))
        ax.set_title(f"channel {channel}", fontsize=9)
    return root(axes[0])


def _mosaic(patches: Array, pixels: tuple[float, float]) -> Array:
    """Arrange patches (K, C, h, w), NaN outside their image, in a square."""
    pictures = np.stack([as_picture(patch, pixels) for patch in patches])
    grey = pictures.ndim == 3
    if grey:
        pictures = np.repeat(pictures[..., np.newaxis], 3, axis=3)
    outside, line = (_PALE_BLUE, _BLUE) if grey else (_PALE_GREY, _GREY)
    pictures = np.where(np.isnan(pictures), outside, pictures)
    enlarge = max(1, 40 // pictures.shape[1])  # so that a line can be narrower than a pixel
    pictures = pictures.repeat(enlarge, axis=1).repeat(enlarge, axis=2)
    # Wide enough that neighbouring patches do not look like one.
    gap = max(2, pictures.shape[1] // 8)
    return tile(pictures, math.ceil(math.sqrt(len(patches))), line, gap)
