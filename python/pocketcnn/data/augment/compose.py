"""Several augmentations, and their description."""

from __future__ import annotations

import re
from typing import Any

from pocketcnn.data.augment.base import Augment, Mixing


class Compose:
    """One augmentation after the other.

    Parameters
    ----------
    *steps : callables (x, rng) -> x
        The first is applied first. Those with `mixes = True`, such as `MixUp`, are called with
        (x, t, rng) and return both; a `Compose` with one of them has `mixes = True` too.

    Examples
    --------
    >>> import numpy as np
    >>> from pocketcnn.data import RandomCrop, RandomFlip
    >>> augment = Compose(RandomCrop(2), RandomFlip())
    >>> augment
    Compose(RandomCrop(padding=2, reflect=False), RandomFlip(p=0.5))
    >>> augment(np.ones((8, 3, 32, 32)), np.random.default_rng(0)).shape
    (8, 3, 32, 32)
    """

    def __init__(self, *steps: Augment | Mixing) -> None:
        for step in steps:
            if not callable(step):
                raise TypeError(f"steps has {step!r}: wanted callables (x, rng) -> x")
        self.steps = steps

    @property
    def mixes(self) -> bool:
        """Whether a step changes targets too."""
        return any(getattr(step, "mixes", False) for step in self.steps)

    def __call__(self, x: Any, *rest: Any) -> Any:
        """Apply all steps to x (N, C, H, W).

        Parameters
        ----------
        x : ndarray (N, C, H, W)
        t : ndarray (N, K)
            Only if the composition mixes: the probabilities of the classes.
        rng : numpy.random.Generator

        Returns
        -------
        x, or (x, t) if t was given
        """
        wanted = 2 if self.mixes else 1
        if not wanted <= len(rest) <= 2:
            raise TypeError(f"{self!r} takes {'x, t and rng' if self.mixes else 'x and rng'}")
        *targets, rng = rest
        for step in self.steps:
            if getattr(step, "mixes", False):
                x, targets[0] = step(x, targets[0], rng)  # type: ignore[call-arg]
            else:
                x = step(x, rng)  # type: ignore[call-arg]
        return (x, targets[0]) if targets else x

    def __repr__(self) -> str:
        return f"Compose({', '.join(map(describe, self.steps))})"


def describe(augment: object) -> str:
    """Describe a callable by the same text in every process, without its address.

    Examples
    --------
    >>> import numpy as np
    >>> from pocketcnn.data import RandomFlip
    >>> describe(RandomFlip()), describe(np.flip)
    ('RandomFlip(p=0.5)', 'numpy.flip')
    """
    name = getattr(augment, "__qualname__", None)
    if isinstance(name, str):
        module = getattr(augment, "__module__", None)
        return f"{module}.{name}" if module else name
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(augment))
