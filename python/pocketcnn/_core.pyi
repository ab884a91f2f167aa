from collections.abc import Sequence
from enum import Enum
from typing import Any, NoReturn, TypeVar, final

import numpy as np
from numpy.typing import NDArray

# Every function takes C-contiguous arrays of one dtype, float32 or float64, and answers in it.
_T = TypeVar("_T", np.float32, np.float64)
_Pair = tuple[int, int]
_Sides = tuple[int, int, int, int]
_Shape = tuple[int, ...]

# The type of pybind11's classes.
class _Native(type): ...

# Classes of values: equal by what they hold, hashable, copied and pickled. They hold any integers:
# each function checks them against its images.
@final
class Window2d(metaclass=_Native):
    """A window that slides over the last two axes of an image batch."""

    __match_args__ = ("kernel_size", "stride", "padding", "dilation")
    def __init__(
        self, kernel_size: _Pair, stride: _Pair, padding: _Sides, dilation: _Pair
    ) -> None: ...
    @property
    def kernel_size(self) -> _Pair: ...
    @property
    def stride(self) -> _Pair: ...
    @property
    def padding(self) -> _Sides: ...
    @property
    def dilation(self) -> _Pair: ...
    def output_size(self, h: int, w: int) -> _Pair: ...

class ConvAlgorithm(Enum):
    __pybind11_native_enum__: Any
    auto = 0
    im2col = 1
    winograd = 2
    winograd_parts = 3
    winograd_dilated = 4
    depthwise = 5
    direct = 6
    pointwise = 7
    pointwise_in_place = 8
    pointwise_strided = 9
    few_pixels = 10
    patches = 11
    phases = 12
    sparse = 13

class ConvPass(Enum):
    __pybind11_native_enum__: Any
    forward = 0
    input_grad = 1
    weight_grad = 2

@final
class Conv2d(metaclass=_Native):
    """A convolution of images by so many filters."""

    __match_args__ = ("window", "filters", "groups", "algorithm")
    def __init__(
        self, window: Window2d, filters: int, groups: int, algorithm: ConvAlgorithm
    ) -> None: ...
    @property
    def window(self) -> Window2d: ...
    @property
    def filters(self) -> int: ...
    @property
    def groups(self) -> int: ...
    @property
    def algorithm(self) -> ConvAlgorithm: ...
    def output_shape(self, x_shape: _Shape) -> _Sides: ...

@final
class ConvWay(metaclass=_Native):
    """A way of computing a pass, in words."""

    def __init__(self, *args: Any, **kwargs: Any) -> NoReturn: ...
    @property
    def algorithm(self) -> ConvAlgorithm: ...
    @property
    def family(self) -> ConvAlgorithm: ...
    @property
    def reason(self) -> str: ...
    @property
    def takes(self) -> str: ...
    @property
    def pays(self) -> str: ...

@final
class Pool2d(metaclass=_Native):
    """A pooling by maximum or mean."""

    __match_args__ = ("window", "ceil_mode")
    def __init__(self, window: Window2d, ceil_mode: bool) -> None: ...
    @property
    def window(self) -> Window2d: ...
    @property
    def ceil_mode(self) -> bool: ...
    def output_shape(self, x_shape: _Shape) -> _Sides: ...

class UpsampleMode(Enum):
    __pybind11_native_enum__: Any
    nearest = 0
    bilinear = 1

@final
class Upsample2d(metaclass=_Native):
    """A resizing of feature maps."""

    __match_args__ = ("scale", "mode", "align_corners")
    def __init__(
        self, scale: tuple[float, float], mode: UpsampleMode, align_corners: bool
    ) -> None: ...
    @property
    def scale(self) -> tuple[float, float]: ...
    @property
    def mode(self) -> UpsampleMode: ...
    @property
    def align_corners(self) -> bool: ...
    def output_shape(self, x_shape: _Shape) -> _Sides: ...

class Activation(Enum):
    __pybind11_native_enum__: Any
    relu = 0
    sigmoid = 1
    tanh = 2
    leaky_relu = 3
    elu = 4
    relu6 = 5
    silu = 6
    gelu = 7
    gelu_tanh = 8
    hard_sigmoid = 9
    hard_swish = 10

def conv2d(
    x: NDArray[_T], weight: NDArray[_T], bias: NDArray[_T] | None, conv: Conv2d
) -> NDArray[_T]: ...
def conv2d_backward_input(
    grad: NDArray[_T], weight: NDArray[_T], x_shape: _Shape, conv: Conv2d
) -> NDArray[_T]: ...
def conv2d_backward(
    grad: NDArray[_T],
    x: NDArray[_T],
    weight: NDArray[_T],
    conv: Conv2d,
    input_grad: bool,
    bias_grad: bool,
) -> tuple[NDArray[_T] | None, NDArray[_T], NDArray[_T] | None]: ...
def conv2d_plan(
    x_shape: _Shape, conv: Conv2d, conv_pass: ConvPass
) -> tuple[ConvAlgorithm, str]: ...
def conv2d_ways(conv_pass: ConvPass) -> list[ConvWay]: ...
def conv2d_runs(conv_pass: ConvPass, algorithm: ConvAlgorithm) -> int: ...

class PoolKind(Enum):
    __pybind11_native_enum__: Any
    max = 0
    average = 1

@final
class BlockPool(metaclass=_Native):
    """The pooling of a block."""

    __match_args__ = ("pool", "kind", "count_include_pad")
    def __init__(self, pool: Pool2d, kind: PoolKind, count_include_pad: bool) -> None: ...
    @property
    def pool(self) -> Pool2d: ...
    @property
    def kind(self) -> PoolKind: ...
    @property
    def count_include_pad(self) -> bool: ...

@final
class ConvBlock(metaclass=_Native):
    """A convolution and the steps behind it."""

    __match_args__ = (
        "conv",
        "activation",
        "pool",
        "parameter",
        "dx_before_relu",
        "dy_before_relu",
    )
    def __init__(
        self,
        conv: Conv2d,
        activation: Activation | None,
        pool: BlockPool | None,
        parameter: float = 0.0,
        dx_before_relu: bool = False,
        dy_before_relu: bool = False,
    ) -> None: ...
    @property
    def conv(self) -> Conv2d: ...
    @property
    def activation(self) -> Activation | None: ...
    @property
    def pool(self) -> BlockPool | None: ...
    @property
    def parameter(self) -> float: ...
    @property
    def dx_before_relu(self) -> bool: ...
    @property
    def dy_before_relu(self) -> bool: ...
    @property
    def ends_in_relu(self) -> bool: ...

def conv_block(
    x: NDArray[_T],
    weight: NDArray[_T],
    bias: NDArray[_T] | None,
    block: ConvBlock,
    norm: tuple[NDArray[_T], NDArray[_T], NDArray[np.float64], NDArray[np.float64], float] | None,
    units: tuple[NDArray[_T], NDArray[_T], NDArray[np.float64], NDArray[np.float64], float] | None,
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
def conv_transpose2d(
    x: NDArray[_T],
    weight: NDArray[_T],
    bias: NDArray[_T] | None,
    y_shape: _Shape,
    conv: Conv2d,
) -> NDArray[_T]: ...
def conv_transpose2d_backward_weight(
    grad: NDArray[_T], x: NDArray[_T], conv: Conv2d
) -> tuple[NDArray[_T], NDArray[_T]]: ...
def depthwise_block(
    x: NDArray[_T],
    before: tuple[NDArray[_T], NDArray[_T], float, bool, float],
    weight: NDArray[_T],
    bias: NDArray[_T] | None,
    behind: tuple[NDArray[_T], NDArray[_T], float, bool, float],
    conv: Conv2d,
) -> tuple[NDArray[_T], NDArray[np.float64]]: ...
def depthwise_block_backward(
    grad: NDArray[_T],
    x: NDArray[_T],
    before: tuple[NDArray[_T], NDArray[_T], float, bool, float],
    weight: NDArray[_T],
    bias: NDArray[_T] | None,
    behind: tuple[NDArray[_T], NDArray[_T], float, bool, float],
    conv: Conv2d,
    statistics: NDArray[np.float64],
) -> tuple[
    NDArray[_T],
    NDArray[_T],
    NDArray[_T],
    NDArray[_T],
    NDArray[_T],
    NDArray[_T],
    NDArray[_T],
]: ...
def im2col(x: NDArray[_T], window: Window2d) -> NDArray[_T]: ...
def col2im(col: NDArray[_T], input_shape: _Shape, window: Window2d) -> NDArray[_T]: ...
def max_pool2d(x: NDArray[_T], pool: Pool2d) -> tuple[NDArray[_T], NDArray[np.int64]]: ...
def max_pool2d_backward(
    grad: NDArray[_T], argmax: NDArray[np.int64], input_shape: _Shape
) -> NDArray[_T]: ...
def avg_pool2d(x: NDArray[_T], pool: Pool2d, count_include_pad: bool) -> NDArray[_T]: ...
def avg_pool2d_backward(
    grad: NDArray[_T], input_shape: _Shape, pool: Pool2d, count_include_pad: bool
) -> NDArray[_T]: ...
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
def leaky_relu(x: NDArray[_T], negative_slope: float) -> NDArray[_T]: ...
def leaky_relu_backward(
    grad: NDArray[_T], out: NDArray[_T], negative_slope: float
) -> NDArray[_T]: ...
def elu(x: NDArray[_T], alpha: float) -> NDArray[_T]: ...
def elu_backward(grad: NDArray[_T], out: NDArray[_T], alpha: float) -> NDArray[_T]: ...
def relu6(x: NDArray[_T]) -> NDArray[_T]: ...
def relu6_backward(grad: NDArray[_T], out: NDArray[_T]) -> NDArray[_T]: ...
def silu(x: NDArray[_T]) -> NDArray[_T]: ...
def silu_backward(grad: NDArray[_T], x: NDArray[_T]) -> NDArray[_T]: ...
def gelu(x: NDArray[_T]) -> NDArray[_T]: ...
def gelu_backward(grad: NDArray[_T], x: NDArray[_T]) -> NDArray[_T]: ...
def gelu_tanh(x: NDArray[_T]) -> NDArray[_T]: ...
def gelu_tanh_backward(grad: NDArray[_T], x: NDArray[_T]) -> NDArray[_T]: ...
def hard_sigmoid(x: NDArray[_T]) -> NDArray[_T]: ...
def hard_sigmoid_backward(grad: NDArray[_T], out: NDArray[_T]) -> NDArray[_T]: ...
def hard_swish(x: NDArray[_T]) -> NDArray[_T]: ...
def hard_swish_backward(grad: NDArray[_T], x: NDArray[_T]) -> NDArray[_T]: ...
def prelu(x: NDArray[_T], weight: NDArray[_T]) -> NDArray[_T]: ...
def prelu_backward(
    grad: NDArray[_T], x: NDArray[_T], weight: NDArray[_T]
) -> tuple[NDArray[_T], NDArray[_T]]: ...
def dropout(
    x: NDArray[_T], draws: NDArray[np.float32], p: float, scale: float
) -> tuple[NDArray[_T], NDArray[_T]]: ...
def softmax(x: NDArray[_T], axis: int) -> NDArray[_T]: ...
def softmax_backward(grad: NDArray[_T], out: NDArray[_T], axis: int) -> NDArray[_T]: ...
def log_softmax(x: NDArray[_T], axis: int) -> NDArray[_T]: ...
def log_softmax_backward(grad: NDArray[_T], out: NDArray[_T], axis: int) -> NDArray[_T]: ...
def cross_entropy(
    logits: NDArray[_T], target: NDArray[Any], label_smoothing: float
) -> tuple[float, NDArray[_T]]: ...
def batch_norm_train(
    x: NDArray[_T], gamma: NDArray[_T], beta: NDArray[_T], eps: float, rectify: bool, ceiling: float
) -> tuple[NDArray[_T], NDArray[np.float64], NDArray[np.float64]]: ...
def batch_norm_infer(
    x: NDArray[_T],
    gamma: NDArray[_T],
    beta: NDArray[_T],
    mean: NDArray[np.float64],
    variance: NDArray[np.float64],
    eps: float,
    rectify: bool,
    ceiling: float,
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
    ceiling: float,
    training: bool,
    over_x: bool,
) -> tuple[NDArray[_T], NDArray[_T], NDArray[_T]]: ...
def batch_norm_add_train(
    x: NDArray[_T],
    added: NDArray[_T],
    gamma: NDArray[_T],
    beta: NDArray[_T],
    eps: float,
    rectify: bool,
) -> tuple[NDArray[_T], NDArray[np.float64], NDArray[np.float64]]: ...
def batch_norm_add_backward(
    grad: NDArray[_T],
    y: NDArray[_T],
    x: NDArray[_T],
    gamma: NDArray[_T],
    beta: NDArray[_T],
    mean: NDArray[np.float64],
    variance: NDArray[np.float64],
    eps: float,
    more: NDArray[_T] | None = None,
) -> tuple[NDArray[_T], NDArray[_T], NDArray[_T], NDArray[_T]]: ...
def group_norm(
    x: NDArray[_T], gamma: NDArray[_T], beta: NDArray[_T], groups: int, eps: float
) -> tuple[NDArray[_T], NDArray[np.float64], NDArray[np.float64]]: ...
def group_norm_backward(
    grad: NDArray[_T],
    x: NDArray[_T],
    gamma: NDArray[_T],
    beta: NDArray[_T],
    mean: NDArray[np.float64],
    variance: NDArray[np.float64],
    groups: int,
    eps: float,
) -> tuple[NDArray[_T], NDArray[_T], NDArray[_T]]: ...
def upsample2d(x: NDArray[_T], upsample: Upsample2d) -> NDArray[_T]: ...
def upsample2d_backward(
    grad: NDArray[_T], input_shape: _Shape, upsample: Upsample2d
) -> NDArray[_T]: ...
def local_response_norm(
    x: NDArray[_T], size: int, alpha: float, beta: float, k: float
) -> NDArray[_T]: ...
def local_response_norm_backward(
    grad: NDArray[_T], x: NDArray[_T], size: int, alpha: float, beta: float, k: float
) -> NDArray[_T]: ...
def add(a: NDArray[_T], b: NDArray[_T], rectify: bool) -> NDArray[_T]: ...
def add_to(x: NDArray[_T], y: NDArray[_T]) -> NDArray[_T]: ...
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

@final
class Session(metaclass=_Native):
    """A network with its weights, in inference."""

    def __init__(
        self, architecture: dict[str, Any], tensors: dict[str, NDArray[_T]], narrow: bool
    ) -> None: ...
    def predict(self, x: NDArray[_T], batch_size: int) -> NDArray[_T]: ...
