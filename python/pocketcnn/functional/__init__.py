"""Convolution, pooling and what else a network computes, as functions of NumPy arrays.

Every function checks its arguments, then makes one native call. Images and feature maps are
(N, C, H, W). float32 and float64 are computed as they come; float16 and integers in float32,
and float16 comes back as float16; different floats are promoted as NumPy does. Inputs are never
modified; results are new C-contiguous arrays.

``kernel_size``, ``stride`` and ``dilation`` are an int or (h, w); ``padding`` is an int, (h, w),
((top, bottom), (left, right)), "same" or "valid". A window has
``floor((in + pad - dilation * (kernel - 1) - 1) / stride) + 1`` positions along an axis.

A ``*_backward`` takes what its forward took, or instead what that handed out for it: a cache
(``batch_norm``, ``group_norm``, ``local_response_norm``), the argmax (``max_pool2d``) or the output
(``relu``, ``relu6``, ``leaky_relu``, ``elu``, ``sigmoid``, ``hard_sigmoid``, ``tanh``, ``softmax``,
``log_softmax``).

A wrong rank, size or value raises ValueError and a dtype that cannot be an image TypeError.
"""

from typing import TYPE_CHECKING

from pocketcnn._lazy import import_when_used

if TYPE_CHECKING:
    from pocketcnn.functional._activation import (
        elu,
        elu_backward,
        gelu,
        gelu_backward,
        hard_sigmoid,
        hard_sigmoid_backward,
        hard_swish,
        hard_swish_backward,
        leaky_relu,
        leaky_relu_backward,
        prelu,
        prelu_backward,
        relu,
        relu6,
        relu6_backward,
        relu_backward,
        sigmoid,
        sigmoid_backward,
        silu,
        silu_backward,
        tanh,
        tanh_backward,
    )
    from pocketcnn.functional._batch_norm import (
        batch_norm,
        batch_norm_backward,
    )
    from pocketcnn.functional._channel_shuffle import (
        channel_shuffle,
        channel_shuffle_backward,
    )
    from pocketcnn.functional._column_matrix import (
        col2im,
        im2col,
    )
    from pocketcnn.functional._conv2d import (
        conv2d,
        conv2d_backward,
    )
    from pocketcnn.functional._conv_plan import (
        ConvPassPlan,
        ConvPlan,
        conv2d_plan,
    )
    from pocketcnn.functional._conv_transpose2d import (
        conv_transpose2d,
        conv_transpose2d_backward,
    )
    from pocketcnn.functional._cross_entropy import (
        cross_entropy,
    )
    from pocketcnn.functional._dropout import (
        dropout,
    )
    from pocketcnn.functional._group_norm import (
        group_norm,
        group_norm_backward,
    )
    from pocketcnn.functional._linear import (
        LinearWeightGrad,
        linear,
        linear_backward,
    )
    from pocketcnn.functional._local_response_norm import (
        local_response_norm,
        local_response_norm_backward,
    )
    from pocketcnn.functional._optimizer import (
        adagrad_update,
        adam_update,
        rmsprop_update,
        sgd_update,
    )
    from pocketcnn.functional._pool2d import (
        avg_pool2d,
        avg_pool2d_backward,
        max_pool2d,
        max_pool2d_backward,
    )
    from pocketcnn.functional._softmax import (
        log_softmax,
        log_softmax_backward,
        softmax,
        softmax_backward,
    )
    from pocketcnn.functional._upsample2d import (
        upsample2d,
        upsample2d_backward,
    )
    from pocketcnn.functional._zero_pad2d import (
        zero_pad2d,
        zero_pad2d_backward,
    )

__all__ = [
    "ConvPassPlan",
    "ConvPlan",
    "LinearWeightGrad",
    "adagrad_update",
    "adam_update",
    "avg_pool2d",
    "avg_pool2d_backward",
    "batch_norm",
    "batch_norm_backward",
    "channel_shuffle",
    "channel_shuffle_backward",
    "col2im",
    "conv2d",
    "conv2d_backward",
    "conv2d_plan",
    "conv_transpose2d",
    "conv_transpose2d_backward",
    "cross_entropy",
    "dropout",
    "elu",
    "elu_backward",
    "gelu",
    "gelu_backward",
    "group_norm",
    "group_norm_backward",
    "hard_sigmoid",
    "hard_sigmoid_backward",
    "hard_swish",
    "hard_swish_backward",
    "im2col",
    "leaky_relu",
    "leaky_relu_backward",
    "linear",
    "linear_backward",
    "local_response_norm",
    "local_response_norm_backward",
    "log_softmax",
    "log_softmax_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "prelu",
    "prelu_backward",
    "relu",
    "relu6",
    "relu6_backward",
    "relu_backward",
    "rmsprop_update",
    "sgd_update",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "softmax",
    "softmax_backward",
    "tanh",
    "tanh_backward",
    "upsample2d",
    "upsample2d_backward",
    "zero_pad2d",
    "zero_pad2d_backward",
]

# The names of each file, which is imported when one of them is first used.
_FILES = {
    "_activation": (
        "elu", "elu_backward", "gelu", "gelu_backward", "hard_sigmoid", "hard_sigmoid_backward",
        "hard_swish", "hard_swish_backward", "leaky_relu", "leaky_relu_backward", "prelu",
        "prelu_backward", "relu", "relu_backward", "relu6", "relu6_backward", "sigmoid",
        "sigmoid_backward", "silu", "silu_backward", "tanh", "tanh_backward",
    ),
    "_batch_norm": ("batch_norm", "batch_norm_backward"),
    "_channel_shuffle": ("channel_shuffle", "channel_shuffle_backward"),
    "_column_matrix": ("col2im", "im2col"),
    "_conv2d": ("conv2d", "conv2d_backward"),
    "_conv_plan": ("ConvPassPlan", "ConvPlan", "conv2d_plan"),
    "_conv_transpose2d": ("conv_transpose2d", "conv_transpose2d_backward"),
    "_cross_entropy": ("cross_entropy",),
    "_dropout": ("dropout",),
    "_group_norm": ("group_norm", "group_norm_backward"),
    "_linear": ("LinearWeightGrad", "linear", "linear_backward"),
    "_local_response_norm": ("local_response_norm", "local_response_norm_backward"),
    "_optimizer": ("adagrad_update", "adam_update", "rmsprop_update", "sgd_update"),
    "_pool2d": ("avg_pool2d", "avg_pool2d_backward", "max_pool2d", "max_pool2d_backward"),
    "_softmax": ("log_softmax", "log_softmax_backward", "softmax", "softmax_backward"),
    "_upsample2d": ("upsample2d", "upsample2d_backward"),
    "_zero_pad2d": ("zero_pad2d", "zero_pad2d_backward"),
}  # fmt: skip

if not TYPE_CHECKING:
    places = {name: file for file, names in _FILES.items() for name in names}
    __getattr__ = import_when_used(__name__, places)


def __dir__() -> list[str]:
    """List the public names, which completion shows."""
    return sorted(__all__)
