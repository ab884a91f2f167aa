"""The base of all layers: a forward step, a backward step, and often parameters.

A layer checks its settings when it is made. Arrays are checked only once, where they are used, in
:mod:`pocketcnn.functional`.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from copy import deepcopy
from functools import lru_cache
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from pocketcnn._arguments import Array, require_memory, require_shape
from pocketcnn._lazy import LAYER_FILES
from pocketcnn.layers.arrays import LayerArrays, fitted, require_names
from pocketcnn.layers.init import Scheme
from pocketcnn.layers.sight import Sight

Shape: TypeAlias = tuple[int, ...]


LAYERS: dict[str, type[Layer]] = {}
"""Every layer class by its name in model files, once it is imported; your own too."""


@lru_cache(maxsize=256)
def _arguments_of(kind: type[Layer]) -> Mapping[str, inspect.Parameter]:
    """The constructor's arguments of a layer class; cached, because reading them is slow."""
    return inspect.signature(kind).parameters


class Layer(ABC):
    """One step of a network.

    A class of your own is found by its name when a model file is read, once it is defined. It must
    store its constructor's arguments as attributes, or define `config`.

    Attributes
    ----------
    params : dict of str to ndarray
        The arrays that training changes, in place: they are never replaced, and a value assigned to
        a name is copied into its array, which must have the same shape. They are drawn when first
        accessed, so a layer whose shapes alone are used costs no memory.
    grads : dict of str to ndarray
        The same keys: the derivatives of the loss, as the last `backward` left them. A trainer's
        step lets go of large ones when it begins.
    buffers : dict of str to ndarray
        Other arrays of the layer, such as running means; saved with the parameters. Drawn and
        assigned to like `params`; a new name is added.
    param_shapes, buffer_shapes : dict of str to tuple of int
        Shapes of `params` and of the `buffers` that are drawn, available without drawing them.
    dtype : numpy.dtype
        Dtype of the parameters that are not drawn yet.
    rng : numpy.random.Generator or None
        The generator that the layer draws from in training, if any.
    children : dict of str to Layer
        The layers inside this one, if any, by names with a dot: "body.conv1".
    frozen : bool
        Whether training leaves the layer, and those inside it, as they are. Networks call `forward`
        of such a layer without `training`.
    needs_input_grad : bool
        Whether `backward` must compute the gradient of the input; where it need not, None may be
        returned. Networks say so to the layers in front of which none is trained.
    preferred_init : {"he", "xavier"} or None
        The scheme for the weights of the layer before this one; None if this layer is not an
        activation function.
    """

    preferred_init: ClassVar[Scheme | None] = None
    needs_input_grad: bool = True
    _frozen = False  # what `frozen` says of a layer without others inside

    # Not present before they are first accessed.
    _params: LayerArrays
    _buffers: LayerArrays
    _grads: dict[str, Array]

    def __init__(self) -> None:
        self.param_shapes: dict[str, Shape] = {}
        self.buffer_shapes: dict[str, Shape] = {}
        self.children: dict[str, Layer] = {}
        self.dtype: np.dtype[Any] = np.dtype(np.float32)
        self.rng: np.random.Generator | None = None
        self._saved: Any = None
        self._given = False

    def __init_subclass__(cls, **options: Any) -> None:
        """Add the class to `LAYERS`; it may replace one of its name, but none of the package's."""
        super().__init_subclass__(**options)
        # Python records the abstract methods of the class only after this.
        left = (getattr(cls, name) for name in Layer.__abstractmethods__)
        if any(getattr(method, "__isabstractmethod__", False) for method in left):
            return
        if cls.__name__ not in LAYER_FILES or cls.__module__.startswith("pocketcnn."):
            LAYERS[cls.__name__] = cls

    # A layer takes an array, a Merge a list of them: the arguments' types are left to subclasses.

    @abstractmethod
    def forward(self, x: Any, training: bool = False) -> Array:
        """Compute the layer's output, and remember what `backward` needs.

        Parameters
        ----------
        x : ndarray, (N, ...)
            A batch. It is not changed; nor may the caller change it before `backward`.
        training : bool
            Whether layers that behave differently in training, such as Dropout, do so.
        """

    @abstractmethod
    def backward(self, grad: Array) -> Any:
        """Propagate the gradient of the loss from the output of the last `forward` to its input.

        Fills `grads`; need not if the layer is frozen. Returns None only if `needs_input_grad` is
        off.

        Parameters
        ----------
        grad : ndarray
            d loss / d output, of the output's shape.

        Raises
        ------
        RuntimeError
            If there was no `forward` before.
        """

    @abstractmethod
    def output_shape(self, input_shape: Any) -> Shape:
        """Shape of the output for an input of `input_shape`, both without the batch axis.

        Raises
        ------
        ValueError
            If the layer cannot take such an input.
        """

    @property
    def frozen(self) -> bool:
        """Whether training leaves the layer as it is."""
        if self.children:
            return all(child.frozen for child in self.children.values())
        return self._frozen

    @frozen.setter
    def frozen(self, frozen: bool) -> None:
        self._frozen = bool(frozen)
        for child in self.children.values():
            child.frozen = frozen
        self.__dict__.pop("_grads", None)  # of a step that was made otherwise

    @property
    def trains(self) -> bool:
        """Whether training changes a parameter of the layer or of one inside it."""
        if self.children:
            return any(child.trains for child in self.children.values())
        return bool(self.param_shapes) and not self.frozen

    def multiply_adds(self, input_shape: Any) -> int:
        """Number of multiply-adds with the weights for one input."""
        return 0

    def sight(self, input_shape: Shape) -> tuple[Sight, Sight] | None:
        """Which rows and columns of maps (C, H, W) an output depends on.

        None leaves it to the attributes of a window, `kernel_size` and those that go with it. A
        layer without them is taken to see the place of the output alone if it keeps height and
        width, and the whole map if not.
        """
        return None

    def child_inputs(self, input_shape: Any) -> dict[str, Shape]:
        """Shape of the input of each of `children` for an input of `input_shape`."""
        return {}

    # Two threads with a first access must find the same arrays, and a lock could be copied locked
    # by a fork. So both draw, which gives equal arrays, and setdefault keeps one.

    @property
    def params(self) -> dict[str, Array]:
        """The arrays that training changes; drawn when first accessed."""
        try:
            return self._params
        except AttributeError:
            pass
        drawn = self._first_params(self.draw_params(np.random.default_rng(0), auto="he"))
        self.__dict__.setdefault("_params", drawn)
        return self._params

    @params.setter
    def params(self, params: Mapping[str, Array]) -> None:
        fit = self._first_params(params)
        for key, array in self.__dict__.setdefault("_params", fit).items():
            array[...] = fit[key]

    @property
    def is_drawn(self) -> bool:
        """Whether the parameters exist: they were accessed or given."""
        return "_params" in self.__dict__

    @property
    def buffers(self) -> dict[str, Array]:
        """Other arrays of the layer; drawn when first accessed."""
        try:
            return self._buffers
        except AttributeError:
            pass
        self.__dict__.setdefault("_buffers", self._as_buffers(self.draw_buffers()))
        return self._buffers

    @buffers.setter
    def buffers(self, buffers: Mapping[str, Array]) -> None:
        self.__dict__["_buffers"] = self._as_buffers(buffers)

    @property
    def grads(self) -> dict[str, Array]:
        """The gradients of the last `backward`; zero before the first."""
        try:
            return self._grads
        except AttributeError:
            pass
        # np.zeros gets zeroed pages from the system: pages never written cost nothing.
        zeros = {key: np.zeros(p.shape, p.dtype) for key, p in self.params.items()}
        self.__dict__.setdefault("_grads", zeros)
        return self._grads

    @grads.setter
    def grads(self, grads: dict[str, Array]) -> None:
        self.__dict__["_grads"] = grads

    def draw_params(self, rng: np.random.Generator, auto: Scheme) -> dict[str, Array]:
        """Draw the first parameters, of `self.dtype`; `auto` is what ``init="auto"`` means here."""
        return dict(self.__dict__.get("_params", {}))

    def draw_buffers(self) -> dict[str, Array]:
        """Make the first buffers, of `self.dtype`."""
        return {}

    def has_own_weights(self) -> bool:
        """Whether the parameters differ from those drawn at the first access."""
        if not self.param_shapes or not self.is_drawn:
            return False
        if self._given:
            return True
        first = self.draw_params(np.random.default_rng(0), auto="he")
        return any(not np.array_equal(self.params[key], array) for key, array in first.items())

    def initialize(
        self, rng: np.random.Generator, *, auto: Scheme = "he", dtype: DTypeLike = np.float32
    ) -> None:
        """Start again: draw the parameters and forget gradients and inputs."""
        self.dtype = np.dtype(dtype)
        self.buffers = {key: a.astype(self.dtype, copy=False) for key, a in self.buffers.items()}
        self.set_state(self._first_params(self.draw_params(rng, auto)))

    def state(self) -> dict[str, Array]:
        """Return parameters and buffers: together, what a file stores of the layer."""
        return {**self.params, **self.buffers}

    def state_shapes(self) -> dict[str, Shape]:
        """Shapes of `state`, available without drawing it."""
        made = self.__dict__.get("_buffers", {})
        shapes = {key: array.shape for key, array in made.items()}
        return {**self.param_shapes, **self.buffer_shapes, **shapes}

    def set_state(self, state: Mapping[str, Array]) -> None:
        """Use the given arrays of `state_shapes`; forget gradients and inputs.

        Buffers that are left out stay unchanged. Arrays that are not of the layer's dtype, in C
        order and writeable, and parameters that do not begin on a cache line, are copied.

        Raises
        ------
        ValueError, TypeError
            If a parameter is missing, unknown, or does not fit. Then nothing has changed.
        """
        shapes = self.state_shapes()
        require_names(type(self).__name__, state, self.param_shapes, shapes)
        fit = {key: fitted(key, state[key], shapes[key], self.dtype) for key in state}
        self.__dict__["_params"] = self._as_params(fit)
        if rest := {key: fit[key] for key in fit.keys() - self.param_shapes}:
            self.buffers = {**self.buffers, **rest}
        self._given = True
        self.__dict__.pop("_grads", None)
        self.clear()

    def _first_params(self, params: Mapping[str, Array]) -> LayerArrays:
        """Arrays drawn or assigned; a layer without `param_shapes` uses the shapes of these."""
        if not self.param_shapes:
            self.param_shapes = {key: np.shape(value) for key, value in params.items()}
        require_names(type(self).__name__, params, self.param_shapes)
        shapes = self.param_shapes.items()
        return self._as_params(
            {key: fitted(key, params[key], shape, self.dtype) for key, shape in shapes}
        )

    def _as_params(self, fit: Mapping[str, Array]) -> LayerArrays:
        arrays = {key: fit[key] for key in self.param_shapes}
        return LayerArrays(type(self).__name__, "parameter", arrays)

    def _as_buffers(self, buffers: Mapping[str, Array]) -> LayerArrays:
        for key, shape in self.buffer_shapes.items():
            require_shape(key, np.asarray(buffers[key]), shape)
        return LayerArrays(type(self).__name__, "buffer", buffers, fixed=False)

    def convert(self, dtype: DTypeLike) -> None:
        """Give parameters, drawn or not, and buffers another dtype."""
        self.dtype = np.dtype(dtype)
        made = self.__dict__
        kept = {**made.get("_params", {}), **made.get("_buffers", {})}
        if all(array.dtype == self.dtype for array in kept.values()):
            return
        if "_buffers" in made:
            self.buffers = {key: array.astype(dtype) for key, array in self.buffers.items()}
        if "_params" in made:
            self.set_state(self.params)

    def astype(self, dtype: DTypeLike) -> Layer:
        """Return an independent copy of the layer, its parameters converted to `dtype`."""
        twin = type(self)(**self.config())
        twin.dtype = np.dtype(dtype)
        twin.buffers = {key: array.astype(dtype) for key, array in self.buffers.items()}
        twin.set_state(twin._first_params({k: a.astype(dtype) for k, a in self.params.items()}))
        twin.rng = deepcopy(self.rng)
        return twin

    def clear(self) -> None:
        """Release what `forward` remembered for `backward`."""
        self._saved = None

    def _recall(self) -> Any:
        if self._saved is None:
            raise RuntimeError(f"{type(self).__name__}.backward needs a forward before it")
        return self._saved

    def config(self) -> dict[str, Any]:
        """Arguments that make such a layer again, as JSON values: ``type(layer)(**config)``."""
        return {name: self._argument(name) for name in _arguments_of(type(self))}

    def _argument(self, name: str) -> Any:
        try:
            return getattr(self, name)
        except AttributeError:
            raise AttributeError(
                f"{type(self).__name__} has no attribute {name!r}, where `config` looks for the "
                "constructor's argument of that name"
            ) from None

    def __repr__(self) -> str:
        """Sizes of input and output by position, other settings by name unless at default."""
        shown = []
        config = self.config()
        for name, parameter in _arguments_of(type(self)).items():
            if name.startswith(("in_", "out_")):
                shown.append(f"{config[name]}")
            elif config[name] != parameter.default:
                shown.append(f"{name}={config[name]!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


def check_image_shape(layer: Layer, shape: Shape) -> None:
    """Raise ValueError unless `shape` is one of images (C, H, W)."""
    if len(shape) != 3:
        raise ValueError(f"{layer!r} takes inputs (C, H, W), but gets {shape}")
    require_memory("input_shape", shape)
