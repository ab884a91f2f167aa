"""ChannelShuffle: channels of groups in turn."""

from __future__ import annotations

from pocketcnn._arguments import Array, integer
from pocketcnn.functional import channel_shuffle, channel_shuffle_backward
from pocketcnn.functional._channel_shuffle import require_groups
from pocketcnn.layers.base import Layer, Shape, check_image_shape


class ChannelShuffle(Layer):
    """Take the channels of groups in turn, so that the next grouped convolution mixes the groups.

    Zhang, Zhou, Lin, Sun, "ShuffleNet: An Extremely Efficient Convolutional Neural Network for
    Mobile Devices", CVPR 2018, section 3.1.

    Parameters
    ----------
    groups : int
        How many; must divide the channels.

    Examples
    --------
    >>> ChannelShuffle(2).output_shape((6, 8, 8))
    (6, 8, 8)
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = integer("groups", groups, 1)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Shuffle the channels of x (N, C, H, W)."""
        self._saved = True
        return channel_shuffle(x, self.groups)

    def backward(self, grad: Array) -> Array:
        """Put the channels in their own order again."""
        self._recall()
        return channel_shuffle_backward(grad, self.groups)

    def output_shape(self, input_shape: Shape) -> Shape:
        """As the input's."""
        check_image_shape(self, input_shape)
        require_groups(input_shape[0], self.groups)
        return input_shape
