"""Which pixels and which regions of an image speak for a class: gradients of its score."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from pocketcnn._arguments import Array
from pocketcnn.inspection.probe import (
    Probe,
    check_image_net,
    check_layer,
    check_net,
    checked_classes,
)
from pocketcnn.network.net import ConvNet


def input_gradient(net: ConvNet, x: ArrayLike, classes: ArrayLike | None = None) -> Array:
    """Differentiate a class's score by the pixels of an image, in inference mode.

    Parameters
    ----------
    net : ConvNet
        A classifier. The score is the number before softmax.
    x : array_like (N, *input_shape)
    classes : int or array_like of int (N,), optional
        One class for all images, or one for each; by default the one with the largest score.

    Returns
    -------
    ndarray (N, *input_shape), of the network's dtype

    Raises
    ------
    TypeError, ValueError
        `x` does not fit the network, there is no such class, or no score is the largest
        because some are NaN.

    Examples
    --------
    >>> import pocketcnn as pc
    >>> layers = [("flatten", pc.Flatten()), ("fc", pc.Linear(4, 3))]
    >>> net = pc.ConvNet(layers, input_shape=(1, 2, 2))
    >>> gradient = input_gradient(net, np.ones((1, 1, 2, 2)), classes=2)
    >>> np.array_equal(gradient.ravel(), net.params["fc.weight"][2])
    True
    """
    _, gradient = _differentiate(net, x, classes, None)
    return gradient


def saliency(net: ConvNet, x: ArrayLike, classes: ArrayLike | None = None) -> Array:
    """How much each pixel changes a class's score: the gradient's largest magnitude over channels.

    Simonyan, Vedaldi, Zisserman, "Deep Inside Convolutional Networks: Visualising Image
    Classification Models and Saliency Maps", ICLR workshop 2014, section 3.

    Parameters
    ----------
    net, x, classes
        As in `input_gradient`.

    Returns
    -------
    ndarray (N, H, W), of the network's dtype
        Not negative.
    """
    check_image_net(net)
    largest: Array = np.abs(input_gradient(net, x, classes)).max(axis=1)
    return largest


def grad_cam(
    net: ConvNet, x: ArrayLike, classes: ArrayLike | None = None, *, layer: str | None = None
) -> Array:
    """Map the regions whose features speak for a class (gradient-weighted class activation).

    ``relu(sum over k of a[k] * A[k])`` with the maps A of a layer and, for each, the mean
    a[k] of d score / d A[k] over the map. Selvaraju et al., "Grad-CAM: Visual Explanations
    from Deep Networks via Gradient-based Localization", ICCV 2017, equations 1 and 2.

    Parameters
    ----------
    net, x, classes
        As in `input_gradient`.
    layer : str, optional
        The layer whose maps are weighted; by default `cam_layer(net)`.

    Returns
    -------
    ndarray (N, h, w), of the network's dtype
        At the resolution of the layer's maps; not negative.

    Raises
    ------
    TypeError, ValueError
        As `input_gradient`; or the layer has no maps.
    """
    check_net(net)
    if layer is None:
        layer = cam_layer(net)
    check_layer(net, layer)
    maps, gradient = _differentiate(net, x, classes, layer)
    if maps.ndim != 4:
        raise ValueError(f"layer {layer!r} has no maps: its output has shape {maps.shape[1:]}")
    weights = gradient.mean(axis=(2, 3))
    activation: Array = np.einsum("nk,nkhw->nhw", weights, maps)
    return np.maximum(activation, 0)


def cam_layer(net: ConvNet) -> str:
    """Name the layer that Grad-CAM uses by default.

    It is the last that has maps of more than one pixel and does not shrink them: in most
    networks the activation of the last convolution, or the last residual block.

    Raises
    ------
    ValueError
        The network has no layer with maps.
    """
    check_net(net)
    found = shrinking = None
    shapes = net.graph.shapes
    for (name, _, sources), shape in zip(net.graph.nodes, shapes[1:], strict=True):
        before = shapes[sources[0]]
        if len(shape) == 3 and max(shape[1:]) > 1:
            if shape[1:] == before[1:]:
                found = name
            else:
                shrinking = name
    chosen = found or shrinking
    if chosen is None:
        raise ValueError("net has no layer whose output is a set of maps")
    return chosen


def _differentiate(
    net: ConvNet, x: ArrayLike, classes: ArrayLike | None, layer: str | None
) -> tuple[Array, Array]:
    """A layer's output (None: the input) and the gradient of the classes' scores by it."""
    probe = Probe(net)
    batch = probe.input(x)
    outputs = probe.outputs(batch)
    scores = next(reversed(outputs.values()), batch)
    chosen = checked_classes(classes, scores)
    grad = np.zeros_like(scores)
    grad[np.arange(len(scores)), chosen] = 1
    # A softmax at the end is not a layer of the probe: its input are the scores.
    return batch if layer is None else outputs.get(layer, scores), probe.gradient(grad, layer)
