"""What each operator of ONNX becomes, one function per operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pocketcnn.onnx.builder import Builder
from pocketcnn.onnx.node import Node, Value
from pocketcnn.onnx.operators import (
    activation,
    arithmetic,
    convolution,
    dense,
    layout,
    normalization,
    padding,
    pooling,
    resize,
)

Operator = Callable[[Node, Builder], Value | Sequence[Value]]

OPERATORS: dict[str, Operator] = {
    "Add": arithmetic.add,
    "AveragePool": pooling.average_pool,
    "BatchNormalization": normalization.batch_normalization,
    "Cast": layout.cast,
    "CastLike": layout.cast,
    "Celu": activation.celu,
    "Clip": activation.clip,
    "Concat": layout.concat,
    "Conv": convolution.conv,
    "ConvTranspose": convolution.conv_transpose,
    "DepthToSpace": layout.depth_to_space,
    "Div": arithmetic.divide,
    "Dropout": normalization.dropout,
    "Elu": activation.elu,
    "Erf": activation.erf,
    "Expand": layout.expand,
    "Flatten": layout.flatten,
    "Gather": layout.gather,
    "Gelu": activation.gelu,
    "Gemm": dense.gemm,
    "GlobalAveragePool": pooling.global_average_pool,
    "GlobalMaxPool": pooling.global_max_pool,
    "GroupNormalization": normalization.group_normalization,
    "HardSigmoid": activation.hard_sigmoid,
    "HardSwish": activation.hard_swish,
    "Identity": layout.identity,
    "InstanceNormalization": normalization.instance_normalization,
    "LRN": normalization.local_response_normalization,
    "LeakyRelu": activation.leaky_relu,
    "LogSoftmax": activation.log_softmax,
    "MatMul": dense.matmul,
    "Max": arithmetic.maximum,
    "MaxPool": pooling.max_pool,
    "Mean": arithmetic.mean,
    "Min": arithmetic.minimum,
    "Mul": arithmetic.multiply,
    "Neg": arithmetic.negate,
    "PRelu": activation.p_relu,
    "Pad": padding.pad,
    "Pow": arithmetic.power,
    "ReduceMax": pooling.reduce_max,
    "ReduceMean": pooling.reduce_mean,
    "ReduceSum": pooling.reduce_sum,
    "Relu": activation.relu,
    "Reshape": layout.reshape,
    "Resize": resize.resize,
    "Selu": activation.selu,
    "Shape": layout.shape,
    "Sigmoid": activation.sigmoid,
    "Size": layout.size,
    "Slice": layout.slice_,
    "Softmax": activation.softmax,
    "Split": layout.split,
    "Squeeze": layout.squeeze,
    "Sub": arithmetic.subtract,
    "Sum": arithmetic.total,
    "Swish": activation.swish,
    "Tanh": activation.tanh,
    "Transpose": layout.transpose,
    "Unsqueeze": layout.unsqueeze,
    "Upsample": resize.upsample,
}

__all__ = ["OPERATORS", "Operator"]
