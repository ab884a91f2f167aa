"""Splits are stratified, repeatable and complete."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pocketcnn.data import Arrays, Subset, split


def parts(t: Any, share: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the samples in each part."""
    (first, t_first), (second, t_second) = split((np.arange(len(t)), t), share, seed)
    np.testing.assert_array_equal(np.asarray(t)[first], t_first)
    np.testing.assert_array_equal(np.asarray(t)[second], t_second)
    assert sorted([*first, *second]) == list(range(len(t)))
    assert all(list(part) == sorted(part) for part in (first, second))
    return first, second


def test_every_class_has_its_share() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        counts = rng.integers(1, 40, rng.integers(1, 9))
        share = float(rng.uniform(0.02, 0.98))
        t = rng.permutation(np.repeat(np.arange(len(counts)), counts))
        if counts.max() == 1:
            continue
        first, second = parts(t, share, int(rng.integers(100)))
        held = np.bincount(t[second], minlength=len(counts))
        for count, its_held in zip(counts, held, strict=True):
            if count == 1:
                assert its_held == 0
            else:
                assert 1 <= its_held <= count - 1
                assert abs(its_held - share * count) <= 1
        # The whole is off only where a class of few needed one on the other side.
        assert abs(len(second) - round(share * len(t))) <= len(counts)
        assert len(first)


def test_the_shares_of_small_classes_sum_up() -> None:
    t = np.repeat(np.arange(10), 15)
    assert len(parts(t, 0.1)[1]) == 15  # 1.5 of each
    assert np.bincount(t[parts(t, 0.1)[1]]).tolist() == [2] * 5 + [1] * 5


def test_a_seed_repeats_and_another_differs() -> None:
    t = np.random.default_rng(0).integers(0, 3, 50)
    np.testing.assert_array_equal(parts(t, 0.3, 7)[1], parts(t, 0.3, 7)[1])
    assert not np.array_equal(parts(t, 0.3, 7)[1], parts(t, 0.3, 8)[1])
    # Which labels there are does not change what is drawn.
    np.testing.assert_array_equal(parts(t, 0.3)[1], parts(t * 5 - 2, 0.3)[1])
    np.testing.assert_array_equal(parts(t, 0.3)[1], parts(np.array(["a", "b", "c"])[t], 0.3)[1])


@pytest.mark.parametrize("t", [np.linspace(0, 1, 20), np.eye(20)])
def test_other_targets_are_split_without_classes(t: np.ndarray) -> None:
    assert len(parts(t, 0.25)[1]) == 5


class Unlabelled:
    """A data set that does not know its labels without reading."""

    def __init__(self, t: np.ndarray) -> None:
        self.t = t

    def __len__(self) -> int:
        return len(self.t)

    def batch(self, indices: np.ndarray, /) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((len(indices), 1)), self.t[indices]


def test_data_sets_are_split_like_arrays() -> None:
    t = np.random.default_rng(1).integers(0, 4, 600)
    wanted = parts(t, 0.2)
    for dataset in (Arrays(np.zeros((600, 1)), t, list("abcd")), Unlabelled(t)):
        found = split(dataset, 0.2)
        for part, right in zip(found, wanted, strict=True):
            assert isinstance(part, Subset)
            np.testing.assert_array_equal(part.indices, right)
    assert found[0].classes is None
    assert split(Arrays(np.zeros((600, 1)), t, list("abcd")), 0.2)[1].classes == list("abcd")


@pytest.mark.parametrize(
    ("dataset", "share", "error", "message"),
    [
        ((np.zeros(4), [0, 0, 1, 1]), 0, ValueError, "share is 0"),
        ((np.zeros(4), [0, 0, 1, 1]), 1, ValueError, "share is 1"),
        ((np.zeros(4), [0, 1, 2, 3]), 0.5, ValueError, "leaves a part empty"),
        ((np.zeros(0), np.zeros(0, int)), 0.5, ValueError, "leaves a part empty"),
        ((np.zeros(4), [0, 0, 1, 1]), 1.5, ValueError, "share is 1.5"),
        ((np.zeros(4), [0, 0, 1, 1]), "a", TypeError, "share is 'a'"),
        ((np.zeros(4), [0, 0, 1]), 0.5, ValueError, r"t has shape \(3,\)"),
        ((np.zeros(4),), 0.5, ValueError, "a tuple of 1"),
        (np.zeros(4), 0.5, TypeError, "dataset is a ndarray"),
    ],
)
def test_odd_arguments(dataset: Any, share: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        split(dataset, share)
    with pytest.raises(ValueError, match="seed is -1"):
        split((np.zeros(4), [0, 0, 1, 1]), 0.5, -1)
