"""The interface of the book *Deep Learning from Scratch*, computed by this package.

Code written with K. Saito's book (O'Reilly Japan, 2016) imports ``common.layers``,
``common.optimizer`` and so on. All their names are here, with the same arguments, attributes and
results: results differ by rounding, random draws come from ``np.random`` in the same order, and
float64 stays float64. Clear errors of the book's code are fixed; docs/from-scratch.md lists them.

Either change the imports:

>>> from pocketcnn.scratch import SimpleConvNet, Trainer

or leave the code as it is, and before its first import:

>>> import pocketcnn.scratch
>>> pocketcnn.scratch.install_common()
"""

from pocketcnn.scratch.common import install_common
from pocketcnn.scratch.convnets import DeepConvNet, SimpleConvNet
from pocketcnn.scratch.functions import (
    cross_entropy_error,
    identity_function,
    mean_squared_error,
    relu,
    relu_grad,
    sigmoid,
    sigmoid_grad,
    softmax,
    softmax_loss,
    step_function,
    sum_squared_error,
)
from pocketcnn.scratch.gradient import numerical_gradient, numerical_gradient_2d
from pocketcnn.scratch.layers import (
    Affine,
    BatchNormalization,
    Convolution,
    Dropout,
    Pooling,
    Relu,
    Sigmoid,
    SoftmaxWithLoss,
)
from pocketcnn.scratch.multi_layer_net import MultiLayerNet, MultiLayerNetExtend, TwoLayerNet
from pocketcnn.scratch.optimizer import SGD, AdaGrad, Adam, Momentum, Nesterov, RMSprop
from pocketcnn.scratch.parameters import load_params, save_params
from pocketcnn.scratch.trainer import Trainer
from pocketcnn.scratch.util import (
    col2im,
    conv_output_size,
    im2col,
    shuffle_dataset,
    smooth_curve,
)

__all__ = [
    "SGD",
    "AdaGrad",
    "Adam",
    "Affine",
    "BatchNormalization",
    "Convolution",
    "DeepConvNet",
    "Dropout",
    "Momentum",
    "MultiLayerNet",
    "MultiLayerNetExtend",
    "Nesterov",
    "Pooling",
    "RMSprop",
    "Relu",
    "Sigmoid",
    "SimpleConvNet",
    "SoftmaxWithLoss",
    "Trainer",
    "TwoLayerNet",
    "col2im",
    "conv_output_size",
    "cross_entropy_error",
    "identity_function",
    "im2col",
    "install_common",
    "load_params",
    "mean_squared_error",
    "numerical_gradient",
    "numerical_gradient_2d",
    "relu",
    "relu_grad",
    "save_params",
    "shuffle_dataset",
    "sigmoid",
    "sigmoid_grad",
    "smooth_curve",
    "softmax",
    "softmax_loss",
    "step_function",
    "sum_squared_error",
]


def __dir__() -> list[str]:
    """List the public names, which completion shows."""
    return sorted(__all__)
