"""Which pixels and which regions of an image speak for a class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from pocketcnn import _arguments, inspection
from pocketcnn import functional as F
from pocketcnn._arguments import Array
from pocketcnn.plot.canvas import (
    Picture,
    as_picture,
    class_names_of,
    draw_picture,
    finite_range,
    new_figure,
    one_image,
    pixel_range,
    root,
)
from pocketcnn.plot.words import drawable, literally

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pocketcnn.network.net import ConvNet


def saliency(
    net: ConvNet,
    image: ArrayLike,
    *,
    target: int | None = None,
    class_names: Sequence[str] | None = None,
    axes: Axes | None = None,
) -> Figure:
    """Draw how much each pixel of an image changes the score of a class.

    Parameters
    ----------
    net : ConvNet
        A classifier.
    image : array_like (C, H, W), or (1, C, H, W)
        As the network was trained: scaled the same way.
    target : int, optional
        The class; by default the one with the largest score.
    class_names : sequence of str, optional
        What to call the classes in the title, instead of their numbers.
    axes : matplotlib Axes, optional
        Where to draw the map; by default a new figure with the image beside it.

    Returns
    -------
    matplotlib.figure.Figure
        The figure the axes belong to.

    Raises
    ------
    TypeError, ValueError
        `image` does not fit the network, or there is no such class.
    ImportError
        matplotlib is not installed.

    See Also
    --------
    pocketcnn.inspection.saliency : The map itself, and its source.
    """
    x = one_image(net, image)
    values = inspection.saliency(net, x, target)[0]
    ax = _beside_image(x, axes)
    _draw_heat(ax, values)
    return _finish(ax, axes, f"Saliency for {_tell(net, x, target, class_names)}")


def grad_cam(
    net: ConvNet,
    image: ArrayLike,
    *,
    target: int | None = None,
    layer: str | None = None,
    class_names: Sequence[str] | None = None,
    axes: Axes | None = None,
) -> Figure:
    """Draw, over a grey copy of the image, the regions that speak for a class (Grad-CAM).

    Parameters
    ----------
    net, image, target, class_names, axes
        As in `saliency`.
    layer : str, optional
        The layer whose maps are weighted; by default the last that does not shrink its maps.

    Returns
    -------
    matplotlib.figure.Figure
        The figure the axes belong to.

    Raises
    ------
    TypeError, ValueError
        As `saliency`; or the layer has no maps.
    ImportError
        matplotlib is not installed.

    See Also
    --------
    pocketcnn.inspection.grad_cam : The map itself, and its source.
    """
    x = one_image(net, image)
    layer = inspection.cam_layer(net) if layer is None else layer
    values = inspection.grad_cam(net, x, target, layer=layer)[0]
    ax = _beside_image(x, axes)
    _draw_over(ax, as_picture(x[0], pixel_range(x)), values)
    return _finish(
        ax, axes, f"Grad-CAM of {drawable(layer)} for {_tell(net, x, target, class_names)}"
    )


def explain(
    net: ConvNet,
    x: ArrayLike,
    *,
    target: int | None = None,
    layer: str | None = None,
    class_names: Sequence[str] | None = None,
) -> Figure:
    """Draw images beside their saliency and their Grad-CAM, one row per image.

    Parameters
    ----------
    net : ConvNet
        A classifier.
    x : array_like (N, C, H, W)
        The images, scaled as the network was trained.
    target : int, optional
        The class for all images; by default for each image the one with the largest score.
    layer, class_names
        As in `grad_cam`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError, ImportError
        As `grad_cam`.
    """
    images = _arguments.array("x", x, 4)
    if not len(images):
        raise ValueError("x has no image: wanted at least one")
    layer = inspection.cam_layer(net) if layer is None else layer
    gradients = inspection.saliency(net, images, target)
    regions = inspection.grad_cam(net, images, target, layer=layer)
    figure = new_figure(6.6, 2.25 * len(images) + 0.45)
    figure.suptitle("Where the score comes from: dark little, bright most", fontsize=12)
    axes = figure.subplots(len(images), 3, squeeze=False)
    for row, image in enumerate(images):
        picture = as_picture(image, pixel_range(images))
        draw_picture(axes[row, 0], picture)
        _draw_heat(axes[row, 1], gradients[row])
        _draw_over(axes[row, 2], picture, regions[row])
        told = _tell(net, images[row : row + 1], target, class_names)
        axes[row, 0].set_title(told, fontsize=10, **literally(told))
    axes[0, 1].set_title("saliency", fontsize=10)
    told = f"Grad-CAM of {drawable(layer)}"
    axes[0, 2].set_title(told, fontsize=10, **literally(told))
    return figure


def _beside_image(x: Array, axes: Axes | None) -> Axes:
    """Return the user's axes, or those beside the image in a new figure."""
    if axes is not None:
        return axes
    image_axes, map_axes = new_figure(6.4, 3.6).subplots(1, 2)
    draw_picture(image_axes, as_picture(x[0], pixel_range(x)))
    image_axes.set_title("image", fontsize=10)
    return map_axes  # type: ignore[no-any-return]  # subplots gives an array of objects


def _draw_heat(ax: Axes, values: Array, **settings: Any) -> None:
    """Draw from dark, zero, to bright, the largest value; what is not finite is left out."""
    largest = finite_range(values)[1]
    settings = {"interpolation": "nearest", **settings}
    shown = np.where(np.isfinite(values), values, np.nan)
    ax.imshow(shown, cmap="viridis", vmin=0, vmax=largest if largest > 0 else 1.0, **settings)
    ax.set_axis_off()
    if not np.isfinite(values).all():
        _write_over(ax, "not finite")
    elif not values.any():
        _write_over(ax, "zero everywhere:\nnothing speaks for it")


def _write_over(ax: Axes, text: str) -> None:
    """Write a note over a map."""
    box: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8}
    centred: dict[str, Any] = {"transform": ax.transAxes, "ha": "center", "va": "center"}
    ax.text(0.5, 0.5, text, fontsize=8, bbox=box, **centred)


def _draw_over(ax: Axes, picture: Picture, values: Array) -> None:
    """Draw a map of any resolution over a grey copy of the picture."""
    draw_picture(ax, picture if picture.ndim == 2 else picture.mean(axis=2))
    height, width = picture.shape[:2]
    over = (-0.5, width - 0.5, height - 0.5, -0.5)
    _draw_heat(ax, values, alpha=0.6, interpolation="bilinear", extent=over)


def _finish(ax: Axes, given: Axes | None, title: str) -> Figure:
    """Set the title of a new figure, or only of the axes in a user's figure."""
    figure = root(ax)
    if given is None:
        ax.set_title("dark: none, bright: most", fontsize=10)
        figure.suptitle(title, fontsize=12, **literally(title))
    else:
        ax.set_title(title, fontsize=10, **literally(title))
    return figure


def _tell(net: ConvNet, x: Array, target: int | None, class_names: Sequence[str] | None) -> str:
    """Name the class with its probability."""
    probability = F.softmax(net.predict(x).astype(np.float64))[0]
    chosen = int(probability.argmax()) if target is None else target
    return f"{class_names_of(len(probability), class_names)[chosen]} ({probability[chosen]:.1%})"
