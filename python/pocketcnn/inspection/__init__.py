"""What a network sees and why it decides: computed here, drawn by :mod:`pocketcnn.plot`.

Every function takes any `ConvNet`, returns plain arrays, needs no Matplotlib and leaves the
network as it was: parameters, gradients, buffers, generators, and what its layers keep for
`backward`.
"""

from pocketcnn.inspection.attribution import cam_layer, grad_cam, input_gradient, saliency
from pocketcnn.inspection.excitation import TopPatches, top_patches
from pocketcnn.inspection.mistakes import confusion_matrix, misclassified
from pocketcnn.inspection.receptive import ReceptiveField, receptive_field

__all__ = [
    "ReceptiveField",
    "TopPatches",
    "cam_layer",
    "confusion_matrix",
    "grad_cam",
    "input_gradient",
    "misclassified",
    "receptive_field",
    "saliency",
    "top_patches",
]


def __dir__() -> list[str]:
    """List the public names, which completion shows."""
    return sorted(__all__)
