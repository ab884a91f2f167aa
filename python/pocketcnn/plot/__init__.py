"""Pictures of networks and of their training. matplotlib is imported only when one is drawn.

Figures are made without pyplot: nothing global changes, no window opens, and no display is needed.
A notebook shows a figure that is the value of a cell, or that is passed to ``display``;
`figure.savefig(path)` writes it. Names of classes, layers and runs are drawn literally, also a
dollar sign, in installed fonts that have their letters.
Colours are those of Okabe and Ito (https://jfly.uni-koeln.de/color/) and matplotlib's colour
maps that colour-blind readers can tell apart. What a picture shows is computed in
:mod:`pocketcnn.inspection`, without matplotlib.
"""

from pocketcnn.plot.attribution import explain, grad_cam, saliency
from pocketcnn.plot.diagram import architecture
from pocketcnn.plot.maps import feature_maps
from pocketcnn.plot.mistakes import confusion_matrix, misclassified
from pocketcnn.plot.patches import top_patches
from pocketcnn.plot.rates import rate_finder
from pocketcnn.plot.scaling import scaling, timeline
from pocketcnn.plot.segments import segmentation
from pocketcnn.plot.training import compare, curves
from pocketcnn.plot.weights import filters

__all__ = [
    "architecture",
    "compare",
    "confusion_matrix",
    "curves",
    "explain",
    "feature_maps",
    "filters",
    "grad_cam",
    "misclassified",
    "rate_finder",
    "saliency",
    "scaling",
    "segmentation",
    "timeline",
    "top_patches",
]


def __dir__() -> list[str]:
    """List the public names, which completion shows."""
    return sorted(__all__)
