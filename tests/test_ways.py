"""The tables of convolution algorithms: the planned one runs, and so does a requested one."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import pocketcnn.functional as F
import reference
from conv_cases import ConvCase
from pocketcnn import _core

ROOT = Path(__file__).parent.parent
PASSES = ("forward", "input_grad", "weight_grad")

# Each is planned for another algorithm in some pass.
CASES = [
    ConvCase((2, 16, 20, 19), 20, (3, 3), padding=1),
    ConvCase((2, 16, 20, 24), 16, (7, 7), padding=3),
    ConvCase((2, 16, 22, 20), 16, (3, 3), padding=2, dilation=2),
    ConvCase((2, 16, 9, 10), 16, (3, 3), padding=1, groups=16),
    ConvCase((3, 1, 12, 13), 10, (5, 5)),
    ConvCase((2, 40, 7, 6), 24, (1, 1)),
    ConvCase((2, 40, 9, 8), 24, (1, 1), stride=2),
    ConvCase((1, 64, 6, 7), 86, (3, 3), padding=1),
    ConvCase((2, 40, 13, 12), 24, (3, 3), stride=2, padding=1),
    ConvCase((16, 3, 32, 32), 8, (3, 3), stride=2, padding=1),
    ConvCase((2, 6, 11, 12), 4, (2, 3), stride=2, dilation=2),
    ConvCase((1, 82, 58, 57), 24, (1, 1), stride=2),
    ConvCase((2, 40, 9, 8), 24, (1, 1)),
    ConvCase((1, 520, 7, 6), 24, (1, 1)),
]


def _runs(name: str) -> dict[str, int]:
    """How often each algorithm of a pass has run."""
    one = _core.ConvPass[name]
    ways = (way.algorithm for way in _core.conv2d_ways(one))
    return {algorithm.name: _core.conv2d_runs(one, algorithm) for algorithm in ways}


def _names(name: str) -> list[str]:
    return [way.algorithm.name for way in _core.conv2d_ways(_core.ConvPass[name])]


def _run(
    case: ConvCase, a: dict[str, npt.NDArray[Any]], name: str, algorithm: str
) -> npt.NDArray[Any]:
    if name == "forward":
        return F.conv2d(a["x"], a["weight"], **case.options, algorithm=algorithm)
    dx, dweight, _ = F.conv2d_backward(
        a["grad"],
        a["x"],
        a["weight"],
        **case.options,
        input_grad=name == "input_grad",
        algorithm=algorithm,
    )
    if name == "weight_grad":
        return dweight
    assert dx is not None
    return dx


def _expected(case: ConvCase, a: dict[str, npt.NDArray[Any]], name: str) -> npt.NDArray[Any]:
    x, weight, grad = (a[key].astype(np.float64) for key in ("x", "weight", "grad"))
    if name == "forward":
        return reference.conv2d(x, weight, **case.options)
    return reference.conv2d_backward(grad, x, weight, **case.options)[PASSES.index(name) - 1]


@pytest.mark.parametrize("name", PASSES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_planned_runs(case: ConvCase, name: str) -> None:
    """By default and by every name: the run is counted, and the values are the naive loop's."""
    arrays = case.arrays(np.float32)
    expected = _expected(case, arrays, name)
    for algorithm in ("auto", "im2col", "winograd", *_names(name)):
        try:
            plan = getattr(
                F.conv2d_plan(case.x, case.weight, **case.options, algorithm=algorithm), name
            )
            before = _runs(name)
            actual = _run(case, arrays, name, algorithm)
        except ValueError as error:
            assert str(error).startswith(f"algorithm {algorithm} takes")  # noqa: PT017
            continue
        counted = {way: count - before[way] for way, count in _runs(name).items()}
        assert {way: count for way, count in counted.items() if count} == {plan.algorithm: 1}
        assert (plan.reason == "asked for") == (algorithm != "auto")
        if algorithm not in ("auto", "im2col", "winograd"):
            assert plan.algorithm == algorithm
        scale = np.abs(expected).max()
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * scale)


def test_cases_plan_every_way() -> None:
    """Except the one that needs a pooling after the convolution."""
    for name in PASSES:
        planned = {
            getattr(F.conv2d_plan(c.x, c.weight, **c.options, algorithm=a), name).algorithm
            for c in CASES
            for a in ("auto", "im2col")
        }
        assert planned == set(_names(name)) - {"sparse"}


def test_plan_of_the_gradient_behind_a_strided_window() -> None:
    """A matrix product over patches, although there are few filters."""
    plan = F.conv2d_plan((16, 3, 32, 32), (4, 3, 3, 3), stride=2, padding=1)
    assert plan.forward.algorithm == "direct"
    assert plan.input_grad.algorithm == "patches"
    assert plan.weight_grad.algorithm == "direct"


def test_names_are_of_the_pass_that_is_asked() -> None:
    case = CASES[0]
    a = case.arrays(np.float32)
    for name in PASSES:
        for way in _names("forward") + _names("input_grad") + _names("weight_grad"):
            if way in _names(name):
                continue
            if name == "input_grad" and way in _names("weight_grad"):
                continue  # belongs to the other gradient
            with pytest.raises(ValueError, match=f"algorithm is '{way}', but must be one of"):
                _run(case, a, name, way)


def test_a_gradient_without_the_way_chooses_for_itself() -> None:
    case = CASES[8]
    a = case.arrays(np.float32)
    dx, dweight, dbias = F.conv2d_backward(a["grad"], a["x"], a["weight"], **case.options)
    operands = (a["grad"], a["x"], a["weight"])
    by_patches = F.conv2d_backward(*operands, **case.options, algorithm="patches")
    directly = F.conv2d_backward(*operands, **case.options, algorithm="direct")
    assert F.conv2d_plan(case.x, case.weight, **case.options).input_grad.algorithm == "patches"
    np.testing.assert_array_equal(by_patches[0], dx)
    np.testing.assert_array_equal(by_patches[1], dweight)
    np.testing.assert_array_equal(directly[0], dx)
    np.testing.assert_array_equal(directly[2], dbias)


@pytest.mark.parametrize(
    ("algorithm", "case", "reason"),
    [
        ("winograd", CASES[5], "takes kernels that are 2 to 5 strides long"),
        ("winograd_parts", CASES[0], "takes kernels of up to 12 taps, more than 5 along an axis"),
        ("winograd_dilated", CASES[0], "takes a dilation"),
        ("depthwise", CASES[0], "takes one channel per group"),
        ("pointwise", CASES[6], "takes 1x1 windows with stride 1"),
        ("pointwise_strided", CASES[0], "takes 1x1 windows without padding"),
        ("few_pixels", CASES[3], "takes one group"),
        ("phases", CASES[10], "takes no dilation together with a stride"),
        ("sparse", CASES[0], "takes the gradient of a max pooling"),
    ],
    ids=str,
)
def test_a_refusal_says_why(algorithm: str, case: ConvCase, reason: str) -> None:
    message = f"algorithm {algorithm} {reason}"
    with pytest.raises(ValueError, match=message):
        F.conv2d_plan(case.x, case.weight, **case.options, algorithm=algorithm)
    a = case.arrays(np.float32)
    name = next(name for name in PASSES if algorithm in _names(name))
    with pytest.raises(ValueError, match=message):
        _run(case, a, name, algorithm)


def test_the_document_shows_the_tables() -> None:
    """docs/ways.md is what ``python tools/make_ways.py`` writes."""
    page = runpy.run_path(str(ROOT / "tools" / "make_ways.py"))["page"]()
    assert (ROOT / "docs" / "ways.md").read_text(encoding="utf-8") == page
