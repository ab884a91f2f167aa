"""The batches of a data set that is measured: checked, and read ahead."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from pocketcnn._arguments import Array


def batches_of(name: str, dataset: Any, size: int) -> Generator[tuple[Array, Array], None, None]:
    """Yield all samples of a data set, `size` at a time; see `pocketcnn.data.prefetch`.

    Raises
    ------
    TypeError
        It is no data set.
    ValueError
        It is empty.
    """
    from pocketcnn.data import Dataset  # a network is used without data sets too
    from pocketcnn.data.prefetch import in_order

    if not isinstance(dataset, Dataset):
        raise TypeError(
            f"t is missing: {name} is a {type(dataset).__name__}, and no data set with a length "
            "and batch(indices)"
        )
    if len(dataset) == 0:
        raise ValueError(f"{name} is a data set without samples")
    return in_order(dataset, size)
