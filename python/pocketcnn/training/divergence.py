"""Where numbers that are not finite came from: the data, the weights, or a layer's output."""

from __future__ import annotations

import numpy as np

from pocketcnn._arguments import Array
from pocketcnn.network.net import ConvNet

_CHUNK_BYTES = 2**24


def describe_not_finite(name: str, array: Array) -> str | None:
    """Say how many values of an array are not finite; None if all are.

    Examples
    --------
    >>> describe_not_finite("x", np.array([[1.0], [np.nan], [np.inf]]))
    'x has 2 values that are not finite, first at sample 1'
    """
    if array.dtype.kind != "f" or array.size == 0:
        return None
    rows = max(1, _CHUNK_BYTES // max(1, array[:1].nbytes))
    count, first = 0, -1
    for start in range(0, len(array), rows):
        part = array[start : start + rows]
        odd = ~np.isfinite(part).reshape(len(part), -1)
        if odd.any():
            first = start + int(odd.any(axis=1).argmax()) if first < 0 else first
            count += int(odd.sum())
    if count == 0:
        return None
    values = "value that is" if count == 1 else "values that are"
    return f"{name} has {count:,} {values} not finite, first at sample {first}"


def is_finite(array: Array) -> bool:
    """Whether all values are finite; if so, found in one pass without a copy."""
    with np.errstate(all="ignore"):
        # NaN and infinities stay in a sum; only a sum that overflows needs the second check.
        return bool(np.isfinite(np.add.reduce(array, axis=None)) or np.isfinite(array).all())


def describe_parameters(net: ConvNet) -> str | None:
    """Name the first layer with parameters that are not finite; None if all are."""
    for name, array in net.params.items():
        if not is_finite(array):
            layer, _, key = name.rpartition(".")
            count = int(np.count_nonzero(~np.isfinite(array)))
            return f"layer {layer!r} has {count:,} of {array.size:,} values of its {key} not finite"
    return None


def describe_outputs(net: ConvNet, x: Array, *, training: bool) -> str | None:
    """Name the first layer whose output for the batch x is not finite; None if all are.

    Running statistics and generators are restored afterwards.
    """
    buffers = {name: array.copy() for name, array in net.buffers.items()}
    states = {name: rng.bit_generator.state for name, rng in net.generators.items()}
    found = None
    with np.errstate(all="ignore"):
        for name, out in net.graph.outputs(x.astype(net.dtype, copy=False), training):
            if not is_finite(out):
                found = f"the output of layer {name!r} is not finite"
                break
    for name, array in net.buffers.items():
        array[...] = buffers[name]
    for name, rng in net.generators.items():
        rng.bit_generator.state = states[name]
    return found


def explain(net: ConvNet, name: str, x: Array, inference_batch: int | None = None) -> str:
    """Say why the loss of x, which a message calls `name`, is not finite.

    Parameters
    ----------
    net : ConvNet
    name : str
    x : ndarray (N, ...)
        The batch of a training step or, with `inference_batch`, what was evaluated in batches of
        that size.
    """
    if found := describe_not_finite(name, x):
        return found
    training = inference_batch is None
    size = inference_batch or len(x)
    batches = (x[start : start + size] for start in range(0, len(x), size))
    found = describe_parameters(net) or next(
        filter(None, (describe_outputs(net, batch, training=training) for batch in batches)),
        "the scores of the last layer are finite, but too far apart",
    )
    return f"{found}; a smaller learning rate may help"
