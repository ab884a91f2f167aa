"""The named networks, as their papers or books describe them.

Every function takes the number of classes, the shape of one image and a seed; see `ConvNet` for
what a seed does. ``seed=None`` draws the weights only when they are first used, so that a large
network can be inspected without memory for its weights.
"""

from pocketcnn.models._alexnet import alexnet
from pocketcnn.models._book import deep_convnet, simple_convnet
from pocketcnn.models._efficientnet import efficientnet_lite0
from pocketcnn.models._lenet import lenet5
from pocketcnn.models._mobilenet import mobilenet_v2
from pocketcnn.models._resnet import compact_resnet, resnet18, resnet50
from pocketcnn.models._unet import unet
from pocketcnn.models._vgg import vgg16

__all__ = [
    "alexnet",
    "compact_resnet",
    "deep_convnet",
    "efficientnet_lite0",
    "lenet5",
    "mobilenet_v2",
    "resnet18",
    "resnet50",
    "simple_convnet",
    "unet",
    "vgg16",
]


def __dir__() -> list[str]:
    """List the public names, which completion shows."""
    return sorted(__all__)
