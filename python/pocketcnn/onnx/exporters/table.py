"""The table of the layers that can be written."""

from __future__ import annotations

from pocketcnn.layers import (
    Add,
    AvgPool2d,
    BatchNorm2d,
    Concat,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    Multiply,
    ReLU,
    Residual,
    Sigmoid,
    Softmax,
    Tanh,
)
from pocketcnn.onnx.exporters import elementwise, normalisation, structure, windows
from pocketcnn.onnx.graph_writer import Exporter

EXPORTERS: dict[type[Layer], Exporter] = {
    Add: structure.add,
    AvgPool2d: windows.avg_pool2d,
    BatchNorm2d: normalisation.batch_norm2d,
    Concat: structure.concat,
    Conv2d: windows.conv2d,
    Dropout: normalisation.dropout,
    Flatten: structure.flatten,
    GlobalAvgPool2d: windows.global_avg_pool2d,
    Linear: structure.linear,
    LocalResponseNorm: normalisation.local_response_norm,
    MaxPool2d: windows.max_pool2d,
    Multiply: structure.multiply,
    ReLU: elementwise.relu,
    Residual: structure.residual,
    Sigmoid: elementwise.sigmoid,
    Softmax: elementwise.softmax,
    Tanh: elementwise.tanh,
}
"""How each class of layers is written; a subclass may compute something else."""
