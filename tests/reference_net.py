"""What a network must compute, from only its layers' settings and parameters, in float64.

Every layer forward and backward by the definitions of ``reference.py``; nothing is fused, and no
code of the package computes. `Reference.margin` tells how close an activation came to a kink or a
maximum to the second largest value: single precision may decide differently there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

import pocketcnn as pc
import reference
import reference_maps
from pocketcnn.layers import Layer
from pocketcnn.layers.merge import Merge

Array: TypeAlias = npt.NDArray[np.float64]
Arrays: TypeAlias = dict[str, Array]


FROM_INPUT = (pc.SiLU, pc.GELU, pc.HardSwish)
"""Activations whose gradient takes the input."""

KINKS: dict[type[Layer], tuple[float, ...]] = {
    pc.ReLU: (0,),
    pc.LeakyReLU: (0,),
    pc.PReLU: (0,),
    pc.ELU: (0,),
    pc.ReLU6: (0, 6),
    pc.HardSigmoid: (-3, 3),
    pc.HardSwish: (-3, 3),
}
"""Where the derivative of an activation jumps."""


def _function(layer: Layer) -> str:
    """The name of an activation's definition: hard_sigmoid, leaky_relu, relu6."""
    name = type(layer).__name__
    return re.sub("^(Hard|Leaky)", r"\1_", name).lower()


class Reference:
    """Layers with copies of their parameters and running statistics.

    Parameters
    ----------
    layers : mapping of str to Layer
    inputs : mapping of str to tuple of str
        Names of what each layer takes, as `ConvNet.inputs`.
    state : mapping of str to ndarray
    frozen : collection of str
        Names of layers that compute as in inference also when the network is trained.

    Attributes
    ----------
    state : dict of str to ndarray
        Parameters and buffers by name, "conv.weight"; `forward` in training changes the buffers.
    grads : dict of str to ndarray
        The gradients of the last `backward`, for every parameter.
    terms : dict of str to float
        For the gradient of a bias, the largest sum of its terms' magnitudes: in front of a
        normalisation they cancel.
    margin : float
        Smallest distance from a kink or between two maxima since the start, as a share of the
        largest value of its array.
    """

    def __init__(
        self,
        layers: Mapping[str, Layer],
        inputs: Mapping[str, tuple[str, ...]],
        state: Mapping[str, npt.NDArray[Any]],
        frozen: Collection[str] = (),
    ) -> None:
        self.frozen = frozenset(frozen)
        self.layers, self.inputs = dict(layers), dict(inputs)
        self.state: Arrays = {name: a.astype(np.float64) for name, a in state.items()}
        self.grads: Arrays = {}
        self.terms: dict[str, float] = {}
        self.margin = np.inf
        self._saved: dict[str, Any] = {}

    def forward(
        self, x: npt.ArrayLike, generators: Mapping[str, np.random.Generator] | None = None
    ) -> Array:
        """Compute the output; `generators`, one for each Dropout by its name, mean training."""
        values = {"input": np.asarray(x, np.float64)}
        for name, sources in self.inputs.items():
            taken: Any = [values[source] for source in sources]
            layer = self.layers[name]
            taken = taken if isinstance(layer, Merge) else taken[0]
            values[name] = out = self._forward(name, layer, taken, generators)
        return out

    def backward(self, grad: npt.ArrayLike) -> Array:
        """Fill `grads`, and return the gradient of the input."""
        grads = {list(self.layers)[-1]: np.asarray(grad, np.float64)}
        for name, sources in reversed(self.inputs.items()):
            layer = self.layers[name]
            parts: Any = self._backward(name, layer, grads[name])
            for source, part in zip(
                sources, parts if isinstance(layer, Merge) else [parts], strict=True
            ):
                grads[source] = grads.get(source, 0.0) + part
        return grads["input"]

    def _chain(self, prefix: str, layers: Mapping[str, Layer], x: Array, generators: Any) -> Array:
        for name, layer in layers.items():
            x = self._forward(prefix + name, layer, x, generators)
        return x

    def _chain_backward(self, prefix: str, layers: Mapping[str, Layer], grad: Array) -> Array:
        for name, layer in reversed(layers.items()):
            grad = self._backward(prefix + name, layer, grad)
        return grad

    def _forward(self, name: str, layer: Layer, x: Any, generators: Any) -> Array:
        self._saved[name] = x
        if isinstance(layer, Merge):
            return _merged(layer, x)
        if isinstance(layer, pc.Residual):
            body = self._chain(f"{name}.body.", layer.body, x, generators)
            return body + self._chain(f"{name}.shortcut.", layer.shortcut, x, generators)
        if isinstance(layer, pc.Conv2d):
            bias = self.state.get(f"{name}.bias")
            return reference.conv2d(x, self.state[f"{name}.weight"], bias, **_window(layer))
        if isinstance(layer, pc.ConvTranspose2d):
            bias, window = self.state.get(f"{name}.bias"), _transposed(layer)
            return reference_maps.conv_transpose2d(x, self.state[f"{name}.weight"], bias, **window)
        if isinstance(layer, pc.Linear):
            return reference.linear(x, self.state[f"{name}.weight"], self.state.get(f"{name}.bias"))
        if isinstance(layer, pc.BatchNorm2d):
            training = generators is not None and name not in self.frozen
            return self._batch_norm(name, layer, x, training=training)
        if isinstance(layer, pc.LocalResponseNorm):
            return reference.local_response_norm(x, layer.size, layer.alpha, layer.beta, layer.k)
        if isinstance(layer, pc.MaxPool2d):
            return self._max_pool(name, layer, x)
        if isinstance(layer, pc.AvgPool2d):
            return reference.avg_pool2d(x, *_pool(layer), layer.count_include_pad)
        if isinstance(layer, pc.GlobalMaxPool2d):
            return self._max_pool(name, pc.MaxPool2d(x.shape[2:]), x)
        if isinstance(layer, pc.GroupNorm):
            weights = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
            return reference_maps.group_norm(x, layer.groups, *weights, layer.eps)
        if isinstance(layer, pc.Upsample):
            return reference_maps.upsample2d(x, *_resizing(layer))
        if isinstance(layer, pc.ZeroPad2d):
            return reference_maps.zero_pad2d(x, layer.padding)
        if isinstance(layer, pc.ChannelShuffle):
            return reference_maps.channel_shuffle(x, layer.groups)
        if isinstance(layer, pc.Normalize):
            return reference_maps.normalize(x, layer.mean, layer.std)
        if isinstance(layer, pc.GlobalAvgPool2d):
            return x.mean(axis=(2, 3)).reshape(len(x), *layer.output_shape(x.shape[1:]))
        if isinstance(layer, (pc.Flatten, pc.Reshape)):
            return x.reshape(len(x), *layer.output_shape(x.shape[1:]))
        if isinstance(layer, pc.Permute):
            return np.moveaxis(x, [axis + 1 for axis in layer.axes], range(1, x.ndim))
        if isinstance(layer, pc.Slice):
            return x.take(range(layer.start, layer.stop, layer.step), layer.axis)
        if isinstance(layer, pc.Clip):
            for bound in (layer.low, layer.high):
                self._near(x, np.abs(x - (np.inf if bound is None else bound)))
            return _clipped(layer, x)
        if isinstance(layer, pc.ScaleShift):
            return layer.scale * x + layer.shift
        if isinstance(layer, pc.Dropout):
            draws = generators is not None and name not in self.frozen
            self._saved[name] = _mask(layer, x, generators[name]) if draws else 1.0
            return np.asarray(x * self._saved[name])
        for kink in KINKS.get(type(layer), ()):
            self._near(x, np.abs(x - kink))
        if isinstance(layer, pc.PReLU):
            return reference.prelu(x, self.state[f"{name}.weight"])
        out = getattr(reference, _function(layer))(x, **layer.config())
        self._saved[name] = x if isinstance(layer, FROM_INPUT) else out
        return np.asarray(out)

    def _backward(self, name: str, layer: Layer, grad: Array) -> Any:
        saved = self._saved[name]
        if isinstance(layer, Merge):
            return _merged_backward(layer, saved, grad)
        if isinstance(layer, pc.Residual):
            body = self._chain_backward(f"{name}.body.", layer.body, grad)
            return body + self._chain_backward(f"{name}.shortcut.", layer.shortcut, grad)
        if isinstance(layer, (pc.Conv2d, pc.ConvTranspose2d, pc.Linear)):
            weight = self.state[f"{name}.weight"]
            if isinstance(layer, pc.Conv2d):
                gradients = reference.conv2d_backward(grad, saved, weight, **_window(layer))
            elif isinstance(layer, pc.ConvTranspose2d):
                transposed = reference_maps.conv_transpose2d_backward
                gradients = transposed(grad, saved, weight, **_transposed(layer))
            else:
                gradients = reference.linear_backward(grad, saved, weight)
            self.grads[f"{name}.weight"] = gradients[1]
            if layer.use_bias:
                self.grads[f"{name}.bias"] = gradients[2]
                self.terms[f"{name}.bias"] = _largest_sum(np.abs(grad))
            return gradients[0]
        if isinstance(layer, pc.BatchNorm2d):
            return self._batch_norm_backward(name, grad)
        if isinstance(layer, pc.LocalResponseNorm):
            return _response_backward(layer, saved, grad)
        if isinstance(layer, pc.GroupNorm):
            dx, self.grads[f"{name}.weight"], self.grads[f"{name}.bias"] = (
                reference_maps.group_norm_backward(
                    grad, saved, layer.groups, self.state[f"{name}.weight"], layer.eps
                )
            )
            return dx
        if isinstance(layer, pc.Upsample):
            return reference_maps.upsample2d_backward(grad, saved.shape, *_resizing(layer))
        if isinstance(layer, pc.ZeroPad2d):
            return reference_maps.zero_pad2d_backward(grad, layer.padding)
        if isinstance(layer, pc.ChannelShuffle):
            return reference_maps.channel_shuffle_backward(grad, layer.groups)
        if isinstance(layer, pc.Normalize):
            return reference_maps.normalize(grad, [0.0] * len(layer.std), layer.std)
        if isinstance(layer, (pc.MaxPool2d, pc.GlobalMaxPool2d)):
            return reference.max_pool2d_backward(grad, *saved)
        if isinstance(layer, pc.AvgPool2d):
            options = (*_pool(layer), layer.count_include_pad)
            return reference.avg_pool2d_backward(grad, saved.shape, *options)
        if isinstance(layer, pc.GlobalAvgPool2d):
            n, c, h, w = saved.shape
            return np.broadcast_to(grad.reshape(n, c, 1, 1), saved.shape) / (h * w)
        if isinstance(layer, (pc.Flatten, pc.Reshape)):
            return grad.reshape(saved.shape)
        if isinstance(layer, pc.Permute):
            return np.moveaxis(grad, range(1, grad.ndim), [axis + 1 for axis in layer.axes])
        if isinstance(layer, pc.Slice):
            return _slice_backward(layer, saved, grad)
        if isinstance(layer, pc.Clip):
            return np.where((saved == _clipped(layer, saved)), grad, 0.0)
        if isinstance(layer, pc.ScaleShift):
            return layer.scale * grad
        if isinstance(layer, pc.Dropout):
            return np.asarray(grad * saved)
        if isinstance(layer, pc.PReLU):
            back = reference.prelu_backward(grad, saved, self.state[f"{name}.weight"])
            self.grads[f"{name}.weight"] = back[1]
            return back[0]
        gradient = getattr(reference, f"{_function(layer)}_backward")
        return np.asarray(gradient(grad, saved, **layer.config()))

    def _batch_norm(self, name: str, layer: pc.BatchNorm2d, x: Array, *, training: bool) -> Array:
        gamma, beta = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        mean, var = self.state[f"{name}.running_mean"], self.state[f"{name}.running_var"]
        if training:
            count = x[:, 0].size
            batch_mean = x.mean(axis=(0, 2, 3))
            batch_var = ((x - batch_mean[:, None, None]) ** 2).mean(axis=(0, 2, 3))
            m = layer.momentum
            unbiased = batch_var * count / (count - 1)
            self.state[f"{name}.running_mean"] = (1 - m) * mean + m * batch_mean
            self.state[f"{name}.running_var"] = (1 - m) * var + m * unbiased
            mean, var = batch_mean, batch_var
        self._saved[name] = x, mean, np.sqrt(var + layer.eps), training
        return reference.batch_norm(x, gamma, beta, mean, var, layer.eps)

    def _batch_norm_backward(self, name: str, grad: Array) -> Array:
        x, mean, deviation, training = self._saved[name]
        column = (slice(None), None, None)
        normal = (x - mean[column]) / deviation[column]
        self.grads[f"{name}.weight"] = (grad * normal).sum(axis=(0, 2, 3))
        self.grads[f"{name}.bias"] = grad.sum(axis=(0, 2, 3))
        flowing = grad
        if training:
            along = (grad * normal).mean(axis=(0, 2, 3))
            flowing = grad - grad.mean(axis=(0, 2, 3))[column] - normal * along[column]
        gamma: Array = self.state[f"{name}.weight"]
        return np.asarray(flowing * (gamma / deviation)[column])

    def _max_pool(self, name: str, layer: pc.MaxPool2d, x: Array) -> Array:
        kernel, stride, padding, ceil_mode = _pool(layer)
        out, argmax = reference.max_pool2d(x, kernel, stride, padding, 1, ceil_mode)
        self._saved[name] = argmax, x.shape
        # The rival: the second largest value of each window.
        rows, cols = reference.axes(x.shape, kernel, stride, padding, 1, ceil_mode)
        rival = np.full(out.shape, -np.inf)
        for oh, ow, _, _, ih, iw in reference.positions(rows, cols):
            other = argmax[:, :, oh, ow] != ih * cols.size + iw
            value = np.where(other, x[:, :, ih, iw], -np.inf)
            rival[:, :, oh, ow] = np.maximum(rival[:, :, oh, ow], value)
        # Ends of a flat piece of an activation are equal in every precision.
        self._near(x, (out - rival)[(out != rival) | ~np.isin(out, (0, 1, 6))])
        return out

    def _near(self, x: Array, distances: Array) -> None:
        scale = np.abs(x).max(initial=0.0)
        if distances.size and scale:
            self.margin = min(self.margin, float(distances.min() / scale))


def _largest_sum(x: Array) -> float:
    """The largest sum of a channel's numbers."""
    return float(x.swapaxes(0, 1).reshape(x.shape[1], -1).sum(axis=1).max(initial=0.0))


def _clipped(layer: pc.Clip, x: Array) -> Array:
    low = x if layer.low is None else np.maximum(x, layer.low)
    return low if layer.high is None else np.minimum(low, layer.high)


def _slice_backward(layer: pc.Slice, x: Array, grad: Array) -> Array:
    dx = np.zeros_like(x)
    places = range(layer.start, layer.stop, layer.step)
    np.moveaxis(dx, layer.axis, 0)[list(places)] = np.moveaxis(grad, layer.axis, 0)
    return dx


def _merged(layer: Merge, x: list[Array]) -> Array:
    if isinstance(layer, pc.Concat):
        return np.concatenate(x, axis=1)
    total = np.zeros(()) if isinstance(layer, pc.Add) else np.ones(())
    for part in x:
        total = total + part if isinstance(layer, pc.Add) else total * part
    return np.asarray(total)


def _merged_backward(layer: Merge, x: list[Array], grad: Array) -> list[Array]:
    """Gradients of all inputs; those of gates (N, C, 1, 1) are summed over the maps."""
    if isinstance(layer, pc.Concat):
        ends = np.cumsum([part.shape[1] for part in x])
        return [grad[:, end - part.shape[1] : end] for part, end in zip(x, ends, strict=True)]
    parts = []
    for place, part in enumerate(x):
        slope = grad
        if isinstance(layer, pc.Multiply):
            for other in (*x[:place], *x[place + 1 :]):
                slope = slope * other
        gate = part.shape != grad.shape
        parts.append(slope.sum(axis=(2, 3), keepdims=True) if gate else slope)
    return parts


def _window(layer: pc.Conv2d | pc.ConvTranspose2d) -> dict[str, Any]:
    return {key: getattr(layer, key) for key in ("stride", "padding", "dilation", "groups")}


def _resizing(layer: pc.Upsample) -> tuple[Any, str, bool]:
    return layer.scale_factor, layer.mode, layer.align_corners


def _transposed(layer: pc.ConvTranspose2d) -> dict[str, Any]:
    return {**_window(layer), "output_padding": layer.output_padding}


def _pool(layer: pc.MaxPool2d | pc.AvgPool2d) -> tuple[Any, Any, Any, bool]:
    stride = layer.kernel_size if layer.stride is None else layer.stride
    return layer.kernel_size, stride, layer.padding, layer.ceil_mode


def _mask(layer: pc.Dropout, x: Array, rng: np.random.Generator) -> Array:
    """Inverted dropout's factors; the draws are single precision in every network."""
    return np.where(rng.random(x.shape, dtype=np.float32) >= layer.p, 1 / (1 - layer.p), 0.0)


def _response_backward(layer: pc.LocalResponseNorm, x: Array, grad: Array) -> Array:
    """d/dx_j of sum_i grad_i x_i s_i^-beta: s_i holds alpha/size x_j^2 where i's window has j."""
    scale = reference.response_scale(x, layer.size, layer.alpha, layer.k)
    shared = grad * x * scale ** (-layer.beta - 1)
    dx = grad * scale**-layer.beta
    channels = x.shape[1]
    for i in range(channels):
        for j in range(i - layer.size // 2, i + (layer.size - 1) // 2 + 1):
            if 0 <= j < channels:
                dx[:, j] -= 2 * layer.alpha * layer.beta / layer.size * x[:, j] * shared[:, i]
    return np.asarray(dx)
