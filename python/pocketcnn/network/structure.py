"""Structure: what a network consists of, before it computes anything."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import DTypeLike

from pocketcnn._arguments import class_names, integer, sizes
from pocketcnn._sharing import Sharing, changes
from pocketcnn.layers import Array, Layer, Shape
from pocketcnn.layers.chain import checked_dtype, draw_weights, every_layer, matching_layers
from pocketcnn.layers.weight_layer import WeightLayer
from pocketcnn.network.fusion import fuse_graph
from pocketcnn.network.graph import Entry, Graph, skip_input_grad
from pocketcnn.network.preprocessing import Preprocessing

# Blocks of up to 32 MiB are recycled by the C library's allocator; larger ones come as fresh
# pages each time, and touching those costs more than small layers do.
_INFERENCE_BYTES = 32 * 2**20


class Structure:
    """Layers by name, their arrays, and which of them training changes.

    Parameters and attributes are those of `ConvNet`, which says how they are used.
    """

    def __init__(
        self,
        layers: Sequence[Entry],
        input_shape: Sequence[int],
        *,
        seed: int | None = 0,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.sharing = Sharing(
            "the network",
            "one thread at a time trains it, and others predict before or after, or use a copy "
            "that net.astype(net.dtype) made",
        )
        self._classes: list[str] | None = None
        self._preprocessing: Preprocessing | None = None
        self.input_shape = sizes("input_shape", input_shape)
        self.dtype = checked_dtype(dtype)
        self.graph = Graph(layers, self.input_shape)
        if seed is None:
            for layer in self.layers.values():
                layer.convert(self.dtype)
        else:
            schemes = self.graph.init_schemes()
            draw_weights(self.layers, schemes, integer("seed", seed, 0), self.dtype)
        self._plan()

    def _plan(self) -> None:
        """Decide how the layers are computed; again when one is frozen or exchanged."""
        skip_input_grad(self.graph)
        # Behind that, and when the layers have their dtype: which weights are large depends on it.
        self._flow, self._fusion_notes = fuse_graph(self.graph)
        largest = max(map(math.prod, self.graph.shapes)) * self.dtype.itemsize
        self._inference_batch = max(1, _INFERENCE_BYTES // largest)
        self._parts = [layer for _, layer in every_layer(self.layers) if not layer.children]
        self._large = [
            layer
            for layer in self._parts
            if isinstance(layer, WeightLayer) and layer.trains and layer.has_large_grads()
        ]
        self._frozen_parts = [layer._frozen for layer in self._parts]
        self._asked = [(layer, layer.needs_input_grad) for layer in self._parts]
        self._weighted = [
            (name, layer)
            for name, layer in self.layers.items()
            if layer.param_shapes or layer.children or layer.params
        ]
        self._still = tuple(f"{name}." for name in self.frozen)
        self._remembers: int | None = None  # the thread whose `forward` was the last use

    def _follow_layers(self) -> None:
        """Plan anew if another network that has some of the layers froze or unfroze them."""
        if [layer._frozen for layer in self._parts] != self._frozen_parts:
            self._plan()

    def drop_gradients(self) -> None:
        """Release the memory of large gradients, which a step will replace; until then, zeros."""
        for layer in self._large:
            layer.forget_grads()

    def _ask_for_gradients(self) -> None:
        """Let the layers compute those that this network needs; others may share the layers."""
        for layer, needed in self._asked:
            layer.needs_input_grad = needed

    @property
    def layers(self) -> dict[str, Layer]:
        """The layers by name, in order."""
        return self.graph.layers

    @property
    def output_shape(self) -> Shape:
        """Shape of the scores of one sample, (K,) in a classifier."""
        return self.graph.shapes[-1]

    @property
    def classes(self) -> list[str] | None:
        """Names of the classes, if they are known."""
        return self._classes

    @classes.setter
    def classes(self, names: Sequence[str] | None) -> None:
        count = self.output_shape[0] if self.output_shape else 0
        self._classes = None if names is None else class_names("classes", names, count)

    @property
    def preprocessing(self) -> Preprocessing | None:
        """How pixels become the input, if it is known."""
        return self._preprocessing

    @preprocessing.setter
    def preprocessing(self, preprocessing: Preprocessing | None) -> None:
        if not isinstance(preprocessing, (Preprocessing, type(None))):
            raise TypeError(
                f"preprocessing is {preprocessing!r:.80}, but must be a Preprocessing or None"
            )
        self._preprocessing = preprocessing

    @property
    def inputs(self) -> dict[str, tuple[str, ...]]:
        """Names of what each layer takes, by its name; "input" is the network's own input."""
        return self.graph.inputs

    @property
    def entries(self) -> list[Entry]:
        """The layers as the constructor takes them."""
        return self.graph.entries()

    @property
    def params(self) -> dict[str, Array]:
        """The parameters, ``{"conv1.weight": array}``: the arrays themselves, in a new dict.

        Change them in place: ``net.params["conv1.bias"][...] = 0``.
        """
        return _by_name(self._weighted, "params")

    @property
    def trainable(self) -> dict[str, Array]:
        """The parameters of `params` that training changes: those of layers that are not frozen."""
        return self._unfrozen(self.params)

    @property
    def grads(self) -> dict[str, Array]:
        """The derivatives that the last gradient left, with the keys of `trainable`."""
        return self._unfrozen(_by_name(self._weighted, "grads"))

    @property
    def buffers(self) -> dict[str, Array]:
        """What layers keep besides parameters, such as running means, named like `params`."""
        return _by_name(self.layers.items(), "buffers")

    @property
    def generators(self) -> dict[str, np.random.Generator]:
        """The random generators that layers draw from in training, by the layer's name."""
        layers = every_layer(self.layers)
        return {name: layer.rng for name, layer in layers if layer.rng is not None}

    def _unfrozen(self, arrays: dict[str, Array]) -> dict[str, Array]:
        if not self._still:
            return arrays
        return {name: a for name, a in arrays.items() if not name.startswith(self._still)}

    # Frozen layers

    @property
    def frozen(self) -> list[str]:
        """Names of the layers that are frozen, and of those of which all layers inside are."""
        return [name for name, layer in every_layer(self.layers) if layer.frozen]

    @changes("freezing")
    def freeze(self, *patterns: str) -> None:
        """Let training leave layers as they are.

        A frozen layer keeps its parameters and its buffers, to the bit, whatever the optimiser's
        weight decay or momentum. In training it computes as in inference: a BatchNorm2d by its
        running statistics, a Dropout passes everything on. Where no layer before it is trained
        either, it costs its forward pass only: no gradient is computed, and nothing is kept for
        one. `params` has all parameters, `trainable` and `grads` those of the other layers.

        Freezing is a setting of training. Copies have it, a saved file does not; and it is the
        layer's, in every network that has it.

        Parameters
        ----------
        *patterns : str
            Names of layers with ``*``, ``?`` and ``[...]`` as `fnmatch` has them; ``*`` stands for
            dots too. A layer inside another is ``"block1.body.conv1"``; with a layer all that are
            inside it are frozen.

        Raises
        ------
        ValueError, TypeError
            A pattern matches no layer, or there is none. Then nothing has changed.

        Examples
        --------
        >>> import pocketcnn as pc
        >>> net = pc.models.simple_convnet()
        >>> net.freeze("*")
        >>> net.unfreeze("fc2")
        >>> sorted(net.trainable)
        ['fc2.bias', 'fc2.weight']
        """
        self._set_frozen(patterns, frozen=True)

    @changes("unfreezing")
    def unfreeze(self, *patterns: str) -> None:
        """Let training change layers again that `freeze` froze.

        Parameters
        ----------
        *patterns : str
            As `freeze` takes them.
        """
        self._set_frozen(patterns, frozen=False)

    def _set_frozen(self, patterns: Sequence[str], *, frozen: bool) -> None:
        for layer in matching_layers(self.layers, patterns):
            layer.frozen = frozen
        self._plan()

    def _take_frozen(self, other: Structure) -> None:
        """Freeze the layers that are frozen in a network of the same names."""
        names = set(other.frozen)
        for name, layer in every_layer(self.layers):
            if name in names:
                layer.frozen = True
        self._plan()


def _by_name(layers: Iterable[tuple[str, Layer]], kind: str) -> dict[str, Array]:
    return {
        f"{name}.{key}": array
        for name, layer in layers
        for key, array in getattr(layer, kind).items()
    }
