"""Weights from other libraries, loaded into a network completely or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from pocketcnn._alignment import empty
from pocketcnn._arguments import Array, array, as_array
from pocketcnn._files.named_tensors import named_tensors
from pocketcnn._files.reading import open_regular
from pocketcnn._files.tensor_file import read_tensors
from pocketcnn._files.torch_file import is_torch, read_torch
from pocketcnn._text import excerpt
from pocketcnn.layers import Layer, Shape
from pocketcnn.network.foreign_layouts import Place, keras_shape, places, turn
from pocketcnn.network.foreign_names import is_unused, match_names
from pocketcnn.network.net import ConvNet

Weights: TypeAlias = str | os.PathLike[str] | Mapping[str, Any]
Rename: TypeAlias = Mapping[str, str | None] | Callable[[str], str | None]

_START = 512
_MOST_NAMES = 10


@dataclass(frozen=True, repr=False)
class WeightsReport:
    """The result of `load_weights`.

    Attributes
    ----------
    loaded : list of str
        Arrays of the network that were loaded.
    missing : list of str
        Arrays of the network without a tensor.
    unexpected : list of str
        Tensors without an array in the network, by their own names.
    misshapen : list of str
        Arrays of the network whose tensor has another shape.
    shapes : dict of str to (tuple of int, tuple of int)
        For each of `misshapen`, the shape that came and the shape that was wanted, in Keras'
        layout if ``layout="NHWC"``.
    """

    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    misshapen: list[str] = field(default_factory=list)
    shapes: dict[str, tuple[Shape, Shape]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"WeightsReport({self})"

    def __str__(self) -> str:
        """Counts, and the first names of what did not fit."""
        parts = [f"loaded {len(self.loaded)}"]
        shaped = [
            f"{name} {came} instead of {wanted}" for name, (came, wanted) in self.shapes.items()
        ]
        for kind, names in (
            ("missing", self.missing),
            ("unexpected", self.unexpected),
            ("misshapen", shaped),
        ):
            if names:
                parts.append(f"{kind} {len(names)}: {_listed(names)}")
        return "; ".join(parts)


def load_weights(
    net: ConvNet,
    path_or_dict: Weights,
    strict: bool = True,
    layout: Literal["NCHW", "NHWC"] = "NCHW",
    rename: Rename | None = None,
    *,
    check_finite: bool = False,
) -> WeightsReport:
    """Load weights from another library into a network.

    Parameters
    ----------
    net : ConvNet
        Its arrays are changed in place and keep their dtype, once everything is checked.
    path_or_dict : path-like or mapping of str to array
        A .safetensors file; a file that ``torch.save`` wrote, as `read_torch` takes it; or
        arrays by name, also in nested dicts: NumPy arrays or anything with ``__array__`` or
        ``__dlpack__``, such as the tensors of PyTorch's ``state_dict()``.
    strict : bool
        Whether every array of the network must be given, and nothing else. Otherwise what fits
        is loaded.
    layout : {"NCHW", "NHWC"}
        "NHWC" is for weights of Keras and MLX, whose axes have another order: those of
        convolutions (also depthwise), linear layers, and the columns of the first linear layer
        after a `Flatten`. The shapes decide which of the two it is, or Keras' name "kernel".
    rename : mapping of str to str, or callable, optional
        From names of the weights to names of the network, or to None for tensors to leave out.
        Names that are not in a mapping stay as they are.
    check_finite : bool
        Whether to refuse weights that are infinite, in the network's dtype, or not a number.

    Returns
    -------
    WeightsReport
        With `loaded`, `missing`, `unexpected` and `misshapen`.

    Raises
    ------
    OSError
        There is no such file, or it cannot be read.
    ValueError
        The file is damaged or holds other things than tensors; a tensor requires gradients or is
        not on the CPU; two tensors have the same target; or, if `strict`, something does not fit,
        and the message lists it. The network is unchanged.
    TypeError
        A tensor is not of real numbers.

    Notes
    -----
    Names of `net.params` and `net.buffers` are matched first. For the rest, the naming schemes of
    torch.nn.Sequential, torchvision's VGG and ResNet, and Keras are tried, with and without a
    common prefix such as DataParallel's "module."; the scheme that matches most names is used for
    all of them. Batch norm's ``num_batches_tracked`` is ignored.

    Examples
    --------
    >>> from pocketcnn.layers import Flatten, Linear
    >>> net = ConvNet([("flatten", Flatten()), ("fc", Linear(4, 2))], input_shape=(1, 2, 2))
    >>> print(load_weights(net, {"1.weight": np.ones((2, 4)), "1.bias": np.zeros(2)}))
    loaded 2
    """
    if layout not in ("NCHW", "NHWC"):
        raise ValueError(f'layout is {layout!r}, but must be "NCHW" or "NHWC"')
    source, tensors = _read(path_or_dict)
    names, unexpected = _matched(net, tensors, rename)
    where = places(net.graph)
    arrays = {own: _as_array(name, tensors[name]) for own, name in names.items()}
    fitting = turn(arrays, names, where) if layout == "NHWC" else arrays
    report = WeightsReport(unexpected=unexpected)
    for own, place in where.items():
        if own not in arrays:
            report.missing.append(own)
        elif own in fitting and fitting[own].shape == place.shape:
            report.loaded.append(own)
        else:
            report.misshapen.append(own)
            wanted = keras_shape(place) if layout == "NHWC" else place.shape
            report.shapes[own] = arrays[own].shape, wanted
    if strict and (report.missing or report.unexpected or report.misshapen):
        raise ValueError(f"{source} not fit the network ({report}); strict=False loads what fits")
    # A large float64 becomes infinite in float32; a warning as an error would stop halfway.
    with np.errstate(over="ignore", invalid="ignore"):
        if check_finite:
            for own in report.loaded:
                _require_finite(names[own], fitting[own].astype(net.dtype, copy=False))
        with net.sharing.change("the loading of weights"):
            _write({own: fitting[own] for own in report.loaded}, where)
    return report


def load_torch_state(
    net: ConvNet, path_or_dict: Weights, rename: Rename | None = None
) -> WeightsReport:
    """Load the state of a PyTorch module into a network: `load_weights` with ``strict=True``.

    Parameters
    ----------
    net, path_or_dict, rename
        As in `load_weights`.

    Examples
    --------
    ``pc.load_torch_state(net, module.state_dict())``
    """
    return load_weights(net, path_or_dict, rename=rename)


def _read(path_or_dict: Weights) -> tuple[str, Mapping[str, Any]]:
    """Subject and verb for a message, and the tensors by name."""
    if isinstance(path_or_dict, Mapping):
        try:
            return "the weights do", named_tensors(path_or_dict, _is_tensor)
        except ValueError as error:
            raise ValueError(f"path_or_dict is no mapping of names to arrays: {error}") from error
    if not isinstance(path_or_dict, (str, os.PathLike)):
        came = type(path_or_dict).__name__
        raise TypeError(
            f"path_or_dict is a {came}, but must be a path or a mapping of names to arrays, such "
            "as model.state_dict()"
        )
    with open_regular(path_or_dict) as file:
        start = file.read(_START)
    source = f"{os.fspath(path_or_dict)} does"
    if is_torch(start):
        return source, read_torch(path_or_dict)
    return source, read_tensors(path_or_dict)[0]


def _is_tensor(value: object) -> bool:
    """Whether an entry of a mapping is an array, and no dict, text or number."""
    if isinstance(value, list):
        return not value or not isinstance(value[0], Mapping)
    return any(hasattr(value, mark) for mark in ("shape", "__array__", "__dlpack__"))


def _matched(
    net: ConvNet, tensors: Mapping[str, Any], rename: Rename | None
) -> tuple[dict[str, str], list[str]]:
    """The given name for each name of the network, and the names without a match."""
    renamed = {name: _renamed(name, rename) for name in tensors if not is_unused(name)}
    known = match_names(net.layers, [new for new in renamed.values() if new is not None])
    names: dict[str, str] = {}
    unexpected = []
    for name, new in renamed.items():
        if new is None:
            continue
        if (own := known.get(new)) is None:
            unexpected.append(name)
        elif own in names:
            raise ValueError(
                f"tensors {excerpt(names[own], 60)} and {excerpt(name, 60)} are both for {own}"
            )
        else:
            names[own] = name
    return names, unexpected


def _renamed(name: str, rename: Rename | None) -> str | None:
    if rename is None:
        return name
    new = rename.get(name, name) if isinstance(rename, Mapping) else rename(name)
    if new is not None and not isinstance(new, str):
        raise TypeError(f"rename makes {new!r} of {name!r}, but must make a str or None")
    return new


def _as_array(name: str, value: Any) -> Array:
    """Return a tensor as an array, without a copy if possible."""
    what = f"tensor {excerpt(name, 80)}"
    if getattr(value, "requires_grad", False):
        raise ValueError(f"{what} requires gradients: use module.state_dict() or tensor.detach()")
    if "bfloat16" in str(getattr(value, "dtype", "")):  # float32 holds the same number
        value = value.float() if hasattr(value, "float") else np.asarray(value).astype(np.float32)
    try:
        came = as_array(what, value)
    except Exception as error:  # each library has its own
        raise ValueError(excerpt(error, 200)) from error
    return array(what, came)


def _write(arrays: Mapping[str, Array], where: Mapping[str, Place]) -> None:
    by_layer: dict[Layer, dict[str, Array]] = {}
    for own, numbers in arrays.items():
        by_layer.setdefault(where[own].layer, {})[where[own].key] = numbers
    for layer, state in by_layer.items():
        # Weights that do not exist yet are not drawn only to be replaced.
        if not layer.is_drawn and layer.param_shapes and state.keys() >= layer.param_shapes.keys():
            for key, numbers in state.items():
                state[key] = empty(numbers.shape, layer.dtype)
                state[key][...] = numbers
            layer.set_state(state)
            continue
        targets = layer.state()
        for key, numbers in state.items():
            targets[key][...] = numbers


def _require_finite(name: str, numbers: Array) -> None:
    if not np.isfinite(numbers).all():
        raise ValueError(f"tensor {excerpt(name)} has numbers that are not finite")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(excerpt(name, 80) for name in names[:_MOST_NAMES])
    more = len(names) - _MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown
