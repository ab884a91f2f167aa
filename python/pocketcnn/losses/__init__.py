"""What training minimises, and the counts reported beside it.

A loss is called as ``loss(output, t, sample_weight=None) -> (mean, gradient)``. The classes here
also check targets before training begins; a function of that form is a loss too. The definitions
are PyTorch's.
"""

from typing import TYPE_CHECKING

from pocketcnn._lazy import import_when_used
from pocketcnn.losses.scores import count_correct, count_hits, cross_entropy

if TYPE_CHECKING:
    from pocketcnn.losses.base import Loss
    from pocketcnn.losses.binary_cross_entropy import BinaryCrossEntropy
    from pocketcnn.losses.cross_entropy_loss import CrossEntropy
    from pocketcnn.losses.mean_squared_error import MeanSquaredError

__all__ = [
    "BinaryCrossEntropy",
    "CrossEntropy",
    "Loss",
    "MeanSquaredError",
    "count_correct",
    "count_hits",
    "cross_entropy",
]

# A program that only runs a network needs none of them.
_PLACES = {
    "BinaryCrossEntropy": "binary_cross_entropy",
    "CrossEntropy": "cross_entropy_loss",
    "Loss": "base",
    "MeanSquaredError": "mean_squared_error",
}

if not TYPE_CHECKING:  # which knows the names from above, and no others
    __getattr__ = import_when_used(__name__, _PLACES)


def __dir__() -> list[str]:
    """List the public names, which completion shows."""
    return sorted(__all__)
