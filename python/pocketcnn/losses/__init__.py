"""What training minimises, and the counts reported beside it.

A loss is called as ``loss(output, t, sample_weight=None) -> (mean, gradient)``. The classes here
also check targets before training begins; a function of that form is a loss too. The definitions
are PyTorch's.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

# Imported when first used: a program that only runs a network needs none of them.
_MODULE_OF = {
    "BinaryCrossEntropy": "binary_cross_entropy",
    "CrossEntropy": "cross_entropy_loss",
    "Loss": "base",
    "MeanSquaredError": "mean_squared_error",
}


def __getattr__(name: str) -> Any:
    """Import the module of a class when it is first used."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'pocketcnn.losses' has no attribute {name!r}")
    value = getattr(import_module(f"pocketcnn.losses.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, which completion shows."""
    return sorted(__all__)
