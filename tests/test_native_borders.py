"""No native function trusts its caller: each compares all its arrays before it reads one.

Each array of a valid call is changed separately: the length of an axis, the number of axes, the
dtype, the order and the alignment of its elements. An array that no longer fits the others must
raise a ValueError or a TypeError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from pocketcnn import _core

WINDOW = ((1, 1), (1, 0, 0, 1), (1, 1))
CONV = (*WINDOW, 2)
POOL = ((2, 2), (2, 2), (0, 0, 0, 0), False)


def _array(*shape: int) -> Any:
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


def _ones(n: int) -> Any:
    return np.ones(n)


X, W, MAPS, POOLED = (3, 4, 7, 8), (6, 2, 3, 2), (3, 6, 6, 8), (3, 6, 3, 4)
PLACES = np.zeros(POOLED, np.int32) + np.arange(3, dtype=np.int32)[:, None] * 16
KNOWN_NORM = (_array(6), _array(6), _ones(6), _ones(6), 1e-5)
NORM = (*KNOWN_NORM, True)


def _block(activation: str, pool: str | None, groups: int = 2) -> Any:
    pooling = None if pool is None else _core.BlockPool(_core.PoolKind[pool], *POOL, True)
    return _core.ConvBlock(6, W[2:], *WINDOW, groups, _core.Activation[activation], pooling)


# What blocks are made of, and the blocks.
BLOCKS = {
    made_of: _block(*made_of)
    for made_of in (("relu", None), ("relu", "max"), ("tanh", "average"), ("sigmoid", "max"))
}
RECTIFIED, POOLED_BLOCK, AVERAGED, POOLED_SIGMOID = BLOCKS.values()


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
        (_core.relu, ()), (_core.sigmoid, ()), (_core.tanh, ()),
        (_core.softmax, (1,)), (_core.log_softmax, (1,)),
    ]
]  # fmt: skip
PAIRS = [
    Call(function, (_array(3, 4, 5), _array(3, 4, 5), *rest))
    for function, rest in [
        (_core.relu_backward, ()), (_core.sigmoid_backward, ()), (_core.tanh_backward, ()),
        (_core.softmax_backward, (1,)), (_core.log_softmax_backward, (1,)), (_core.add, (True,)),
    ]
]  # fmt: skip
CALLS = [
    *ELEMENTWISE,
    *PAIRS,
    Call(
        _core.conv2d, (_array(*X), _array(*W), _array(6), *CONV, "auto"), {0: {0, 2, 3}, 1: {2, 3}}
    ),
    Call(_core.conv2d_backward_input, (_array(*MAPS), _array(*W), X, *CONV, "auto")),
    Call(_core.conv2d_backward_weight, (_array(*MAPS), _array(*X), W[2:], *CONV, "auto")),
    *(
        Call(_core.conv_block, (_array(*X), _array(*W), bias, block, norm), {0: {0, 2, 3}})
        for bias, block, norm in [
            (_array(6), POOLED_BLOCK, None),
            (None, RECTIFIED, KNOWN_NORM),
            (_array(6), AVERAGED, None),
            (_array(6), POOLED_SIGMOID, None),
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
    Call(_core.im2col, (_array(*X), (3, 2), *WINDOW), {0: {0, 1, 2, 3}}),
    Call(_core.col2im, (_array(3 * 6 * 8, 24), X, (3, 2), *WINDOW)),
    Call(_core.linear, (_array(5, 7), _array(4, 7), _array(4)), {0: {0}}),
    Call(_core.linear_backward, (_array(5, 4), _array(5, 7), _array(4, 7), True)),
    Call(_core.matmul, (_array(5, 7), _array(7, 4), False, False), {0: {0}, 1: {1}}),
    Call(_core.matmul, (_array(7, 5), _array(7, 4), True, False), {0: {1}, 1: {1}}),
    Call(_core.matmul, (_array(5, 7), _array(4, 7), False, True), {0: {0}, 1: {0}}),
    Call(
        _core.max_pool2d,
        (_array(*X), (2, 2), (2, 2), (0, 0, 0, 0), (1, 1), False),
        {0: {0, 1, 2, 3}},
    ),
    Call(_core.max_pool2d_backward, (_array(*POOLED), PLACES.astype(np.int64), MAPS), {0: {2, 3}}),
    Call(_core.avg_pool2d, (_array(*X), *POOL, True), {0: {0, 1, 2, 3}}),
    Call(_core.avg_pool2d_backward, (_array(*POOLED), MAPS, *POOL, True)),
    Call(
        _core.batch_norm_train,
        (_array(*MAPS), _array(6), _array(6), 1e-5, True),
        {0: {0, 2, 3}},
        any_axes=True,
    ),
    Call(_core.batch_norm_infer, (_array(*MAPS), *NORM), {0: {0, 2, 3}}, any_axes=True),
    Call(_core.batch_norm_backward, (_array(*MAPS), _array(*MAPS), *NORM, True)),
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


@pytest.mark.parametrize("call", [c for c in CALLS if "conv" in str(c)], ids=str)
@pytest.mark.parametrize("groups", [-1, 0, 1, 3, 4])
def test_refuses_groups_that_do_not_fit(call: Call, groups: int) -> None:
    """Two groups of two channels: no other number fits weights of two channels."""
    if call.function is _core.conv2d_backward_weight and groups == 1:
        return  # four channels in one group: other weights, as good
    place, changed = len(call.arguments) - 2, groups
    for made_of, block in BLOCKS.items():
        for i, a in enumerate(call.arguments):
            if a is block:
                place, changed = i, _block(*made_of, groups)
    with pytest.raises((ValueError, TypeError)):
        call.function(*_with(call.arguments, place, changed))


@pytest.mark.parametrize("place", [-1, 48, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("images", [3, 9])
def test_refuses_an_argmax_outside_its_plane(place: int, images: int) -> None:
    places = np.repeat(PLACES, 3, axis=0)[:images]
    places[-1, -1, -1, -1] = place
    grad, x = _array(images, *POOLED[1:]), _array(images, *X[1:])
    for groups, weight in ((2, _array(*W)), (1, _array(6, 4, 3, 2))):
        block = _block("relu", "max", groups)
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
    far = (2**20, 2**20)
    with pytest.raises(MemoryError, match=r"a result of shape \(1, 1, \d+, \d+\) needs \d+ bytes"):
        _core.conv2d(
            _array(1, 1, 1, 1),
            _array(1, 1, 1, 1),
            None,
            (1, 1),
            (far[0], far[0], far[1], far[1]),
            (1, 1),
            1,
            "auto",
        )
    for shape in [(1, 1, -1, 4), (2**62, 2**62, 1, 1), (2**40, 2**40, 0, 1)]:
        with pytest.raises(ValueError, match=r"size|shape|elements"):
            _core.max_pool2d_backward(_array(1, 1, 1, 1), np.zeros((1, 1, 1, 1), np.int64), shape)
