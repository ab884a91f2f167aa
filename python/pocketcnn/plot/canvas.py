"""What all pictures share: figures without pyplot, colours, images made ready to be drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pocketcnn import _arguments
from pocketcnn._arguments import Array, Pair
from pocketcnn.plot.words import drawable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from pocketcnn.network.net import ConvNet

BLUE, VERMILION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
SKY, PURPLE, GREY = "#56B4E9", "#CC79A7", "#666666"

_NEEDED = "pictures need Matplotlib: pip install matplotlib (pocketcnn's extra `plot`)"

Picture: TypeAlias = NDArray[np.float64]
"""(H, W) grey or (H, W, 3) colour, from 0 to 1."""


def new_figure(width: float, height: float) -> Figure:
    """Make a figure of this size in inches, unknown to pyplot."""
    # Imported by name, so that a missing matplotlib is the error, even if this module was already
    # imported.
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise ImportError(_NEEDED) from error
    from pocketcnn.plot.figure import Figure as NotebookFigure

    return NotebookFigure(width, height)


def picture_kinds() -> list[str]:
    """Return the file endings that a figure can be written to, without the dot."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError as error:
        raise ImportError(_NEEDED) from error
    return sorted(FigureCanvasAgg.get_supported_filetypes())


def root(ax: Axes) -> Figure:
    """Return the figure that the axes belong to, at any depth of subfigures."""
    figure: Figure | SubFigure | None = ax.figure
    if figure is None or not any(ax in (own, *own.child_axes) for own in figure.axes):
        raise ValueError("axes belong to no figure: theirs was cleared, or they were removed")
    return figure.figure


def tile(pictures: Array, columns: int, background: float | Array, gap: int = 1) -> Array:
    """Arrange pictures (N, H, W, depth) in rows, `gap` pixels apart."""
    count, height, width, depth = pictures.shape
    rows = math.ceil(count / columns)
    down, across = height + gap, width + gap
    canvas = np.empty((rows * down - gap, columns * across - gap, depth))
    canvas[...] = background
    for index, picture in enumerate(pictures):
        top, left = index // columns * down, index % columns * across
        canvas[top : top + height, left : left + width] = picture
    return canvas


def describe(shape: Sequence[int]) -> str:
    """Write a shape as people do: 3 × 32 × 32."""
    return " × ".join(map(str, shape))


def one_image(net: ConvNet, image: ArrayLike) -> Array:
    """Return `image`, (C, H, W) or (1, C, H, W), as a batch of one that the network takes."""
    x = _arguments.array("image", image)
    x = x[np.newaxis] if x.ndim == len(net.input_shape) else x
    if x.shape != (1, *net.input_shape):
        raise ValueError(f"image has shape {x.shape[1:]}, but the network takes {net.input_shape}")
    return x


def pixel_range(x: Array) -> tuple[float, float]:
    """Return the numbers that mean black and white in the images `x`.

    0 and 255 for integers; 0 and 1 for numbers between these; otherwise, for normalised images, the
    smallest and the largest number. NaN and infinities do not count.
    """
    if x.dtype.kind in "ui":
        return 0.0, 255.0
    low, high = finite_range(x)
    return (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)


def finite_range(values: Array) -> tuple[float, float]:
    """The least and the largest of the finite values; 0 and 0 if there are none."""
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def as_picture(image: Array, pixels: tuple[float, float]) -> Picture:
    """Make an image (C, H, W) drawable: three or four channels in colour, others by their mean."""
    low, high = pixels
    scaled = np.clip((image.astype(np.float64) - low) / ((high - low) or 1.0), 0, 1)
    if len(image) in (3, 4):
        return np.ascontiguousarray(scaled[:3].transpose(1, 2, 0))
    grey: Picture = scaled.mean(axis=0)
    return grey


def draw_picture(ax: Axes, picture: Picture, **settings: Any) -> None:
    """Draw a grey or colour picture, black 0 and white 1, without the axes' frame."""
    ax.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest", **settings)
    ax.set_axis_off()


def class_names_of(count: int, class_names: Sequence[str] | None) -> list[str]:
    """Names of `count` classes as they can be drawn; their numbers if no names are given.

    A name that no font can write has its number in front.
    """
    if class_names is None:
        return [str(k) for k in range(count)]
    if len(class_names) != count:
        raise ValueError(f"class_names has {len(class_names)} names, but there are {count} classes")
    shown = []
    for k, name in enumerate(map(str, class_names)):
        drawn = drawable(name)
        shown.append(drawn if drawn.count("□") == name.count("□") else f"{k} {drawn}")
    return shown


def grid_shape(count: int, columns: int) -> Pair:
    """Rows and columns of a grid of `count` places, `columns` wide at most."""
    columns = min(count, columns)
    return math.ceil(count / columns), columns
