"""Images made of two, with the targets of both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pocketcnn import _arguments
from pocketcnn.data.augment.base import Array, check_batch, keep, restored


@dataclass(frozen=True)
class MixUp:
    """Mix every image, and its target, with another of the batch.

    Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", 2017
    (arXiv:1710.09412): both are `share * one + (1 - share) * other`, with a share from the beta
    distribution. Every image has its own share; the others are the batch in random order.

    Parameters
    ----------
    alpha : float, default 0.2
        Both parameters of the beta distribution: small ones leave most images nearly alone.
    p : float, default 1
        Probability that an image is mixed.
    """

    alpha: float = 0.2
    p: float = 1.0

    mixes = True

    def __post_init__(self) -> None:
        _check_settings(self)

    def __call__(self, x: Array, t: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        """Mix images and targets.

        Parameters
        ----------
        x : ndarray (N, C, H, W)
            Integers are rounded to the nearest.
        t : ndarray of float (N, K)
            Probabilities of the classes.
        rng : numpy.random.Generator
        """
        x, t = check_batch(x, rng), _check_targets(t, len(x))
        share, other = _draw(rng, len(x), self.alpha, self.p)
        dtype = np.result_type(x, np.float32)
        part = share.astype(dtype)[:, None, None, None]
        mixed = x * part
        mixed += x[other] * (1 - part)
        return restored(mixed, x.dtype), _mix(t, share, other)


@dataclass(frozen=True)
class CutMix:
    """Paste a rectangle of another image of the batch into every image, and mix the targets so.

    Yun, Han, Oh, Chun, Choe, Yoo, "CutMix: Regularization Strategy to Train Strong Classifiers with
    Localizable Features", 2019 (arXiv:1905.04899): the rectangle has the image's aspect ratio, a
    share of its area from the beta distribution, and any pixel as its centre, so that a part of it
    may lie outside. Targets are mixed by the area that was pasted.

    Parameters
    ----------
    alpha : float, default 1
        Both parameters of the beta distribution; 1 makes all shares equally likely.
    p : float, default 1
        Probability that an image is mixed.
    """

    alpha: float = 1.0
    p: float = 1.0

    mixes = True

    def __post_init__(self) -> None:
        _check_settings(self)

    def __call__(self, x: Array, t: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        """Mix images and targets: as `MixUp`."""
        x, t = check_batch(x, rng), _check_targets(t, len(x))
        count, _, rows, columns = x.shape
        share, other = _draw(rng, count, self.alpha, self.p)
        centres = rng.integers(0, (rows, columns), (count, 2))
        sizes = (np.sqrt(1 - share)[:, None] * (rows, columns)).astype(np.int64)
        starts = np.maximum(centres - sizes // 2, 0)
        ends = np.minimum(centres - sizes // 2 + sizes, (rows, columns))
        out = np.array(x, order="C")
        for image, (top, left, bottom, right) in enumerate(np.hstack([starts, ends]).tolist()):
            out[image, :, top:bottom, left:right] = x[other[image], :, top:bottom, left:right]
        return out, _mix(t, 1 - (ends - starts).prod(axis=1) / (rows * columns), other)


def _check_settings(augment: MixUp | CutMix) -> None:
    keep(augment, "alpha", _arguments.number("alpha", augment.alpha, 1e-3, 1e6))
    keep(augment, "p", _arguments.number("p", augment.p, 0.0, 1.0))


def _check_targets(t: Array, count: int) -> Array:
    t = _arguments.as_array("t", t)
    if t.dtype.kind != "f":
        raise TypeError(f"t has dtype {t.dtype}, but what is mixed are probabilities (N, K)")
    if t.ndim < 2 or len(t) != count:
        raise ValueError(f"t has shape {t.shape}, but must be ({count}, K) for {count} images")
    return t


def _draw(rng: np.random.Generator, count: int, alpha: float, p: float) -> tuple[Array, Array]:
    """The share that every image keeps, and the number of the image that it is mixed with."""
    other = rng.permutation(count)
    share = rng.beta(alpha, alpha, count)
    share[rng.random(count) >= p] = 1
    return share, other


def _mix(t: Array, share: Array, other: Array) -> Array:
    part = share.astype(t.dtype).reshape(-1, *[1] * (t.ndim - 1))
    mixed: Array = t * part + t[other] * (1 - part)
    return mixed
