"""Resizing of feature maps."""

from __future__ import annotations

from typing import Any

import numpy as np

from pocketcnn.functional._upsample2d import scale_pair
from pocketcnn.layers import Upsample
from pocketcnn.onnx.graph_writer import LayerNodes, Value


def upsample(nodes: LayerNodes, layer: Upsample, x: Value) -> str:
    """Write one node, or the places of the nearest pixels where float32 has not the scales."""
    sizes, outs = x.shape[1:], layer.output_shape(x.shape)[1:]
    scales = scale_pair(layer.scale_factor)
    settings: dict[str, Any] = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    if layer.mode == "nearest":
        if any(float(np.float32(scale)) != scale for scale in scales):
            return _pick(nodes, x, scales, outs)
        settings = {
            "mode": "nearest",
            "coordinate_transformation_mode": "asymmetric",
            "nearest_mode": "floor",
        }
    elif layer.align_corners:
        # Only the size of the output counts, from which evaluators have this scale again.
        settings["coordinate_transformation_mode"] = "align_corners"
        scales = (outs[0] / sizes[0], outs[1] / sizes[1])
    single = [_scale(*axis) for axis in zip(scales, sizes, outs, strict=True)]
    return nodes.node("Resize", x, "", nodes.singles("scales", [1.0, 1.0, *single]), **settings)


def _scale(scale: float, size: int, out: int) -> float:
    """The scale in float32, by so little more or less that it gives the output's size."""
    near = np.float32(scale)
    tried = (near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(0)))
    return next(
        float(one) for one in tried if int(float(one) * size) == out == int(one * np.float32(size))
    )


def _pick(nodes: LayerNodes, x: Value, scales: tuple[float, float], outs: tuple[int, ...]) -> str:
    """Take rows, then columns, by their places."""
    rows, columns = (
        np.floor(np.arange(out) / scale).astype(np.int64)
        for scale, out in zip(scales, outs, strict=True)
    )
    taken = nodes.node("Gather", x, nodes.integers("rows", rows), part="taken", axis=2)
    return nodes.node("Gather", taken, nodes.integers("columns", columns), axis=3)
