"""Learning-rate schedules: callbacks that set the optimiser's rate before every update."""

from pocketcnn.training.schedules import Cosine, OneCycle, Schedule, Steps

__all__ = [
    "Cosine",
    "OneCycle",
    "Schedule",
    "Steps",
]


def __dir__() -> list[str]:
    """List the public names, which completion shows."""
    return sorted(__all__)
