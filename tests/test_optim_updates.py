"""The native in-place optimiser steps against their float64 definitions."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import pocketcnn.functional as F
import reference_optim
from tolerance import compute_roundoff

FLOATS = [np.float32, np.float64]
SHAPES = [(1,), (0,), (7,), (3, 5), (30, 1, 5, 5), (129, 67), (300_001,)]
STEPS = 4

# Roundings of one step, counted generously: the products and sums of the moments, a square
# root, a division, the bias corrections and the final subtraction.
ROUNDINGS = 16

Options = dict[str, Any]
SGD: list[Options] = [
    {"lr": 0.1, "momentum": m, "nesterov": n, "weight_decay": w}
    for m, n, w in itertools.product([0.0, 0.9], [False, True], [0.0, 0.01])
    if m or not n
]
ADAGRAD: list[Options] = [{"lr": 0.1, "eps": 1e-7, "weight_decay": w} for w in (0.0, 0.01)]
RMSPROP: list[Options] = [{**o, "alpha": 0.95} for o in ADAGRAD]
ADAM: list[Options] = [
    {"lr": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": w, "decoupled": d}
    for w, d in itertools.product([0.0, 0.1], [False, True])
]

CASES = [
    *[("sgd", options, 1 if options["momentum"] else 0) for options in SGD],
    *[("adagrad", options, 1) for options in ADAGRAD],
    *[("rmsprop", options, 1) for options in RMSPROP],
    *[("adam", options, 2) for options in ADAM],
]


def _id(value: object) -> str:
    return str(value).replace("'", "").replace(" ", "")


def _native(name: str) -> Callable[..., None]:
    function: Callable[..., None] = getattr(F, f"{name}_update")
    return function


def _draws(shape: tuple[int, ...], dtype: npt.DTypeLike) -> list[npt.NDArray[Any]]:
    """Draw the parameter and one gradient per step, away from zero where Adam's quotient jumps."""
    rng = np.random.default_rng([len(shape), *shape])
    sign = rng.choice([-1.0, 1.0], size=(1 + STEPS, *shape))
    return list((sign * rng.uniform(0.1, 2.0, size=sign.shape)).astype(dtype))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "options", "states"), CASES, ids=_id)
def test_steps_follow_the_definition(
    name: str, options: Options, states: int, shape: tuple[int, ...], dtype: npt.DTypeLike
) -> None:
    param, *grads = _draws(shape, dtype)
    state: list[Any] = [np.zeros(shape, dtype) for _ in range(states)] or [None]
    expected = param.astype(np.float64)
    expected_state: list[Any] = [None if s is None else s.astype(np.float64) for s in state]
    for step, grad in enumerate(grads, start=1):
        extra = {"step": step} if name == "adam" else {}
        kept = grad.copy()
        result: object = _native(name)(param, grad, *state, **options, **extra)
        assert result is None
        np.testing.assert_array_equal(grad, kept)
        expected, *expected_state = getattr(reference_optim, name)(
            expected, grad.astype(np.float64), *expected_state, **options, **extra
        )
    u = compute_roundoff(dtype)
    # Parameters stay below 4 and each step is at most a few: errors add up over the steps.
    bound = STEPS * ROUNDINGS * u * (np.abs(expected) + 4)
    assert (np.abs(param - expected) <= bound).all()
    for got, wanted in zip(state, expected_state, strict=True):
        if got is not None:
            # A moment is a sum over the steps of terms no larger than (2 + decay * 4)**2.
            assert (np.abs(got - wanted) <= STEPS * ROUNDINGS * u * (np.abs(wanted) + 8)).all()


def test_sgd_by_hand() -> None:
    param, velocity = np.array([1.0, -2.0]), np.array([0.5, 0.0])
    grad = np.array([0.25, 1.0])
    F.sgd_update(param, grad, velocity, lr=0.5, momentum=0.5, nesterov=False, weight_decay=0.0)
    np.testing.assert_array_equal(velocity, [0.5, 1.0])
    np.testing.assert_array_equal(param, [0.75, -2.5])
    F.sgd_update(param, grad, velocity, lr=0.5, momentum=0.5, nesterov=True, weight_decay=1.0)
    np.testing.assert_array_equal(velocity, [1.25, -1.0])
    np.testing.assert_array_equal(param, [0.75 - 0.5 * 1.625, -2.5 + 0.5 * 2.0])


def test_first_adam_step_is_the_learning_rate() -> None:
    """Bias correction makes the first step lr * sign(grad) when eps is negligible."""
    param, grad = np.zeros(3), np.array([1e-3, -5.0, 2e4])
    F.adam_update(
        param, grad, np.zeros(3), np.zeros(3), lr=0.1, beta1=0.9, beta2=0.999, eps=0.0,
        weight_decay=0.0, decoupled=False, step=1,
    )  # fmt: skip
    np.testing.assert_allclose(param, -0.1 * np.sign(grad), rtol=16 * np.finfo(float).eps)


GOOD: dict[str, tuple[int, Options]] = {
    "sgd": (1, SGD[-1]),
    "adagrad": (1, ADAGRAD[0]),
    "rmsprop": (1, RMSPROP[0]),
    "adam": (2, {**ADAM[0], "step": 1}),
}
STATE_NAMES = {
    "sgd": ["velocity"],
    "adagrad": ["square_sum"],
    "rmsprop": ["square_average"],
    "adam": ["m", "v"],
}


def _arguments(name: str) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    names = ["param", "grad", *STATE_NAMES[name]]
    return {n: rng.uniform(0.5, 1.0, size=(4, 6)).astype(np.float32) for n in names}


def _read_only(a: npt.NDArray[Any]) -> npt.NDArray[Any]:
    a.flags.writeable = False
    return a


# What is wrong with an array, and which error it must raise.
BAD_ARRAYS: list[tuple[str, Callable[[npt.NDArray[Any]], Any], type[Exception]]] = [
    ("float64 among float32", lambda a: a.astype(np.float64), TypeError),
    ("float16", lambda a: a.astype(np.float16), TypeError),
    ("int32", lambda a: a.astype(np.int32), TypeError),
    ("byte-swapped", lambda a: a.astype(a.dtype.newbyteorder()), TypeError),
    ("list", lambda a: a.tolist(), TypeError),
    ("other shape", lambda a: a[:3].copy(), ValueError),
    ("same size, other shape", lambda a: a.reshape(6, 4), ValueError),
    ("Fortran order", np.asfortranarray, ValueError),
    ("strided", lambda a: np.repeat(a, 2, axis=1)[:, ::2], ValueError),
]


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize(("problem", "spoil", "error"), BAD_ARRAYS, ids=[b[0] for b in BAD_ARRAYS])
def test_bad_arrays(
    name: str, problem: str, spoil: Callable[[npt.NDArray[Any]], Any], error: type[Exception]
) -> None:
    for which in _arguments(name):
        arguments = _arguments(name)
        before = {n: a.copy() for n, a in arguments.items()}
        bad = {**arguments, which: spoil(arguments[which])}
        with pytest.raises(error, match=r"\b(param|grad|velocity|square_\w+|m|v)\b"):
            _native(name)(**bad, **GOOD[name][1])
        for n, a in arguments.items():
            np.testing.assert_array_equal(a, before[n], err_msg=f"{problem}: {n} changed")


@pytest.mark.parametrize("name", GOOD)
def test_read_only_arrays_are_refused_where_written(name: str) -> None:
    for which in _arguments(name):
        arguments = _arguments(name)
        _read_only(arguments[which])
        if which == "grad":
            _native(name)(**arguments, **GOOD[name][1])
            continue
        with pytest.raises(ValueError, match=rf"\b{which}\b"):
            _native(name)(**arguments, **GOOD[name][1])


@pytest.mark.parametrize("second", [np.float32, np.float64])
@pytest.mark.parametrize("name", GOOD)
def test_lists_are_updated_as_their_arrays_one_by_one(name: str, second: npt.DTypeLike) -> None:
    sets = [_arguments(name), {k: a.astype(second) for k, a in _arguments(name).items()}]
    alone = [{k: a.copy() for k, a in arguments.items()} for arguments in sets]
    for arguments in alone:
        _native(name)(**arguments, **GOOD[name][1])
    _native(name)(**{k: [arguments[k] for arguments in sets] for k in sets[0]}, **GOOD[name][1])
    for together, wanted in zip(sets, alone, strict=True):
        for key, array in together.items():
            np.testing.assert_array_equal(array, wanted[key])


@pytest.mark.parametrize("name", GOOD)
def test_a_bad_array_in_a_list_leaves_all_as_they_are(name: str) -> None:
    for which in _arguments(name):
        good, bad = _arguments(name), _arguments(name)
        bad[which] = bad[which][..., :-1].copy()
        before = {k: a.copy() for k, a in good.items()}
        with pytest.raises(ValueError, match=r"shape"):
            _native(name)(**{k: [good[k], bad[k]] for k in good}, **GOOD[name][1])
        for key, array in good.items():
            np.testing.assert_array_equal(array, before[key])


def test_momentum_needs_a_velocity() -> None:
    param, grad = np.ones(3, np.float32), np.ones(3, np.float32)
    with pytest.raises((ValueError, TypeError), match="velocity"):
        F.sgd_update(param, grad, None, lr=0.1, momentum=0.9, nesterov=False, weight_decay=0.0)
    np.testing.assert_array_equal(param, 1)


@pytest.mark.parametrize("value", ["0.1", None, 1j, [0.1, 0.2]], ids=str)
@pytest.mark.parametrize("name", GOOD)
def test_hyper_parameters_of_the_wrong_kind(name: str, value: Any) -> None:
    options = GOOD[name][1]
    for which in options:
        if which in ("nesterov", "decoupled"):
            continue
        with pytest.raises(TypeError, match=rf"\b{which}\b") as caught:
            _native(name)(**_arguments(name), **{**options, which: value})
        assert "\n" not in str(caught.value)


def test_adam_counts_steps_from_one() -> None:
    for step in (0, -1):
        with pytest.raises(ValueError, match="step"):
            F.adam_update(**_arguments("adam"), **{**GOOD["adam"][1], "step": step})


# A gradient that is not computed yet


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("batch", [0, 1, 7, 8, 100, 300])
@pytest.mark.parametrize(("name", "options", "states"), CASES[::3], ids=_id)
def test_an_uncomputed_gradient_gives_the_step_of_the_product(
    name: str, options: Options, states: int, batch: int, dtype: npt.DTypeLike
) -> None:
    rng = np.random.default_rng(batch)
    grad, x = rng.uniform(0.5, 1, (batch, 83)).astype(dtype), rng.random((batch, 1203), dtype)
    param = rng.uniform(0.5, 1, (83, 1203)).astype(dtype)
    state: list[Any] = [np.zeros_like(param) for _ in range(states)] or [None]
    extra = {"step": 1} if name == "adam" else {}
    expected, *expected_state = getattr(reference_optim, name)(
        param.astype(np.float64),
        grad.T.astype(np.float64) @ x.astype(np.float64),
        *[None if s is None else s.astype(np.float64) for s in state],
        **options,
        **extra,
    )
    _native(name)(param, F.LinearWeightGrad(grad, x), *state, **options, **extra)
    # All summands of an element of the gradient are positive: its error is relative.
    rtol = (batch + ROUNDINGS) * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(param, expected, rtol=rtol, atol=rtol * max(1, batch))
    for mine, wanted in zip(state, expected_state, strict=False):
        if mine is not None:
            np.testing.assert_allclose(mine, wanted, rtol=2 * rtol, atol=0)


def test_an_uncomputed_gradient_that_does_not_fit() -> None:
    param = np.ones((3, 4), np.float32)
    settings: Options = {"lr": 0.1, "momentum": 0, "nesterov": False, "weight_decay": 0}
    with pytest.raises(ValueError, match="rows"):
        F.LinearWeightGrad(np.ones((2, 3)), np.ones((1, 4)))
    for grad in (np.ones((2, 4), np.float32), np.ones((2, 3), np.float64)):
        unfit = F.LinearWeightGrad(grad, np.ones((2, 4), np.float32))
        with pytest.raises((ValueError, TypeError), match=r"\bgrad\b"):
            F.sgd_update([param, param], [param, unfit], None, **settings)
    np.testing.assert_array_equal(param, 1)


def test_numpy_sees_an_uncomputed_gradient_as_its_array() -> None:
    rng = np.random.default_rng(0)
    grad, x = rng.integers(-4, 5, (6, 3)), rng.integers(-4, 5, (6, 2))
    unfinished, wanted = F.LinearWeightGrad(grad, x), grad.T @ x
    np.testing.assert_array_equal(np.asarray(unfinished), wanted)
    np.testing.assert_array_equal(0.5 * unfinished - wanted, -0.5 * wanted)
    np.testing.assert_array_equal(np.clip(unfinished, -1, 1), np.clip(wanted, -1, 1))
    assert np.asarray(unfinished, np.float64).dtype == np.float64
