"""Train and run convolutional networks on the CPU.

>>> import pocketcnn as pc
>>> net = pc.models.simple_convnet()
>>> (x, t), (x_test, t_test) = pc.data.digits()
>>> trainer = pc.Trainer(net, pc.optim.Adam(1e-3))
>>> loss = trainer.step(x[:100] / 255, t[:100])
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from pocketcnn import data, functional, layers, losses, models, optim, schedules
from pocketcnn.callbacks import Callback, EarlyStopping, ProgressBar
from pocketcnn.config import (
    available_isas,
    get_num_threads,
    isa,
    num_threads,
    set_num_threads,
    show_config,
)
from pocketcnn.history import History
from pocketcnn.layers import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Residual,
    Sigmoid,
    Softmax,
    Tanh,
)
from pocketcnn.net import ConvNet, load
from pocketcnn.trainer import Trainer

if TYPE_CHECKING:
    from pocketcnn import inspection, plot

__version__ = "0.1.0"

__all__ = [
    "AvgPool2d",
    "BatchNorm2d",
    "Callback",
    "Conv2d",
    "ConvNet",
    "Dropout",
    "EarlyStopping",
    "Flatten",
    "GlobalAvgPool2d",
    "History",
    "Layer",
    "Linear",
    "LocalResponseNorm",
    "MaxPool2d",
    "ProgressBar",
    "ReLU",
    "Residual",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "Trainer",
    "available_isas",
    "data",
    "functional",
    "get_num_threads",
    "inspection",
    "isa",
    "layers",
    "load",
    "losses",
    "models",
    "num_threads",
    "optim",
    "plot",
    "schedules",
    "set_num_threads",
    "show_config",
]


_IMPORTED_LATER = {"inspection", "plot", "scratch"}


def __getattr__(name: str) -> ModuleType:
    """Import the modules that most programs never use when they are first asked for."""
    if name in _IMPORTED_LATER:
        return import_module(f"pocketcnn.{name}")
    raise AttributeError(f"module 'pocketcnn' has no attribute {name!r}")
