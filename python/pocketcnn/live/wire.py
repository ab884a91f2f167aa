"""Arrays and JSON in one answer: a length, a JSON object of that many bytes, then the arrays.

Under "arrays" the object has each array's dtype, shape and offset behind the object. Offsets are
multiples of eight, so that a browser views them where they lie; `static/backend.js` reads this.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_STEP = 8


def pack(values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Write an answer; numbers that JSON has not become null."""
    parts: list[bytes] = []
    table = {}
    offset = 0
    for name, array in arrays.items():
        raw = np.ascontiguousarray(array).tobytes()
        table[name] = {"dtype": array.dtype.name, "shape": array.shape, "offset": offset}
        parts += [raw, bytes(-len(raw) % _STEP)]
        offset += len(raw) + len(parts[-1])
    head = to_json({**values, "arrays": table})
    head += b" " * (-(len(head) + 4) % _STEP)
    return b"".join([len(head).to_bytes(4, "little"), head, *parts])


def to_json(value: Any) -> bytes:
    """Write JSON; NaN and infinities become null."""
    return json.dumps(_finite(value), allow_nan=False, separators=(",", ":")).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
