"""Optimisers, one per file: small classes that change parameter arrays in place.

The definitions are PyTorch's; where they differ from the paper, the class says so.
"""

from pocketcnn.optim.adagrad import AdaGrad
from pocketcnn.optim.adam import Adam, AdamW
from pocketcnn.optim.base import Optimizer
from pocketcnn.optim.rmsprop import RMSprop
from pocketcnn.optim.sgd import SGD

__all__ = [
    "SGD",
    "AdaGrad",
    "Adam",
    "AdamW",
    "Optimizer",
    "RMSprop",
]


def __dir__() -> list[str]:
    """List the public names, which completion shows."""
    return sorted(__all__)
