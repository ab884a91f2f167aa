"""The two networks of the book "Deep Learning from Scratch"."""

from __future__ import annotations

from pathlib import Path

from pocketcnn.layers import Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU, Shape
from pocketcnn.models._parts import NamedLayers, checked_sizes, features, stages, with_weights
from pocketcnn.network.net import ConvNet

_DIGITS = Path(__file__).with_name("deep_convnet.safetensors")


def simple_convnet(
    num_classes: int = 10, *, input_shape: Shape = (1, 28, 28), seed: int | None = 0
) -> ConvNet:
    """Conv - ReLU - pool - linear - ReLU - linear: a minimal convolutional network.

    Saito, "Deep Learning from Scratch", O'Reilly Japan 2016, section 7.5: 30 filters 5x5 and 100
    hidden units.

    Examples
    --------
    >>> simple_convnet().output_shape
    (10,)
    """
    num_classes, input_shape = checked_sizes(num_classes, input_shape)
    body: NamedLayers = [
        ("conv1", Conv2d(input_shape[0], 30, kernel_size=5)),
        ("relu1", ReLU()),
        ("pool1", MaxPool2d(2)),
        ("flatten", Flatten()),
    ]
    head: NamedLayers = [
        ("fc1", Linear(features(body, input_shape), 100)),
        ("relu2", ReLU()),
        ("fc2", Linear(100, num_classes)),
    ]
    return ConvNet(body + head, input_shape, seed=seed)


def deep_convnet(
    num_classes: int = 10,
    *,
    input_shape: Shape = (1, 28, 28),
    pretrained: bool = False,
    seed: int | None = 0,
) -> ConvNet:
    """Six convolutions 3x3 in three stages, two linear layers with dropout, He initialisation.

    Saito, "Deep Learning from Scratch", O'Reilly Japan 2016, section 8.1. As there, the fourth
    convolution has a padding of 2, and dropout follows the last linear layer too.

    Parameters
    ----------
    pretrained : bool
        Whether to return a network that was trained already, and gets 99.59% of MNIST's 10,000 test
        images right. It takes MNIST's pixels divided by 255: from 0 to 1, white on black. Its
        weights are part of the package, as float16; ``tools/make_pretrained.py`` trained them on
        MNIST's 60,000 training images (Y. LeCun, C. Cortes, C. Burges). `seed` is then that of
        dropout alone.

    Raises
    ------
    ValueError
        `pretrained` with other classes or images than ten and (1, 28, 28).

    Examples
    --------
    >>> from pocketcnn import data
    >>> _, (x, t) = data.digits()
    >>> deep_convnet(pretrained=True).predict(x[:8] / 255).argmax(1).tolist(), t[:8].tolist()
    ([7, 2, 1, 0, 4, 1, 4, 9], [7, 2, 1, 0, 4, 1, 4, 9])
    """
    num_classes, input_shape = checked_sizes(num_classes, input_shape)
    if pretrained and (num_classes, input_shape) != (10, (1, 28, 28)):
        raise ValueError(
            f"num_classes is {num_classes} and input_shape {input_shape}, but the pretrained "
            "network has 10 and (1, 28, 28)"
        )
    body = stages(input_shape[0], ((16, 16), (32, 32), (64, 64)), wide=("conv2_2",))
    body.append(("flatten", Flatten()))
    head: NamedLayers = [
        ("fc1", Linear(features(body, input_shape), 50, init="he")),
        ("relu4", ReLU()),
        ("dropout1", Dropout(0.5)),
        ("fc2", Linear(50, num_classes, init="he")),
        ("dropout2", Dropout(0.5)),
    ]
    net = ConvNet(body + head, input_shape, seed=seed)
    if pretrained:
        net.classes = [str(digit) for digit in range(10)]
    return with_weights(net, _DIGITS) if pretrained else net
