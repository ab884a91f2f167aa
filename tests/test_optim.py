"""Optimisers against scalar formulas in plain Python, and against steps computed by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from pocketcnn import optim

STEPS = 12

# Per step a few dozen operations, each off by at most half a unit in the last place of numbers
# of about 1; the errors of the steps add.
TOLERANCE = STEPS * 32 * np.finfo(np.float64).eps


def sgd(grads: list[float], p: float, lr: float, mu: float, nesterov: bool, wd: float) -> float:
    """Sutskever et al. 2013 in PyTorch's form."""
    v = 0.0
    for grad in grads:
        g = grad + wd * p
        v = mu * v + g
        p -= lr * (g + mu * v) if nesterov else lr * v
    return p


def adagrad(grads: list[float], p: float, lr: float, eps: float, wd: float) -> float:
    """Duchi et al. 2011."""
    total = 0.0
    for grad in grads:
        g = grad + wd * p
        total += g**2
        p -= lr * g / (math.sqrt(total) + eps)
    return p


def rmsprop(grads: list[float], p: float, lr: float, alpha: float, eps: float, wd: float) -> float:
    """Hinton 2012."""
    mean = 0.0
    for grad in grads:
        g = grad + wd * p
        mean = alpha * mean + (1 - alpha) * g**2
        p -= lr * g / (math.sqrt(mean) + eps)
    return p


def adam(
    grads: list[float], p: float, lr: float, b1: float, b2: float, eps: float, wd: float, w: float
) -> float:
    """Kingma and Ba 2015, algorithm 1; `w` is the decoupled decay of Loshchilov and Hutter 2019."""
    m = v = 0.0
    for k, grad in enumerate(grads, start=1):
        p -= lr * w * p
        g = grad + wd * p
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        p -= lr * (m / (1 - b1**k)) / (math.sqrt(v / (1 - b2**k)) + eps)
    return p


CASES: dict[str, tuple[Callable[[], optim.Optimizer], Callable[[list[float], float], float]]] = {
    "sgd": (lambda: optim.SGD(0.1), lambda g, p: sgd(g, p, 0.1, 0, False, 0)),
    "sgd, decay": (
        lambda: optim.SGD(0.1, weight_decay=0.3),
        lambda g, p: sgd(g, p, 0.1, 0, False, 0.3),
    ),
    "sgd, momentum, decay": (
        lambda: optim.SGD(0.1, 0.9, weight_decay=0.3),
        lambda g, p: sgd(g, p, 0.1, 0.9, False, 0.3),
    ),
    "sgd, nesterov": (
        lambda: optim.SGD(0.1, momentum=0.8, nesterov=True),
        lambda g, p: sgd(g, p, 0.1, 0.8, True, 0),
    ),
    "adagrad": (
        lambda: optim.AdaGrad(0.2, eps=1e-3, weight_decay=0.1),
        lambda g, p: adagrad(g, p, 0.2, 1e-3, 0.1),
    ),
    "rmsprop": (
        lambda: optim.RMSprop(0.02, alpha=0.8, eps=1e-3, weight_decay=0.1),
        lambda g, p: rmsprop(g, p, 0.02, 0.8, 1e-3, 0.1),
    ),
    "adam": (
        lambda: optim.Adam(0.05, beta1=0.8, beta2=0.95, eps=1e-4, weight_decay=0.1),
        lambda g, p: adam(g, p, 0.05, 0.8, 0.95, 1e-4, 0.1, 0),
    ),
    "adamw": (
        lambda: optim.AdamW(0.05, weight_decay=0.2),
        lambda g, p: adam(g, p, 0.05, 0.9, 0.999, 1e-8, 0, 0.2),
    ),
}

every_case = pytest.mark.parametrize("case", CASES)


@every_case
@pytest.mark.parametrize("seed", range(3))
def test_steps_follow_the_formula(case: str, seed: int) -> None:
    make, formula = CASES[case]
    rng = np.random.default_rng(seed)
    start = {"conv.weight": rng.standard_normal((3, 2, 5, 5)), "fc.bias": rng.standard_normal(7)}
    params = {name: array.copy() for name, array in start.items()}
    grads = [{k: rng.standard_normal(a.shape) for k, a in start.items()} for _ in range(STEPS)]
    optimizer = make()
    for step in grads:
        optimizer.update(params, step)
    for name, array in params.items():
        for index in np.ndindex(array.shape):
            wanted = formula([float(g[name][index]) for g in grads], float(start[name][index]))
            assert array[index] == pytest.approx(wanted, rel=0, abs=TOLERANCE), (name, index)


@pytest.mark.parametrize(
    ("optimizer", "wanted"),
    [
        # w = 1, gradients 2 and then 1.
        (optim.SGD(0.1), [0.8, 0.7]),
        (optim.SGD(0.1, momentum=0.5), [0.8, 0.6]),  # v = 2, 2
        (optim.SGD(0.1, 0.5, nesterov=True), [0.7, 0.5]),  # g + v/2 = 3, 2
        (optim.SGD(0.1, weight_decay=1.0), [0.7, 0.53]),  # g = 3, 1.7
        (optim.AdaGrad(0.1, eps=0.0), [0.9, 0.9 - 0.1 / math.sqrt(5)]),
        (optim.RMSprop(0.1, alpha=0.75, eps=0.0), [0.8, 0.8 - 0.1]),  # s = 1, 1
        (
            optim.Adam(0.1, eps=0.0),
            [0.9, 0.9 - 0.1 * (0.28 / 0.19) / math.sqrt(0.004996 / 0.001999)],
        ),
        (optim.AdamW(0.1, eps=0.0, weight_decay=0.5), [0.85]),  # 1 * (1 - 0.05) - 0.1
    ],
    ids=repr,
)
def test_steps_computed_by_hand(optimizer: optim.Optimizer, wanted: list[float]) -> None:
    w = np.array([1.0])
    for grad, value in zip((2.0, 1.0), wanted, strict=False):
        optimizer.update({"w": w}, {"w": np.array([grad])})
        assert w[0] == pytest.approx(value, rel=1e-14)


@every_case
def test_float32_follows_float64(case: str) -> None:
    rng = np.random.default_rng(5)
    wide = {"w": rng.standard_normal(1000)}
    narrow = {"w": wide["w"].astype(np.float32)}
    for optimizer, params in ((CASES[case][0](), wide), (CASES[case][0](), narrow)):
        rng = np.random.default_rng(6)
        for _ in range(STEPS):
            grad = rng.standard_normal(1000) + 2.0  # away from zero, where Adam's sign flips
            optimizer.update(params, {"w": grad.astype(params["w"].dtype)})
    assert narrow["w"].dtype == np.float32
    # As TOLERANCE, for float32 and numbers of up to about 30.
    limit = STEPS * 32 * 32 * np.finfo(np.float32).eps
    np.testing.assert_allclose(narrow["w"], wide["w"], rtol=0, atol=limit)


@every_case
def test_update_changes_params_in_place_and_leaves_grads(case: str) -> None:
    w, grad = np.ones(4, np.float32), np.full(4, 0.5, np.float32)
    alias = w.view()
    optimizer = CASES[case][0]()
    optimizer.update({"w": w}, {"w": grad})
    assert np.all(alias != 1)
    np.testing.assert_array_equal(grad, np.full(4, 0.5, np.float32))
    assert optimizer.steps == 1


@every_case
def test_state_dict_continues_to_the_same_bits(case: str) -> None:
    def run(optimizer: optim.Optimizer, w: np.ndarray, steps: range) -> None:
        for step in steps:
            grad = np.random.default_rng(step).standard_normal(50).astype(np.float32)
            optimizer.update({"w": w}, {"w": grad})

    whole = np.linspace(-1, 1, 50, dtype=np.float32)
    parts = whole.copy()
    run(CASES[case][0](), whole, range(10))
    first, second = CASES[case][0](), CASES[case][0]()
    run(first, parts, range(4))
    second.lr = 123.0  # hyper-parameters are restored too
    second.load_state_dict(first.state_dict())
    run(first, parts.copy(), range(4, 5))  # what was loaded is a copy
    run(second, parts, range(4, 10))
    np.testing.assert_array_equal(parts, whole)


def test_state_of_another_optimizer_is_refused() -> None:
    adam = optim.Adam()
    adam.update({"w": np.ones(2)}, {"w": np.ones(2)})
    with pytest.raises(ValueError, match="Adam"):
        optim.Adam().load_state_dict(optim.SGD(0.1, 0.9).state_dict())
    with pytest.raises(ValueError, match="SGD"):
        optim.SGD(0.1).load_state_dict(adam.state_dict())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("lr", -1.0), ("lr", math.nan), ("lr", "0.1"), ("lr", None), ("lr", True)),
        *(("momentum", 1.0), ("nesterov", 1), ("weight_decay", -1e-3)),
        *(("steps", -1), ("steps", 1.5), ("velocity/w", [0.0]), ("speed/w", np.zeros(2))),
        ("velocity", np.zeros(2)),
    ],
)
def test_a_state_that_is_none_is_refused_as_a_whole(name: str, value: object) -> None:
    optimizer = optim.SGD(0.1, 0.9)
    optimizer.update({"w": np.ones(2)}, {"w": np.ones(2)})
    before = optimizer.state_dict()
    other = optim.SGD(0.2, 0.8, nesterov=True).state_dict()
    with pytest.raises((TypeError, ValueError), match=name.partition("/")[0]):
        optimizer.load_state_dict({"velocity/w": np.zeros(2), **other, name: value})
    after = optimizer.state_dict()
    np.testing.assert_array_equal(after.pop("velocity/w"), before.pop("velocity/w"))
    assert after == before


@pytest.mark.parametrize(
    ("grad", "error", "message"),
    [
        (np.ones(3), TypeError, "the gradient of 'fc.weight' has dtype float64, but .* float32"),
        (np.ones(2, np.float32), ValueError, r"gradient of 'fc.weight' has shape \(2,\), but"),
    ],
)
def test_a_gradient_that_does_not_fit_is_named(
    grad: np.ndarray, error: type[Exception], message: str
) -> None:
    """For example one clipped with a float64 number, to which NumPy 2 promotes."""
    fitting = np.ones(3, np.float32)
    params = {"conv.weight": fitting.copy(), "fc.weight": fitting.copy()}
    with pytest.raises(error, match=message):
        optim.SGD(0.1).update(params, {"conv.weight": fitting, "fc.weight": grad})
    np.testing.assert_array_equal(params["conv.weight"], fitting)


def test_different_keys_are_refused() -> None:
    with pytest.raises(ValueError, match=r"only one has \['b'\]"):
        optim.SGD(0.1).update({"a": np.ones(1), "b": np.ones(1)}, {"a": np.ones(1)})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.SGD(-0.1), "lr is -0.1"),
        (lambda: optim.SGD(math.nan), "lr is nan"),
        (lambda: optim.SGD(0.1, momentum=1.0), "momentum is 1.0"),
        (lambda: optim.SGD(0.1, nesterov=True), "nesterov=True needs a momentum"),
        (lambda: optim.AdaGrad(eps=-1.0), "eps is -1.0"),
        (lambda: optim.RMSprop(alpha=1.5), "alpha is 1.5"),
        (lambda: optim.Adam(beta1=1.0), "beta1 is 1.0"),
        (lambda: optim.AdamW(weight_decay=-0.1), "weight_decay is -0.1"),
    ],
)
def test_bad_hyperparameters_are_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_repr_tells_the_hyperparameters() -> None:
    assert repr(optim.SGD(0.1)) == "SGD(lr=0.1, momentum=0.0, nesterov=False, weight_decay=0.0)"
