"""A convolution is a matrix product: an image, its column matrix, the filters, the result."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

import pocketcnn.functional as F

from . import paper

Array = npt.NDArray[np.int64]
SHADES = ("#cfe6f5", "#fbe3b0", "#c4e8dc", "#f6d2bd")


class Numbers(NamedTuple):
    """A 4x4 image, its patches of 3x3 as rows, two filters, and their product."""

    image: Array
    columns: Array
    filters: Array
    result: Array


def numbers() -> Numbers:
    """Compute what is drawn."""
    image = np.array([[0, 9, 9, 0], [0, 9, 1, 5], [2, 8, 0, 7], [1, 9, 6, 4]])
    edge = [[1, 0, -1]] * 3
    blur = [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    filters = np.array([edge, blur])
    x, weight = image.reshape(1, 1, 4, 4), filters.reshape(2, 1, 3, 3)
    columns, result = F.im2col(x, 3), F.conv2d(x, weight)
    return Numbers(image, columns.astype(int), filters, result[0].astype(int))


def draw() -> Figure:
    """Draw the product with the numbers it has."""
    image, columns, filters, result = numbers()
    figure, (axes,) = paper.new_figure(10, 4.5)
    paper.cells(axes, image.tolist(), (0, 2.5))
    axes.text(2, 2.2, "image", ha="center", fontsize=10)
    for k, (y, x) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        inset = 0.06 + 0.05 * k
        size = (3 - 2 * inset, 3 - 2 * inset)
        paper.frame(axes, (x + inset, 2.5 + y + inset), size, _strong(k))
    paper.arrow(axes, (4.3, 4.5), (5.7, 4.5))
    axes.text(5, 4.2, "im2col", ha="center", fontsize=9)

    rows = [[SHADES[k]] * 9 for k in range(4)]
    paper.cells(axes, columns.tolist(), (6, 2.5), rows)
    axes.text(10.5, 2.2, "columns: a patch a row", ha="center", fontsize=10)
    axes.text(15.5, 4.6, "×", ha="center", fontsize=16)
    paper.cells(axes, filters.reshape(2, 9).T.tolist(), (16, 0))
    axes.text(17, -0.3, "filters", ha="center", fontsize=10)
    axes.text(18.6, 4.6, "=", ha="center", fontsize=16)
    products = result.reshape(2, 4).T.tolist()
    paper.cells(axes, products, (19.2, 2.5), [[SHADES[k]] * 2 for k in range(4)])
    axes.text(20.2, 2.2, "results", ha="center", fontsize=10)
    axes.set_xlim(-0.2, 21.4)
    axes.set_ylim(-1, 9.2)
    paper.hide_frame(axes)
    return figure


def _strong(k: int) -> str:
    return (paper.BLUE, paper.ORANGE, paper.GREEN, paper.RED)[k]
