"""The parts of a case of ``layers``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Dtype: TypeAlias = np.dtype[Any]
Call: TypeAlias = Callable[[], object]

_LAYOUTS = {"NCHW": torch.contiguous_format, "NHWC": torch.channels_last}


@dataclass(frozen=True)
class Task:
    """One pass: our call, and PyTorch's per layout of its images."""

    ours: Call
    peers: Mapping[str, Call]


@dataclass(frozen=True)
class Case:
    """A layer of certain sizes; `make` draws the arrays and gives a task for each step."""

    group: str
    name: str
    steps: tuple[str, ...]
    make: Callable[[Dtype], dict[str, Task]]
    flop: float = 0.0


def draw(dtype: Dtype, *shape: int) -> Array:
    """Draw the same normal numbers every time."""
    return np.random.default_rng(0).standard_normal(shape, np.float32).astype(dtype)


def in_layouts(call: Callable[..., Any], *arrays: Array) -> dict[str, Call]:
    """Bind the call to the arrays as tensors, once in each memory layout."""
    bound: dict[str, Call] = {}
    for name, layout in _LAYOUTS.items():
        tensors = [torch.from_numpy(a).contiguous(memory_format=layout) for a in arrays]
        bound[name] = partial(call, *tensors)
    return bound
