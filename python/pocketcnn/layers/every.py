"""All layers at once, for those who look through the table of them."""

from importlib import import_module

from pocketcnn._lazy import LAYER_FILES
from pocketcnn.layers.base import LAYERS

__all__ = ["LAYERS"]

for _place in LAYER_FILES.values():
    import_module(f"pocketcnn.layers.{_place}")
