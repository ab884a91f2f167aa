"""Names of a package that are imported when they are first used.

This is scientific Python's SPEC 1 (https://scientific-python.org/specs/spec-0001), in a few lines.
"""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

LAYER_FILES = {
    "Add": "add",
    "AvgPool2d": "avg_pool2d",
    "BatchNorm2d": "batch_norm",
    "ChannelShuffle": "channel_shuffle",
    "Clip": "clip",
    "Concat": "concat",
    "Conv2d": "conv2d",
    "ConvTranspose2d": "conv_transpose2d",
    "Dropout": "dropout",
    "ELU": "elu",
    "Flatten": "flatten",
    "GELU": "gelu",
    "GlobalAvgPool2d": "global_avg_pool2d",
    "GlobalMaxPool2d": "global_max_pool2d",
    "GroupNorm": "group_norm",
    "HardSigmoid": "hard_sigmoid",
    "HardSwish": "hard_swish",
    "LeakyReLU": "leaky_relu",
    "Linear": "linear",
    "LocalResponseNorm": "local_response_norm",
    "LogSoftmax": "log_softmax",
    "MaxPool2d": "max_pool2d",
    "Multiply": "multiply",
    "Normalize": "normalize",
    "PReLU": "prelu",
    "Permute": "permute",
    "ReLU": "relu",
    "ReLU6": "relu6",
    "Reshape": "reshape",
    "Residual": "residual",
    "ScaleShift": "scale_shift",
    "SiLU": "silu",
    "Sigmoid": "sigmoid",
    "Slice": "slice",
    "Softmax": "softmax",
    "Tanh": "tanh",
    "Upsample": "upsample",
    "ZeroPad2d": "zero_pad2d",
}
"""The file in `layers` that holds a layer class."""


def import_when_used(package: str, places: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the ``__getattr__`` of a package (PEP 562).

    Parameters
    ----------
    package : str
        Its ``__name__``.
    places : mapping of str to str
        For each name the module of the package that holds it; for a module, its own name.
    """

    def find(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(f"{package}.{places[name]}")
        value = module if places[name] == name else getattr(module, name)
        setattr(sys.modules[package], name, value)  # found without `find` from now on
        return value

    return find
