"""What layers one by one read and write, and what a stage does."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

import pocketcnn as pc

from . import paper

MEGABYTE = 1e6


def traffic() -> list[tuple[str, float, float]]:
    """Name, megabytes read and megabytes written of SimpleConvNet's first layers, batch of 100."""
    net = pc.models.simple_convnet(seed=0)
    x = np.zeros((100, 1, 28, 28), np.float32)
    maps = net.activations(x)
    sizes = [a.nbytes / MEGABYTE for a in (x, maps["conv1"], maps["relu1"], maps["pool1"])]
    steps = zip(("convolution", "ReLU", "pooling"), sizes[:-1], sizes[1:], strict=True)
    return [*steps, ("one stage", sizes[0], sizes[-1])]


def draw() -> Figure:
    """Draw the traffic of the layers, and of the stage that they are."""
    figure, (axes,) = paper.new_figure(8, 2.7)
    rows = traffic()
    for place, (_, read, written) in enumerate(rows):
        axes.barh(place, read, 0.6, color=paper.SKY, label="" if place else "read")
        axes.barh(
            place, written, 0.6, left=read, color=paper.ORANGE, label="" if place else "written"
        )
        axes.text(read + written + 0.15, place, f"{read + written:.1f} MB", va="center", fontsize=9)
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    axes.axhline(2.5, color=paper.GREY, linewidth=0.8, linestyle=":")
    axes.invert_yaxis()
    axes.set_xlim(0, 16)
    axes.set_xlabel("megabytes that pass between memory and the layer, 100 images")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    return figure
