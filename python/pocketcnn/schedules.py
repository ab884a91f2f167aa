"""Learning-rate schedules: callbacks that set the optimiser's rate."""

from pocketcnn.training.schedules import Cosine, OneCycle, Plateau, Schedule, Steps

__all__ = [
    "Cosine",
    "OneCycle",
    "Plateau",
    "Schedule",
    "Steps",
]


def __dir__() -> list[str]:
    """List the public names, which completion shows."""
    return sorted(__all__)
