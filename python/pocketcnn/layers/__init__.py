"""The layers, one a file, and the table that finds a layer's class by its name."""

from pocketcnn.arguments import Array
from pocketcnn.layers.avg_pool import AvgPool2d
from pocketcnn.layers.base import Layer, Shape, WeightLayer
from pocketcnn.layers.conv import Conv2d
from pocketcnn.layers.dropout import Dropout
from pocketcnn.layers.flatten import Flatten
from pocketcnn.layers.global_avg_pool import GlobalAvgPool2d
from pocketcnn.layers.linear import Linear
from pocketcnn.layers.max_pool import MaxPool2d
from pocketcnn.layers.relu import ReLU
from pocketcnn.layers.sigmoid import Sigmoid
from pocketcnn.layers.softmax import Softmax
from pocketcnn.layers.tanh import Tanh

LAYERS: dict[str, type[Layer]] = {
    cls.__name__: cls
    for cls in (
        AvgPool2d,
        Conv2d,
        Dropout,
        Flatten,
        GlobalAvgPool2d,
        Linear,
        MaxPool2d,
        ReLU,
        Sigmoid,
        Softmax,
        Tanh,
    )
}
"""Every layer class by its name, as model files write it.

A network with a layer class of your own can be saved and loaded once the class is in here.
"""

__all__ = [
    "LAYERS",
    "Array",
    "AvgPool2d",
    "Conv2d",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2d",
    "Layer",
    "Linear",
    "MaxPool2d",
    "ReLU",
    "Shape",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "WeightLayer",
]
