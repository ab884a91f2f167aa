"""Networks that run in one native call, whatever their layers."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pocketcnn._arguments import Array, contiguous
from pocketcnn._core import Session

__all__ = ["Session", "make_session"]


def make_session(architecture: str, tensors: Mapping[str, Array]) -> Session:
    """Make a network from its architecture in JSON, and from all of its tensors.

    Raises
    ------
    ValueError
        It has a layer that the core does not know.
    """
    content = json.loads(architecture)
    return Session(
        content, {name: contiguous(array, array.dtype) for name, array in tensors.items()}
    )
