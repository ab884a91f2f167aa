"""U-Net, which gives every pixel scores."""

from __future__ import annotations

from pocketcnn._arguments import extent, integer, sizes
from pocketcnn.layers import BatchNorm2d, Concat, Conv2d, ConvTranspose2d, MaxPool2d, ReLU, Shape
from pocketcnn.models._parts import NamedLayers
from pocketcnn.network.graph import Entry
from pocketcnn.network.net import ConvNet


def unet(
    channels: int | None = None,
    classes: int = 2,
    width: int = 16,
    depth: int = 3,
    *,
    input_shape: Shape | None = None,
    seed: int | None = 0,
) -> ConvNet:
    """U-Net: scores of the classes for every pixel, from maps of several sizes.

    Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation",
    MICCAI 2015, figure 1: maps are halved `depth` times and doubled again by transposed
    convolutions, and beside those that were doubled go those of the same size before. Unlike there,
    3x3 convolutions have a padding of 1, so that the scores have the size of the image, and batch
    normalisation after them. The paper's size is ``width=64, depth=4``.

    Parameters
    ----------
    channels : int, optional
        Of the images: those of `input_shape`, or else 1.
    classes : int
    width : int
        Maps of the image's size; twice as many after every halving.
    depth : int
        How often maps are halved.
    input_shape : (C, H, W), optional
        128x128 pixels by default. H and W must be multiples of ``2 ** depth``.

    Returns
    -------
    ConvNet
        From images (N, C, H, W) to scores (N, classes, H, W).

    Raises
    ------
    ValueError
        A height or width that cannot be halved so often, or other channels than `channels`.

    Examples
    --------
    >>> unet(3, classes=5, input_shape=(3, 64, 96), seed=None).output_shape
    (5, 64, 96)
    """
    width, depth = extent("width", width), integer("depth", depth, 1)
    shape = _image(channels, input_shape, depth)
    widths = [width << level for level in range(depth + 1)]
    entries: list[Entry] = []
    below = shape[0]
    for level in range(depth):
        entries += _twice(f"down{level}", below, widths[level])
        entries.append((f"pool{level}", MaxPool2d(2)))
        below = widths[level]
    entries += _twice(f"down{depth}", below, widths[depth])
    for level in reversed(range(depth)):
        up = ConvTranspose2d(widths[level + 1], widths[level], kernel_size=2, stride=2)
        entries += [
            (f"enlarge{level}", up),
            (f"concat{level}", Concat(), (f"down{level}_relu2", f"enlarge{level}")),
            *_twice(f"up{level}", 2 * widths[level], widths[level]),
        ]
    entries.append(("scores", Conv2d(width, extent("classes", classes), kernel_size=1)))
    return ConvNet(entries, shape, seed=seed)


def _image(channels: int | None, input_shape: Shape | None, depth: int) -> Shape:
    """Shape of an image, checked."""
    wanted = None if channels is None else extent("channels", channels)
    if input_shape is None:
        input_shape = (wanted or 1, 128, 128)
    shape = tuple(
        extent("input_shape", n) for n in sizes("input_shape", input_shape, axes="C, H, W")
    )
    if wanted not in (None, shape[0]):
        raise ValueError(
            f"input_shape is {shape}, but must have {wanted} channels, as channels says"
        )
    if any(n >> depth << depth != n for n in shape[1:]):
        raise ValueError(
            f"input_shape is {shape}, but height and width must be multiples of 2**{depth}, to be "
            f"halved {depth} times"
        )
    return shape


def _twice(name: str, channels: int, width: int) -> NamedLayers:
    """Two 3x3 convolutions that keep the size, each with batch normalisation and ReLU."""
    layers: NamedLayers = []
    for place in (1, 2):
        layers += [
            (f"{name}_conv{place}", Conv2d(channels, width, 3, padding=1, bias=False)),
            (f"{name}_bn{place}", BatchNorm2d(width)),
            (f"{name}_relu{place}", ReLU()),
        ]
        channels = width
    return layers
