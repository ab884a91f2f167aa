"""Train and run convolutional networks on the CPU.

>>> import pocketcnn as pc
>>> net = pc.models.simple_convnet()
>>> (x, t), (x_test, t_test) = pc.data.digits()
>>> trainer = pc.Trainer(net, pc.optim.Adam(1e-3))
>>> loss = trainer.step(x[:100] / 255, t[:100])
"""

# First, before anything that takes time.
from pocketcnn import _startup  # isort: skip  # noqa: F401

from typing import TYPE_CHECKING

from pocketcnn._lazy import LAYER_FILES, import_when_used
from pocketcnn.config import (
    available_isas,
    available_teams,
    get_num_threads,
    isa,
    num_threads,
    set_num_threads,
    set_team,
    show_config,
    team,
)

if TYPE_CHECKING:
    from pocketcnn import (
        data,
        distributed,
        functional,
        inspection,
        layers,
        losses,
        models,
        onnx,
        optim,
        plot,
        schedules,
        scratch,
    )
    from pocketcnn._files.torch_file import read_torch
    from pocketcnn.layers import (
        ELU,
        GELU,
        Add,
        AvgPool2d,
        BatchNorm2d,
        ChannelShuffle,
        Clip,
        Concat,
        Conv2d,
        ConvTranspose2d,
        Dropout,
        Flatten,
        GlobalAvgPool2d,
        GlobalMaxPool2d,
        GroupNorm,
        HardSigmoid,
        HardSwish,
        Layer,
        LeakyReLU,
        Linear,
        LocalResponseNorm,
        LogSoftmax,
        MaxPool2d,
        Multiply,
        Normalize,
        Permute,
        PReLU,
        ReLU,
        ReLU6,
        Reshape,
        Residual,
        ScaleShift,
        Sigmoid,
        SiLU,
        Slice,
        Softmax,
        Tanh,
        Upsample,
        ZeroPad2d,
    )
    from pocketcnn.network.compiled import CompiledNet
    from pocketcnn.network.load import load
    from pocketcnn.network.net import ConvNet
    from pocketcnn.network.preprocessing import Preprocessing
    from pocketcnn.network.weights import load_torch_state, load_weights
    from pocketcnn.sklearn import ConvNetClassifier as ConvNetClassifier
    from pocketcnn.sklearn import ConvNetRegressor as ConvNetRegressor
    from pocketcnn.training.callbacks import Callback, EarlyStopping
    from pocketcnn.training.history import History
    from pocketcnn.training.progress import ProgressBar
    from pocketcnn.training.tensorboard import TensorBoard
    from pocketcnn.training.trainer import Trainer

__version__ = "0.1.0"

__all__ = [
    "ELU",
    "GELU",
    "Add",
    "AvgPool2d",
    "BatchNorm2d",
    "Callback",
    "ChannelShuffle",
    "Clip",
    "CompiledNet",
    "Concat",
    "Conv2d",
    "ConvNet",
    "ConvTranspose2d",
    "Dropout",
    "EarlyStopping",
    "Flatten",
    "GlobalAvgPool2d",
    "GlobalMaxPool2d",
    "GroupNorm",
    "HardSigmoid",
    "HardSwish",
    "History",
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
    "Preprocessing",
    "ProgressBar",
    "ReLU",
    "ReLU6",
    "Reshape",
    "Residual",
    "ScaleShift",
    "SiLU",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Tanh",
    "TensorBoard",
    "Trainer",
    "Upsample",
    "ZeroPad2d",
    "available_isas",
    "available_teams",
    "data",
    "distributed",
    "functional",
    "get_num_threads",
    "inspection",
    "isa",
    "layers",
    "load",
    "load_torch_state",
    "load_weights",
    "losses",
    "models",
    "num_threads",
    "onnx",
    "optim",
    "plot",
    "read_torch",
    "schedules",
    "scratch",
    "set_num_threads",
    "set_team",
    "show_config",
    "team",
]


# Not in __all__: `from pocketcnn import *` works without the packages that they need.
_OF_EXTRAS = {"ConvNetClassifier": "sklearn", "ConvNetRegressor": "sklearn"}

# Except for the settings of `config`, every name is imported when it is first used.
_MODULES = (
    "data",
    "distributed",
    "functional",
    "inspection",
    "layers",
    "losses",
    "models",
    "onnx",
    "optim",
    "plot",
    "schedules",
    "scratch",
)
_PLACES = {
    **{name: name for name in _MODULES},
    **{name: f"layers.{file}" for name, file in LAYER_FILES.items()},
    **_OF_EXTRAS,
    "Callback": "training.callbacks",
    "CompiledNet": "network.compiled",
    "ConvNet": "network.net",
    "EarlyStopping": "training.callbacks",
    "History": "training.history",
    "Layer": "layers.base",
    "Preprocessing": "network.preprocessing",
    "ProgressBar": "training.progress",
    "TensorBoard": "training.tensorboard",
    "Trainer": "training.trainer",
    "load": "network.load",
    "load_torch_state": "network.weights",
    "load_weights": "network.weights",
    "read_torch": "_files.torch_file",
}

if not TYPE_CHECKING:  # which knows the names from above, and no others
    __getattr__ = import_when_used(__name__, _PLACES)


def __dir__() -> list[str]:
    """List the public names for completion, including those that are imported later."""
    return sorted([*__all__, *_OF_EXTRAS, "__version__"])
