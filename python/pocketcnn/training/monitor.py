"""Quantities that callbacks watch: which way is better, and what an epoch had."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, TypeAlias

import numpy as np

from pocketcnn.training.history import COLUMNS, Record
from pocketcnn.training.metrics import rises

Mode: TypeAlias = Literal["min", "max"]


def direction(monitor: str, mode: Mode | None) -> bool:
    """Whether a monitored quantity should rise.

    Raises
    ------
    ValueError
        Its name does not tell, and `mode` is not given; or `mode` is neither "min" nor "max".
    """
    if mode not in (None, "min", "max"):
        raise ValueError(f"mode is {mode!r}: wanted 'min' or 'max'")
    rising = rises(monitor) if mode is None else mode == "max"
    if rising is None:
        raise ValueError(
            f"monitor is {monitor!r}: wanted one of {', '.join(COLUMNS)}, or a metric such as "
            "'val_f1'; one of your own needs mode='min' or 'max'"
        )
    return rising


def monitored(record: Record, monitor: str) -> float:
    """Return a quantity of an epoch; NaN if it had no value.

    Raises
    ------
    ValueError
        It is not measured.
    """
    values: Mapping[str, object] = dict(record)
    value = values.get(monitor)
    if isinstance(value, (int, float, np.integer, np.floating)):
        return float(value)
    if monitor in values and values.get("val_loss") is not None and monitor not in COLUMNS:
        return math.nan  # a metric of classes of which there are none
    if monitor.startswith("val_") and values.get("val_loss") is None:
        raise ValueError(f"monitor {monitor!r} needs validation data: fit was given none")
    raise ValueError(f"monitor {monitor!r} is not measured by this trainer")


def improves(value: float, best: float | None, rising: bool, min_delta: float) -> bool:
    """Whether a value is better than the best so far by more than `min_delta`."""
    if best is None:
        return not math.isnan(value)
    # NaN, also as the difference of two infinities, never counts as larger.
    return (value - best) * (1 if rising else -1) > min_delta
