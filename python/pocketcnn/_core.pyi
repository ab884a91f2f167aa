from collections.abc import Sequence
from enum import Enum
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

# Every function takes C-contiguous arrays of one dtype, float32 or float64, and answers in it.
_T = TypeVar("_T", np.float32, np.float64)
_Pair = tuple[int, int]
_Sides = tuple[int, int, int, int]
_Shape = tuple[int, ...]

# The type of pybind11's classes.
class _Native(type): ...

def conv2d(
    x: NDArray[_T],
    weight: NDArray[_T],
    bias: NDArray[_T] | None,
    stride: _Pair,
    padding: _Sides,
    dilation: _Pair,
    groups: int,
    algorithm: str,
) -> NDArray[_T]: ...
def conv2d_backward_input(
    grad: NDArray[_T],
    weight: NDArray[_T],
    x_shape: _Shape,
    stride: _Pair,
    padding: _Sides,
    dilation: _Pair,
    groups: int,
    algorithm: str,
) -> NDArray[_T]: ...
def conv2d_backward_weight(
    grad: NDArray[_T],
    x: NDArray[_T],
    kernel_size: _Pair,
    stride: _Pair,
    padding: _Sides,
    dilation: _Pair,
    groups: int,
    algorithm: str,
) -> tuple[NDArray[_T], NDArray[_T]]: ...
def conv2d_plan(
    x_shape: _Shape,
    weight_shape: _Shape,
    stride: _Pair,
    padding: _Sides,
    dilation: _Pair,
    groups: int,
    algorithm: str,
) -> list[tuple[str, str]]: ...
def conv2d_ways() -> dict[str, list[tuple[str, str, str, str, str, int]]]: ...

class Activation(Enum):
    __pybind11_native_enum__: Any
    relu = 0
    sigmoid = 1
    tanh = 2

class PoolKind(Enum):
    __pybind11_native_enum__: Any
    max = 0
    average = 1

class BlockPool(metaclass=_Native):
    def __init__(
        self,
        kind: PoolKind,
        kernel_size: _Pair,
        stride: _Pair,
        padding: _Sides,
        ceil_mode: bool,
        count_include_pad: bool,
    ) -> None: ...

class ConvBlock(metaclass=_Native):
    dx_before_relu: bool
    dy_before_relu: bool
    @property
    def ends_in_relu(self) -> bool: ...
    def __init__(
        self,
        filters: int,
        kernel_size: _Pair,
        stride: _Pair,
        padding: _Sides,
        dilation: _Pair,
        groups: int,
        activation: Activation | None,
        pool: BlockPool | None,
        dx_before_relu: bool = False,
        dy_before_relu: bool = False,
    ) -> None: ...

def conv_block(
    x: NDArray[_T],
    weight: NDArray[_T],
    bias: NDArray[_T] | None,
    block: ConvBlock,
    norm: tuple[NDArray[_T], NDArray[_T], NDArray[np.float64], NDArray[np.float64], float] | None,
) -> tuple[NDArray[_T], NDArray[_T], NDArray[np.int32] | None]: ...
def conv_block_backward(
    grad: NDArray[_T],
    activated: NDArray[_T],
    argmax: NDArray[np.int32] | None,
    x: NDArray[_T],
    weight: NDArray[_T],
    block: ConvBlock,
    input_grad: bool,
) -> tuple[NDArray[_T] | None, NDArray[_T], NDArray[_T]]: ...
def im2col(
    x: NDArray[_T], kernel_size: _Pair, stride: _Pair, padding: _Sides, dilation: _Pair
) -> NDArray[_T]: ...
def col2im(
    col: NDArray[_T],
    input_shape: _Shape,
    kernel_size: _Pair,
    stride: _Pair,
    padding: _Sides,
    dilation: _Pair,
) -> NDArray[_T]: ...
def max_pool2d(
    x: NDArray[_T],
    kernel_size: _Pair,
    stride: _Pair,
    padding: _Sides,
    dilation: _Pair,
    ceil_mode: bool,
) -> tuple[NDArray[_T], NDArray[np.int64]]: ...
def max_pool2d_backward(
    grad: NDArray[_T], argmax: NDArray[np.int64], input_shape: _Shape
) -> NDArray[_T]: ...
def avg_pool2d(
    x: NDArray[_T],
    kernel_size: _Pair,
    stride: _Pair,
    padding: _Sides,
    ceil_mode: bool,
    count_include_pad: bool,
) -> NDArray[_T]: ...
def avg_pool2d_backward(
    grad: NDArray[_T],
    input_shape: _Shape,
    kernel_size: _Pair,
    stride: _Pair,
    padding: _Sides,
    ceil_mode: bool,
    count_include_pad: bool,
) -> NDArray[_T]: ...
def pool2d_output_shape(
    input_shape: _Shape,
    kernel_size: _Pair,
    stride: _Pair,
    padding: _Sides,
    dilation: _Pair,
    ceil_mode: bool,
) -> _Sides: ...
def linear(x: NDArray[_T], weight: NDArray[_T], bias: NDArray[_T] | None) -> NDArray[_T]: ...
def linear_backward(
    grad: NDArray[_T], x: NDArray[_T], weight: NDArray[_T], input_grad: bool
) -> tuple[NDArray[_T] | None, NDArray[_T], NDArray[_T]]: ...
def matmul(a: NDArray[_T], b: NDArray[_T], transpose_a: bool, transpose_b: bool) -> NDArray[_T]: ...
def relu(x: NDArray[_T]) -> NDArray[_T]: ...
def relu_backward(grad: NDArray[_T], out: NDArray[_T]) -> NDArray[_T]: ...
def sigmoid(x: NDArray[_T]) -> NDArray[_T]: ...
def sigmoid_backward(grad: NDArray[_T], out: NDArray[_T]) -> NDArray[_T]: ...
def tanh(x: NDArray[_T]) -> NDArray[_T]: ...
def tanh_backward(grad: NDArray[_T], out: NDArray[_T]) -> NDArray[_T]: ...
def softmax(x: NDArray[_T], axis: int) -> NDArray[_T]: ...
def softmax_backward(grad: NDArray[_T], out: NDArray[_T], axis: int) -> NDArray[_T]: ...
def log_softmax(x: NDArray[_T], axis: int) -> NDArray[_T]: ...
def log_softmax_backward(grad: NDArray[_T], out: NDArray[_T], axis: int) -> NDArray[_T]: ...
def cross_entropy(
    logits: NDArray[_T], target: NDArray[Any], label_smoothing: float
) -> tuple[float, NDArray[_T]]: ...
def batch_norm_train(
    x: NDArray[_T], gamma: NDArray[_T], beta: NDArray[_T], eps: float, rectify: bool
) -> tuple[NDArray[_T], NDArray[np.float64], NDArray[np.float64]]: ...
def batch_norm_infer(
    x: NDArray[_T],
    gamma: NDArray[_T],
    beta: NDArray[_T],
    mean: NDArray[np.float64],
    variance: NDArray[np.float64],
    eps: float,
    rectify: bool,
) -> NDArray[_T]: ...
def batch_norm_backward(
    grad: NDArray[_T],
    x: NDArray[_T],
    gamma: NDArray[_T],
    beta: NDArray[_T],
    mean: NDArray[np.float64],
    variance: NDArray[np.float64],
    eps: float,
    rectify: bool,
    training: bool,
) -> tuple[NDArray[_T], NDArray[_T], NDArray[_T]]: ...
def local_response_norm(
    x: NDArray[_T], size: int, alpha: float, beta: float, k: float
) -> NDArray[_T]: ...
def local_response_norm_backward(
    grad: NDArray[_T], x: NDArray[_T], size: int, alpha: float, beta: float, k: float
) -> NDArray[_T]: ...
def add(a: NDArray[_T], b: NDArray[_T], rectify: bool) -> NDArray[_T]: ...
def sgd_update(
    params: Sequence[NDArray[_T]],
    grads: Sequence[NDArray[_T] | tuple[NDArray[_T], NDArray[_T]]],
    slots: Sequence[Sequence[NDArray[_T]]],
    lr: float,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
) -> None: ...
def adagrad_update(
    params: Sequence[NDArray[_T]],
    grads: Sequence[NDArray[_T] | tuple[NDArray[_T], NDArray[_T]]],
    slots: Sequence[Sequence[NDArray[_T]]],
    lr: float,
    eps: float,
    weight_decay: float,
) -> None: ...
def rmsprop_update(
    params: Sequence[NDArray[_T]],
    grads: Sequence[NDArray[_T] | tuple[NDArray[_T], NDArray[_T]]],
    slots: Sequence[Sequence[NDArray[_T]]],
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float,
) -> None: ...
def adam_update(
    params: Sequence[NDArray[_T]],
    grads: Sequence[NDArray[_T] | tuple[NDArray[_T], NDArray[_T]]],
    slots: Sequence[Sequence[NDArray[_T]]],
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    step: int,
) -> None: ...
def get_num_threads() -> int: ...
def set_num_threads(threads: int) -> None: ...
def begin_thread_block(threads: int) -> int: ...
def end_thread_block(block: int) -> None: ...
def num_threads_complaint() -> str: ...
def isa() -> str: ...
def available_isas() -> list[str]: ...
def use_isa(name: str) -> None: ...
def team() -> str: ...
def available_teams() -> list[str]: ...
def use_team(name: str) -> None: ...
def memory_use() -> tuple[int, int]: ...
def release_cached_memory() -> None: ...
