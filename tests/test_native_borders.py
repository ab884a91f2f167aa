"""No native function trusts its caller: each compares all its arrays before it reads one.

Each array of a valid call is changed separately: the length of an axis, the number of axes, the
dtype, the order and the alignment of its elements. An array that no longer fits the others must
raise a ValueError or a TypeError.
"""

from __future__ import annotations

import contextlib
import copy
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from pocketcnn import _core

WINDOW = _core.Window2d((3, 2), (1, 1), (1, 0, 0, 1), (1, 1))
CONV = _core.Conv2d(WINDOW, 6, 2, _core.ConvAlgorithm.auto)
HALVES = _core.Window2d((2, 2), (2, 2), (0, 0, 0, 0), (1, 1))
POOL = _core.Pool2d(HALVES, False)
DOUBLED = _core.Upsample2d((2.0, 1.5), _core.UpsampleMode.bilinear, False)


def _array(*shape: int) -> Any:
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


def _ones(n: int) -> Any:
    return np.ones(n)


X, W, MAPS, POOLED = (3, 4, 7, 8), (6, 2, 3, 2), (3, 6, 6, 8), (3, 6, 3, 4)
PLACES = np.zeros(POOLED, np.int32) + np.arange(3, dtype=np.int32)[:, None] * 16
KNOWN_NORM = (_array(6), _array(6), _ones(6), _ones(6), 1e-5)
UNITS = (_array(4), _array(4), _ones(4), _ones(4), 0.0)
NORM = (*KNOWN_NORM, True, 6.0)
DEPTHWISE = _core.Conv2d(WINDOW, 6, 6, _core.ConvAlgorithm.auto)
BATCH_NORM = (_array(6), _array(6), 1e-5, True, 6.0)
DEPTHWISE_BLOCK = (BATCH_NORM, _array(6, 1, 3, 2), _array(6), BATCH_NORM, DEPTHWISE)


def _block(activation: str, kind: str | None, conv: _core.Conv2d = CONV) -> _core.ConvBlock:
    pool = None if kind is None else _core.BlockPool(POOL, _core.PoolKind[kind], True)
    return _core.ConvBlock(conv, _core.Activation[activation], pool)


RECTIFIED, POOLED_BLOCK = _block("relu", None), _block("relu", "max")
AVERAGED, POOLED_SIGMOID = _block("tanh", "average"), _block("sigmoid", "max")
GATED, POOLED_GATE = _block("silu", None), _block("gelu", "max")


@dataclass(frozen=True)
class Call:
    """A valid call; `free` are the axes of arguments that may have any length."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    free: dict[int, set[int]] = field(default_factory=dict)
    any_axes: bool = False

    def __str__(self) -> str:
        return self.function.__name__


ELEMENTWISE = [
    Call(function, (_array(3, 4, 5), *rest), {0: {0, 1, 2}}, any_axes=True)
    for function, rest in [
        (_core.relu, ()), (_core.sigmoid, ()), (_core.tanh, ()), (_core.relu6, ()),
        (_core.leaky_relu, (0.1,)), (_core.elu, (0.5,)), (_core.silu, ()), (_core.gelu, ()),
        (_core.gelu_tanh, ()), (_core.hard_sigmoid, ()), (_core.hard_swish, ()),
        (_core.softmax, (1,)), (_core.log_softmax, (1,)),
    ]
]  # fmt: skip
PAIRS = [
    Call(function, (_array(3, 4, 5), _array(3, 4, 5), *rest))
    for function, rest in [
        (_core.relu_backward, ()), (_core.sigmoid_backward, ()), (_core.tanh_backward, ()),
        (_core.relu6_backward, ()), (_core.leaky_relu_backward, (0.1,)),
        (_core.elu_backward, (0.5,)), (_core.silu_backward, ()), (_core.gelu_backward, ()),
        (_core.gelu_tanh_backward, ()), (_core.hard_sigmoid_backward, ()),
        (_core.hard_swish_backward, ()),
        (_core.softmax_backward, (1,)), (_core.log_softmax_backward, (1,)), (_core.add, (True,)),
        (_core.add_to, ()),
    ]
]  # fmt: skip
CALLS = [
    *ELEMENTWISE,
    *PAIRS,
    Call(_core.prelu, (_array(*X), _array(4)), {0: {0, 2, 3}}),
    Call(_core.prelu_backward, (_array(*X), _array(*X), _array(4))),
    Call(_core.conv2d, (_array(*X), _array(*W), _array(6), CONV), {0: {0, 2, 3}}),
    Call(_core.conv2d_backward_input, (_array(*MAPS), _array(*W), X, CONV)),
    Call(_core.conv2d_backward, (_array(*MAPS), _array(*X), _array(*W), CONV, True, True)),
    Call(_core.conv2d_backward, (_array(*MAPS), _array(*X), _array(*W), CONV, False, False)),
    *(
        Call(_core.conv_block, (_array(*X), _array(*W), bias, block, norm, units), {0: {0, 2, 3}})
        for bias, block, norm, units in [
            (_array(6), POOLED_BLOCK, None, None),
            (None, RECTIFIED, KNOWN_NORM, None),
            (_array(6), AVERAGED, None, UNITS),
            (_array(6), POOLED_SIGMOID, None, None),
            (_array(6), GATED, None, None),
            (None, POOLED_GATE, KNOWN_NORM, UNITS),
        ]
    ),
    *(
        Call(
            _core.conv_block_backward,
            (_array(*grad), _array(*activated), places, _array(*X), _array(*W), block, True),
            free,
        )
        for grad, activated, places, block, free in [
            # Pooling leaves out a row or a column that is left over.
            (POOLED, POOLED, PLACES, POOLED_BLOCK, {3: {2, 3}}),
            (MAPS, MAPS, None, RECTIFIED, {}),
            (POOLED, MAPS, None, AVERAGED, {}),
            (POOLED, MAPS, PLACES, POOLED_SIGMOID, {}),
        ]
    ),
    Call(_core.conv_transpose2d, (_array(*MAPS), _array(*W), _array(4), X, CONV)),
    Call(_core.conv_transpose2d_backward_weight, (_array(*X), _array(*MAPS), CONV)),
    Call(_core.im2col, (_array(*X), WINDOW), {0: {0, 1, 2, 3}}),
    Call(_core.col2im, (_array(3 * 6 * 8, 24), X, WINDOW)),
    Call(_core.linear, (_array(5, 7), _array(4, 7), _array(4)), {0: {0}}),
    Call(_core.linear_backward, (_array(5, 4), _array(5, 7), _array(4, 7), True)),
    Call(_core.matmul, (_array(5, 7), _array(7, 4), False, False), {0: {0}, 1: {1}}),
    Call(_core.matmul, (_array(7, 5), _array(7, 4), True, False), {0: {1}, 1: {1}}),
    Call(_core.matmul, (_array(5, 7), _array(4, 7), False, True), {0: {0}, 1: {0}}),
    Call(_core.max_pool2d, (_array(*X), POOL), {0: {0, 1, 2, 3}}),
    Call(_core.max_pool2d_backward, (_array(*POOLED), PLACES.astype(np.int64), MAPS), {0: {2, 3}}),
    Call(_core.avg_pool2d, (_array(*X), POOL, True), {0: {0, 1, 2, 3}}),
    Call(_core.avg_pool2d_backward, (_array(*POOLED), MAPS, POOL, True)),
    Call(
        _core.batch_norm_train,
        (_array(*MAPS), _array(6), _array(6), 1e-5, True, 6.0),
        {0: {0, 2, 3}},
        any_axes=True,
    ),
    Call(_core.batch_norm_infer, (_array(*MAPS), *NORM), {0: {0, 2, 3}}, any_axes=True),
    Call(_core.batch_norm_backward, (_array(*MAPS), _array(*MAPS), *NORM, True, False)),
    Call(
        _core.batch_norm_add_train,
        (_array(*MAPS), _array(*MAPS), _array(6), _array(6), 1e-5, True),
    ),
    Call(
        _core.batch_norm_add_backward,
        (_array(*MAPS), _array(*MAPS), _array(*MAPS), *KNOWN_NORM),
    ),
    Call(
        _core.batch_norm_add_backward,
        (_array(*MAPS), _array(*MAPS), _array(*MAPS), *KNOWN_NORM, _array(*MAPS)),
    ),
    Call(_core.depthwise_block, (_array(*MAPS), *DEPTHWISE_BLOCK), {0: {0, 2, 3}}),
    Call(
        _core.depthwise_block_backward,
        (_array(3, 6, 5, 8), _array(*MAPS), *DEPTHWISE_BLOCK, np.ones((4, 6))),
    ),
    Call(
        _core.group_norm,
        (_array(*MAPS), _array(6), _array(6), 2, 1e-5),
        {0: {0, 2, 3}},
        any_axes=True,
    ),
    Call(
        _core.group_norm_backward,
        (
            *(_array(*MAPS), _array(*MAPS), _array(6), _array(6)),
            *(np.ones((3, 2)), np.ones((3, 2)), 2, 1e-5),
        ),
    ),
    Call(_core.upsample2d, (_array(*X), DOUBLED), {0: {0, 1, 2, 3}}),
    Call(_core.upsample2d_backward, (_array(3, 4, 14, 12), X, DOUBLED)),
    Call(_core.local_response_norm, (_array(*X), 3, 1e-4, 0.75, 1.0), {0: {0, 1, 2, 3}}),
    Call(_core.local_response_norm_backward, (_array(*X), _array(*X), 3, 1e-4, 0.75, 1.0)),
    Call(_core.cross_entropy, (_array(5, 4), np.array([0, 3, 2, 1, 0]), 0.1), {0: {1}}),
    Call(_core.cross_entropy, (_array(5, 4), _array(5, 4), 0.1)),
]


def _unaligned(a: Any) -> Any:
    memory = np.zeros(a.nbytes + 1, np.uint8)[1:]
    moved = memory[: a.nbytes].view(a.dtype).reshape(a.shape)
    moved[...] = a
    return moved


def _changed(a: Any, free: set[int], any_axes: bool) -> Iterator[tuple[str, Any]]:
    """The array in forms that its call must refuse."""
    for axis in set(range(a.ndim)) - free:
        for length in (0, a.shape[axis] - 1, a.shape[axis] + 1):
            shape = [*a.shape[:axis], length, *a.shape[axis + 1 :]]
            yield f"axis {axis} of {length}", np.zeros(shape, a.dtype)
    if not any_axes:
        yield "an axis less", np.ascontiguousarray(a[0])
        yield "an axis more", a[None]
        yield "one axis", a.reshape(-1) if a.ndim > 1 else a.reshape(1, -1)
    yield "another dtype", a.astype(np.float16)
    yield "big endian", a.astype(a.dtype.newbyteorder())
    yield "without alignment", _unaligned(a)
    if a.ndim > 1:
        yield "in Fortran order", np.asfortranarray(a)
    yield "with gaps", np.repeat(a, 2, axis=-1)[..., ::2]


def _with(arguments: tuple[Any, ...], place: int, value: Any) -> tuple[Any, ...]:
    return (*arguments[:place], value, *arguments[place + 1 :])


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_refuses_an_array_that_does_not_fit(call: Call) -> None:
    call.function(*call.arguments)
    for place, given in enumerate(call.arguments):
        if isinstance(given, tuple) and any(isinstance(a, np.ndarray) for a in given):
            inner = [
                (what, _with(given, i, changed))
                for i, a in enumerate(given)
                if isinstance(a, np.ndarray)
                for what, changed in _changed(a, set(), False)
            ]
        elif isinstance(given, np.ndarray):
            inner = list(_changed(given, call.free.get(place, set()), call.any_axes and place == 0))
        else:
            continue
        for what, changed in inner:
            try:
                call.function(*_with(call.arguments, place, changed))
            except (ValueError, TypeError):
                continue
            pytest.fail(f"argument {place} of {call} was taken with {what}")


def _doubled(value: Any) -> Any:
    """An argument whose arrays of float32 are of float64; any other is the same object."""
    if isinstance(value, np.ndarray) and value.dtype == np.float32:
        return value.astype(np.float64)
    if isinstance(value, tuple) and isinstance(value[0], np.ndarray):
        return tuple(_doubled(part) for part in value)
    return value


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_takes_both_types_of_numbers_but_no_mix(call: Call) -> None:
    doubles = tuple(_doubled(a) for a in call.arguments)
    results = call.function(*doubles)
    kept = [r for r in results if r is not None] if isinstance(results, tuple) else [results]
    assert np.asarray(kept[0]).dtype == np.float64
    places = [i for i, a in enumerate(call.arguments) if doubles[i] is not a]
    for place in places if len(places) > 1 else ():
        for given, other in ((call.arguments, doubles), (doubles, call.arguments)):
            with pytest.raises(TypeError, match="mixes arrays of float32 and float64"):
                call.function(*_with(given, place, other[place]))


Geometry = _core.Window2d | _core.Conv2d | _core.Pool2d | _core.BlockPool | _core.ConvBlock
HUGE = (2**41, 2**62, 2**63 - 1)


def _replaced(geometry: Any, name: str, value: Any) -> Any:
    fields = {key: getattr(geometry, key) for key in type(geometry).__match_args__}
    return type(geometry)(**{**fields, name: value})


def _nonsense(geometry: Geometry) -> Iterator[Any]:
    """What does not fit the images, and what is no geometry."""
    yield from (None, (), 1, type(geometry).__new__(type(geometry)))
    if isinstance(geometry, _core.Window2d):
        for name in type(geometry).__match_args__:
            numbers = getattr(geometry, name)
            for place in range(len(numbers)):
                for bad in (-(2**63), -1, *HUGE, *(() if name == "padding" else (0,))):
                    yield _replaced(geometry, name, _with(numbers, place, bad))
        return
    for name in type(geometry).__match_args__:
        inner = getattr(geometry, name)
        for bad in _nonsense(inner) if isinstance(inner, Geometry) else ():
            if bad is not None:  # a block may have no pooling
                with contextlib.suppress(TypeError):  # as its constructor refuses it
                    yield _replaced(geometry, name, bad)
    if isinstance(geometry, _core.Conv2d):
        for name, wrong in (("filters", (5, 7)), ("groups", (3, 4))):
            for number in (-(2**63), -1, 0, *wrong, *HUGE[1:]):
                yield _replaced(geometry, name, number)


@pytest.mark.parametrize(
    "call",
    [
        *(c for c in CALLS if any(isinstance(a, Geometry) for a in c.arguments)),
        Call(_core.Window2d.output_size, (WINDOW, 7, 8)),
        Call(_core.Conv2d.output_shape, (CONV, X)),
        Call(_core.Pool2d.output_shape, (POOL, X)),
        Call(_core.conv2d_plan, (X, CONV, _core.ConvPass.forward)),
    ],
    ids=str,
)
def test_refuses_geometry_that_does_not_fit(call: Call) -> None:
    call.function(*call.arguments)
    place = next(i for i, a in enumerate(call.arguments) if isinstance(a, Geometry))
    for bad in _nonsense(call.arguments[place]):
        with pytest.raises((ValueError, TypeError)):
            call.function(*_with(call.arguments, place, bad))


@pytest.mark.parametrize(
    "value",
    [WINDOW, CONV, POOL, DOUBLED, AVERAGED, AVERAGED.pool],
    ids=lambda value: type(value).__name__,
)
def test_geometry_is_a_value(value: Any) -> None:
    kind = type(value)
    fields = tuple(getattr(value, name) for name in kind.__match_args__)
    same = kind(*fields)
    assert value == same == copy.deepcopy(value) == pickle.loads(pickle.dumps(value))
    assert len({value, same, copy.copy(value)}) == 1
    assert value != fields
    assert repr(value).startswith(f"{kind.__name__}({kind.__match_args__[0]}={fields[0]!r}, ")
    for name, kept in zip(kind.__match_args__, fields, strict=True):
        with pytest.raises(AttributeError):
            setattr(value, name, kept)
    others = [_replaced(WINDOW, name, getattr(HALVES, name)) for name in ("kernel_size", "stride")]
    assert len({*others, _replaced(WINDOW, "dilation", (1, 2)), WINDOW, HALVES}) == 5


@pytest.mark.parametrize("kind", [type(v) for v in (WINDOW, CONV, POOL, DOUBLED, AVERAGED)])
def test_the_text_of_what_was_never_initialised_does_not_ask_for_itself(kind: Any) -> None:
    blank = kind.__new__(kind)
    with pytest.raises(TypeError, match=rf"Invoked with: {kind.__name__}\(\.\.\.\)"):
        repr(blank)
    with pytest.raises(TypeError):
        hash(blank)


@pytest.mark.parametrize(
    "arguments",
    [
        ((3, 2), (1, 1), (1, 0, 0), (1, 1)),
        ((3, 2, 1), (1, 1), (1, 0, 0, 1), (1, 1)),
        ((3, 2.0), (1, 1), (1, 0, 0, 1), (1, 1)),
        ((3, 2**63), (1, 1), (1, 0, 0, 1), (1, 1)),
        ((3, 2), "11", (1, 0, 0, 1), (1, 1)),
        ((3, 2), 1, (1, 0, 0, 1), (1, 1)),
        ((3, 2), (1, 1), (1, 0, 0, None), (1, 1)),
    ],
)
def test_a_window_is_made_of_ints(arguments: Any) -> None:
    with pytest.raises(TypeError):
        _core.Window2d(*arguments)


@pytest.mark.parametrize("groups", [0, -1, 4, 5, 12, 2**62, -(2**63)])
def test_refuses_groups_that_do_not_divide_the_channels(groups: int) -> None:
    maps, six = _array(*MAPS), _array(6)
    with pytest.raises(ValueError, match="groups must divide"):
        _core.group_norm(maps, six, six, groups, 1e-5)


@pytest.mark.parametrize("scale", [0.0, -1.0, 0.1, 1e30, float("nan"), float("inf")])
def test_refuses_scales_that_leave_no_image(scale: float) -> None:
    for scales in ((scale, 1.0), (1.0, scale)):
        upsample = _core.Upsample2d(scales, _core.UpsampleMode.nearest, False)
        with pytest.raises(ValueError, match="scale"):
            _core.upsample2d(_array(*X), upsample)
        with pytest.raises(ValueError, match="scale"):
            _core.upsample2d_backward(_array(*X), X, upsample)


@pytest.mark.parametrize("algorithm", ["auto", 0, None, _core.ConvPass.forward])
def test_an_algorithm_is_one_of_its_enum(algorithm: Any) -> None:
    with pytest.raises(TypeError):
        _core.Conv2d(WINDOW, 6, 2, algorithm)


@pytest.mark.parametrize("place", [-1, 48, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("images", [3, 9])
def test_refuses_an_argmax_outside_its_plane(place: int, images: int) -> None:
    places = np.repeat(PLACES, 3, axis=0)[:images]
    places[-1, -1, -1, -1] = place
    grad, x = _array(images, *POOLED[1:]), _array(images, *X[1:])
    for groups, weight in ((2, _array(*W)), (1, _array(6, 4, 3, 2))):
        block = _block("relu", "max", _replaced(CONV, "groups", groups))
        with pytest.raises(ValueError, match="argmax"):
            _core.conv_block_backward(grad, grad, places, x, weight, block, False)
    with pytest.raises(ValueError, match="argmax"):
        _core.max_pool2d_backward(grad, places.astype(np.int64), (images, *MAPS[1:]))


SLOTS: dict[str, tuple[Callable[..., Any], int, tuple[Any, ...]]] = {
    "sgd": (_core.sgd_update, 1, (0.1, 0.9, 0.0, False)),
    "adagrad": (_core.adagrad_update, 1, (0.1, 1e-8, 0.0)),
    "rmsprop": (_core.rmsprop_update, 1, (0.1, 0.9, 1e-8, 0.0)),
    "adam": (_core.adam_update, 2, (0.1, 0.9, 0.999, 1e-8, 0.0, False, 1)),
}


@pytest.mark.parametrize("name", SLOTS)
def test_an_update_refuses_arrays_that_do_not_fit(name: str) -> None:
    update, count, settings = SLOTS[name]

    def arrays() -> list[Any]:
        return [_array(5, 4), _array(7)]

    def refused(params: Any, grads: Any, slots: Any) -> None:
        before = [a.copy() for a in params]
        with pytest.raises((ValueError, TypeError)):
            update(params, grads, slots, *settings)
        for a, kept in zip(params, before, strict=True):
            np.testing.assert_array_equal(a, kept)

    slots = [arrays() for _ in range(count)]
    update(arrays(), arrays(), slots, *settings)
    for _, bad in _changed(_array(7), set(), False):
        refused(arrays(), [_array(5, 4), bad], slots)
        refused(arrays(), arrays(), [*slots[:-1], [_array(5, 4), bad]])
        refused([_array(5, 4), bad], arrays(), slots)
    refused(arrays(), arrays()[:1], slots)
    refused(arrays(), arrays(), [*slots, arrays()])
    refused(arrays(), arrays(), [*slots[:-1], arrays()[:1]])
    if name != "sgd":  # which needs none without momentum
        refused(arrays(), arrays(), slots[:-1])
    for factors in [
        (_array(3, 5), _array(2, 4)),
        (_array(3, 4), _array(3, 4)),
        (_array(3, 5),) * 2,
    ]:
        refused(arrays(), [factors, _array(7)], slots)
    frozen = _array(7)
    frozen.setflags(write=False)
    refused([_array(5, 4), frozen], arrays(), slots)


def test_a_result_that_no_memory_holds_is_named() -> None:
    far = _core.Window2d((1, 1), (1, 1), (2**20,) * 4, (1, 1))
    conv = _core.Conv2d(far, 1, 1, _core.ConvAlgorithm.auto)
    with pytest.raises(MemoryError, match=r"a result of shape \(1, 1, \d+, \d+\) needs \d+ bytes"):
        _core.conv2d(_array(1, 1, 1, 1), _array(1, 1, 1, 1), None, conv)
    for shape in [(1, 1, -1, 4), (2**62, 2**62, 1, 1), (2**40, 2**40, 0, 1)]:
        with pytest.raises(ValueError, match=r"size|shape|elements"):
            _core.max_pool2d_backward(_array(1, 1, 1, 1), np.zeros((1, 1, 1, 1), np.int64), shape)
