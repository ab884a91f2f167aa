"""Resizing of feature maps."""

from __future__ import annotations

from typing import Any

import numpy as np

from pocketcnn._arguments import Array
from pocketcnn.functional import upsample2d
from pocketcnn.functional._upsample2d import scale_pair
from pocketcnn.layers import Shape, Upsample
from pocketcnn.onnx.graph_writer import LayerNodes, Value


def upsample(nodes: LayerNodes, layer: Upsample, x: Value) -> str:
    """Write one node, or the places of the nearest pixels where it would take others."""
    sizes, outs = x.shape[1:], layer.output_shape(x.shape)[1:]
    scales = scale_pair(layer.scale_factor)
    settings: dict[str, Any] = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    if layer.align_corners:
        # Only the size of the output counts, from which evaluators have this scale again.
        settings["coordinate_transformation_mode"] = "align_corners"
        scales = (outs[0] / sizes[0], outs[1] / sizes[1])
    singles = [_single(*axis) for axis in zip(scales, sizes, outs, strict=True)]
    if layer.mode == "nearest":
        rows, columns = _places(layer, sizes)
        if not (_divides(rows, singles[0]) and _divides(columns, singles[1])):
            taken = nodes.node("Gather", x, nodes.integers("rows", rows), part="taken", axis=2)
            return nodes.node("Gather", taken, nodes.integers("columns", columns), axis=3)
        settings = {
            "mode": "nearest",
            "coordinate_transformation_mode": "asymmetric",
            "nearest_mode": "floor",
        }
    scale = nodes.singles("scales", [1.0, 1.0, *singles])
    return nodes.node("Resize", x, "", scale, **settings)


def _single(scale: float, size: int, out: int) -> float:
    """The scale in float32, by so little more or less that it gives the output's size."""
    near = np.float32(scale)
    tried = (near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(0)))
    return next(
        float(one) for one in tried if int(float(one) * size) == out == int(one * np.float32(size))
    )


def _places(layer: Upsample, sizes: Shape) -> tuple[Array, Array]:
    """Row and column of the pixels that are taken, found in an image of their numbers."""
    height, width = sizes
    numbers = np.arange(height * width, dtype=np.float64).reshape(1, 1, height, width)
    taken = upsample2d(numbers, layer.scale_factor, layer.mode)[0, 0].astype(np.int64)
    return taken[:, 0] // width, taken[0] % width


def _divides(places: Array, scale: float) -> bool:
    """Whether the places are those of ONNX, ``floor(i / scale)``, in either precision."""
    outputs = np.arange(len(places))
    double = np.floor(outputs / scale)
    single = np.floor(outputs.astype(np.float32) / np.float32(scale))
    return np.array_equal(double, places) and np.array_equal(single, places)
