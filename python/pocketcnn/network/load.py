"""Reading a network that was saved."""

from __future__ import annotations

from os import PathLike

from pocketcnn.network.net import ConvNet
from pocketcnn.network.serialization import Model, read_model


def load(path: str | PathLike[str], *, check_finite: bool = False) -> ConvNet:
    """Read a network that `ConvNet.save` wrote.

    Parameters
    ----------
    path : path-like
    check_finite : bool
        Whether to refuse weights that are infinite or not a number, as a training that went
        astray may have left them.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be read.
    ValueError
        If the file is not a whole model of this version, or is damaged: the message says what
        is wrong. A file without a checksum, which earlier versions wrote, is read unchecked.
    MemoryError
        If there is not as much memory as the file is large.
    """
    return assemble(read_model(path, check_finite=check_finite))


def assemble(model: Model) -> ConvNet:
    """Make a network of layers that have their weights."""
    graph = model.graph
    net = ConvNet(graph.entries(), graph.shapes[0], seed=None, dtype=model.dtype)
    net.classes, net.preprocessing = model.classes, model.preprocessing
    return net
