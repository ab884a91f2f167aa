"""The layers, one per file, and the table that finds a layer's class by its name."""

from typing import TYPE_CHECKING

from pocketcnn._arguments import Array
from pocketcnn._lazy import LAYER_FILES, import_when_used
from pocketcnn.layers.base import Layer, Shape

if TYPE_CHECKING:
    from pocketcnn.layers.add import Add
    from pocketcnn.layers.avg_pool2d import AvgPool2d
    from pocketcnn.layers.batch_norm import BatchNorm2d
    from pocketcnn.layers.channel_shuffle import ChannelShuffle
    from pocketcnn.layers.clip import Clip
    from pocketcnn.layers.concat import Concat
    from pocketcnn.layers.conv2d import Conv2d
    from pocketcnn.layers.conv_transpose2d import ConvTranspose2d
    from pocketcnn.layers.dropout import Dropout
    from pocketcnn.layers.elu import ELU
    from pocketcnn.layers.every import LAYERS
    from pocketcnn.layers.flatten import Flatten
    from pocketcnn.layers.gelu import GELU
    from pocketcnn.layers.global_avg_pool2d import GlobalAvgPool2d
    from pocketcnn.layers.global_max_pool2d import GlobalMaxPool2d
    from pocketcnn.layers.group_norm import GroupNorm
    from pocketcnn.layers.hard_sigmoid import HardSigmoid
    from pocketcnn.layers.hard_swish import HardSwish
    from pocketcnn.layers.leaky_relu import LeakyReLU
    from pocketcnn.layers.linear import Linear
    from pocketcnn.layers.local_response_norm import LocalResponseNorm
    from pocketcnn.layers.log_softmax import LogSoftmax
    from pocketcnn.layers.max_pool2d import MaxPool2d
    from pocketcnn.layers.multiply import Multiply
    from pocketcnn.layers.normalize import Normalize
    from pocketcnn.layers.permute import Permute
    from pocketcnn.layers.prelu import PReLU
    from pocketcnn.layers.relu import ReLU
    from pocketcnn.layers.relu6 import ReLU6
    from pocketcnn.layers.reshape import Reshape
    from pocketcnn.layers.residual import Residual
    from pocketcnn.layers.scale_shift import ScaleShift
    from pocketcnn.layers.sigmoid import Sigmoid
    from pocketcnn.layers.silu import SiLU
    from pocketcnn.layers.slice import Slice
    from pocketcnn.layers.softmax import Softmax
    from pocketcnn.layers.tanh import Tanh
    from pocketcnn.layers.upsample import Upsample
    from pocketcnn.layers.weight_layer import WeightLayer
    from pocketcnn.layers.zero_pad2d import ZeroPad2d

__all__ = [
    "ELU",
    "GELU",
    "LAYERS",
    "Add",
    "Array",
    "AvgPool2d",
    "BatchNorm2d",
    "ChannelShuffle",
    "Clip",
    "Concat",
    "Conv2d",
    "ConvTranspose2d",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2d",
    "GlobalMaxPool2d",
    "GroupNorm",
    "HardSigmoid",
    "HardSwish",
    "Layer",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "LogSoftmax",
    "MaxPool2d",
    "Multiply",
    "Normalize",
    "PReLU",
    "Permute",
    "ReLU",
    "ReLU6",
    "Reshape",
    "Residual",
    "ScaleShift",
    "Shape",
    "SiLU",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Tanh",
    "Upsample",
    "WeightLayer",
    "ZeroPad2d",
]

if not TYPE_CHECKING:
    __getattr__ = import_when_used(
        __name__, {**LAYER_FILES, "LAYERS": "every", "WeightLayer": "weight_layer"}
    )


def __dir__() -> list[str]:
    """List the public names, which completion shows."""
    return sorted(__all__)
