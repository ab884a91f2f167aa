"""What a run begins with: a new network, or a trained one for other classes; the optimiser."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pocketcnn import optim
from pocketcnn.commands.inputs import preparation
from pocketcnn.commands.models import Model, load_model
from pocketcnn.commands.options import Options
from pocketcnn.commands.recipe import ADAM_RATES, FROM_RATE, MODELS, OPTIMIZERS, RATES, words
from pocketcnn.network.net import ConvNet
from pocketcnn.network.preprocessing import Preprocessing


def load_base(options: Options) -> Model | None:
    """Load the model that the run goes on from, if there is one."""
    return None if options.from_ is None else load_model(options.from_)


def make_net(options: Options, classes: list[str], shape: tuple[int, ...]) -> ConvNet:
    """Make the network with its first weights.

    Parameters
    ----------
    options : Options
    classes : list of str
        Of the data. A trained model that knows the same classes keeps its last layer; otherwise it
        gets a new one, which no pattern freezes.
    shape : tuple of int
        Of an image.

    Raises
    ------
    ValueError
        The network does not take such images.
    """
    base = load_base(options)
    patterns = words(options.freeze)
    if base is None:
        net = _new_net(options, len(classes), shape)
    elif base.net.input_shape != shape:
        raise ValueError(
            f"{options.data} has images {shape}, but {base.path} takes {base.net.input_shape}"
        )
    else:
        net = base.net
    if patterns:
        net.freeze(*patterns)
    if base is not None and not (base.named and base.classes == classes):
        net.replace_head(len(classes), seed=options.seed)
    net.classes = classes
    net.preprocessing = replace(preparation(net), resize=resize_rule(options, base))
    return net


def resize_rule(options: Options, base: Model | None) -> str:
    """Return how image files are resized: as the options say, or as a trained model had them."""
    return options.resize or (Preprocessing() if base is None else preparation(base.net)).resize


def make_optimizer(options: Options) -> optim.Optimizer:
    """Make the optimiser."""
    kind = OPTIMIZERS[options.optimizer]
    settings: dict[str, Any] = {"lr": options.lr}
    if options.lr is None and issubclass(kind, optim.Adam):
        settings["lr"] = ADAM_RATES.get(options.model or "", FROM_RATE)
    elif options.lr is None:
        settings["lr"] = RATES[options.optimizer]
    if options.weight_decay is not None:
        settings["weight_decay"] = options.weight_decay
    if kind is optim.SGD:
        settings["momentum"] = 0.9 if options.momentum is None else options.momentum
        settings["nesterov"] = options.nesterov
    return kind(**settings)


def _new_net(options: Options, classes: int, shape: tuple[int, ...]) -> ConvNet:
    assert options.model is not None
    try:
        return MODELS[options.model](classes, input_shape=shape, seed=options.seed)
    except ValueError as error:
        raise ValueError(f"{options.model} does not take images {shape}: {error}") from error
