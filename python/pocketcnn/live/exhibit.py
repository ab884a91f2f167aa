"""Exhibit: a network that is looked at, mostly with one image at a time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketcnn import functional as F
from pocketcnn._arguments import Array
from pocketcnn.inspection import TopPatches, grad_cam, saliency, top_patches
from pocketcnn.layers import Softmax
from pocketcnn.live.anatomy import describe, find_layer
from pocketcnn.live.explaining import Explanation, explain
from pocketcnn.live.strips import MOST_MAPS, strip, to_bytes
from pocketcnn.live.unfolding import unfold
from pocketcnn.network.graph import INPUT
from pocketcnn.network.net import ConvNet
from pocketcnn.network.preprocessing import Preprocessing
from pocketcnn.training.checkpoint import network_arrays

Pixels = NDArray[np.uint8]

# Images whose activations are kept, because a pointer that moves asks for many numbers of one.
_KEPT = 2

_ATTRIBUTIONS: dict[str, Callable[[ConvNet, Array, int], Array]] = {
    "cam": grad_cam,
    "saliency": saliency,
}

# Patches of a channel; and how many images are searched for them: so many that it takes some
# seconds.
_PATCHES = 9
_LEAST_SEARCHED, _MOST_SEARCHED, _SUMS_SEARCHED = 20, 500, 10**11


class Exhibit:
    """A network, without residual blocks, whose weights may be exchanged between two looks.

    Any number of threads may look at once; they wait for each other.

    Parameters
    ----------
    net : ConvNet
        It is copied.
    classes : list of str or None
        Names of the scores; None if the network gives something else than scores.

    Attributes
    ----------
    classes : list of str or None
    input_shape : tuple of int
    """

    def __init__(self, net: ConvNet, classes: Sequence[str] | None) -> None:
        self.classes = None if classes is None else list(classes)
        self.input_shape = net.input_shape
        self._net = unfold(net)
        self._preparation = net.preprocessing or Preprocessing()
        self._lock, self._search = threading.Lock(), threading.Lock()
        self._last = self._net.graph.nodes[-1].name
        self._sums = 1 + sum(
            node.layer.multiply_adds(self._net.graph.input_shape_of(node))
            for node in self._net.graph.nodes
        )
        self._known: OrderedDict[bytes, dict[str, Array]] = OrderedDict()
        self._found: dict[str, TopPatches] = {}

    @property
    def net(self) -> ConvNet:
        """The unfolded network; not to be changed."""
        return self._net

    def describe(self) -> dict[str, Any]:
        """Describe the network for the page."""
        return {
            "input": self.input_shape,
            "classes": self.classes,
            "resize": self._preparation.resize,
            "layers": describe(self._net),
        }

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Exchange the weights for those of another unfolded network of the same layers."""
        with self._search, self._lock:
            own = network_arrays(self._net)
            for name, array in arrays.items():
                own[name][...] = array
            self._known.clear()
            self._found.clear()

    def predict(self, images: Pixels) -> NDArray[np.float64]:
        """Compute the probabilities of the classes for images (N, C, H, W)."""
        with self._lock:
            return self._probabilities(self._net.predict(self._preparation.scaled(images)))

    def look(
        self, image: Pixels, layers: Sequence[str], count: int
    ) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Compute probabilities, and some maps of some layers, for an image (C, H, W).

        Returns
        -------
        about : dict
            `probabilities`, and `strips`: for each layer what `strip` says.
        arrays : dict of ndarray
            The maps of each layer.
        """
        with self._lock:
            values = self._values(image)
            strips, arrays = {}, {}
            for name in layers:
                if name != INPUT:
                    find_layer(self._net, name)
                strips[name], arrays[name] = strip(values[name], min(count, MOST_MAPS))
        return {"probabilities": self._scores(values), "strips": strips}, arrays

    def plane(self, image: Pixels, layer: str, channel: int) -> NDArray[Any]:
        """Return one whole map (H, W) of a layer."""
        with self._lock:
            find_layer(self._net, layer)
            maps = self._values(image)[layer]
        if maps.ndim != 3 or not 0 <= channel < len(maps):
            raise LookupError(f"channel is {channel}, but {layer} gives {maps.shape}")
        plane: NDArray[Any] = maps[channel]
        return plane

    def explain(self, image: Pixels, layer: str, place: Sequence[int]) -> Explanation:
        """Explain one number of a layer; see `explaining.explain`."""
        with self._lock:
            find_layer(self._net, layer)
            return explain(self._net, self._values(image), layer, place)

    def attribute(self, image: Pixels, chosen: int, kind: str) -> NDArray[np.uint8]:
        """Return what speaks for a class, scaled to its largest.

        Parameters
        ----------
        image : ndarray of uint8 (C, H, W)
        chosen : int
            The class.
        kind : {"cam", "saliency"}
            Grad-CAM (h, w), or saliency (H, W).

        Raises
        ------
        LookupError
            There is no such class or kind.
        ValueError
            The network does not give scores, or has no maps for Grad-CAM.
        """
        if self.classes is None:
            raise ValueError("the network gives no scores of classes")
        if not 0 <= chosen < len(self.classes):
            raise LookupError(f"class is {chosen}, but there are {len(self.classes)}")
        if kind not in _ATTRIBUTIONS:
            raise LookupError(f"kind is {kind!r:.40}: wanted one of {', '.join(_ATTRIBUTIONS)}")
        x = self._preparation.scaled(image[np.newaxis])
        with self._lock:
            found = _ATTRIBUTIONS[kind](self._net, x, chosen)[0]
        return to_bytes(found, 0.0, float(found.max()))

    def excite(
        self, layer: str, channel: int, images: Pixels
    ) -> tuple[dict[str, Any], NDArray[np.uint8]]:
        """Find the patches of images (N, C, H, W) that excite a channel of a layer most.

        Returns
        -------
        about : dict
            `values` of the patches, `images` and `positions`, and how many were `searched`.
        patches : ndarray of uint8 (K, C, h, w)
            Black where they reach past an image's edge.
        """
        find_layer(self._net, layer)
        count = max(_LEAST_SEARCHED, min(_MOST_SEARCHED, _SUMS_SEARCHED // self._sums))
        images = images[:count]
        with self._search:
            if layer not in self._found:
                with self._lock:
                    twin = self._net.astype(self._net.dtype)
                x = self._preparation.scaled(images)
                self._found[layer] = top_patches(twin, x, layer, count=_PATCHES)
            every = self._found[layer]
        if not 0 <= channel < len(every.channels):
            raise LookupError(f"channel is {channel}, but {layer} has {len(every.channels)}")
        only = slice(channel, channel + 1)
        top = replace(
            every,
            channels=every.channels[only],
            images=every.images[only],
            positions=every.positions[only],
            values=every.values[only],
        )
        about = {
            "searched": len(images),
            "values": top.values[0].tolist(),
            "images": top.images[0].tolist(),
            "positions": top.positions[0].tolist(),
        }
        return about, np.nan_to_num(top.cut(images)[0]).astype(np.uint8)

    def features(self, images: Pixels) -> NDArray[np.float32]:
        """Compute what the last layer with weights takes, a row of unit length per image.

        Of a network whose weights are not exchanged: nobody waits for it.
        """
        x = self._preparation.scaled(images)
        weighted = [name for name, layer in self._net.layers.items() if layer.param_shapes]
        source = self._net.graph.inputs[weighted[-1]][0] if weighted else INPUT
        rows = x if source == INPUT else self._net.features(x, upto=source)
        rows = rows.reshape(len(rows), -1).astype(np.float32)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        unit: NDArray[np.float32] = rows / np.maximum(lengths, np.finfo(np.float32).tiny)
        return unit

    def _values(self, image: Pixels) -> dict[str, Array]:
        """What every layer gives for an image."""
        key = image.tobytes()
        if key not in self._known:
            x = self._preparation.scaled(image[np.newaxis])
            values = {INPUT: x[0]}
            values.update((name, out[0]) for name, out in self._net.activations(x).items())
            self._known[key] = values
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]

    def _scores(self, values: Mapping[str, Array]) -> list[float] | None:
        if self.classes is None:
            return None
        probabilities: list[float] = self._probabilities(values[self._last][np.newaxis])[0].tolist()
        return probabilities

    def _probabilities(self, scores: Array) -> NDArray[np.float64]:
        wide = scores.astype(np.float64)
        return wide if isinstance(self._net.layers[self._last], Softmax) else F.softmax(wide)
