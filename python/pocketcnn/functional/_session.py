"""Networks that run in one native call, whatever their layers."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pocketcnn._arguments import Array, contiguous
from pocketcnn._core import Session

__all__ = ["Session", "make_session"]


def make_session(
    architecture: str, tensors: Mapping[str, Array], *, narrow: bool = False
) -> Session:
    """Make a network from its architecture in JSON, and from all of its tensors.

    If it is to be `narrow`, large fully connected layers of float32 keep weights as bfloat16.

    Raises
    ------
    ValueError
        It has a layer that the core does not know.
    """
    content = json.loads(architecture)
    arrays = {name: contiguous(array, array.dtype) for name, array in tensors.items()}
    return Session(content, arrays, narrow)
