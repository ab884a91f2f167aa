"""Keras on TensorFlow's CPU kernels, which take NHWC; the variants are "graph" and "XLA"."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import tensorflow as tf

from benchmarks.description import LEARNING_RATE, Array, Network, Subject, inside


def _convolution(settings: dict[str, Any]) -> list[Any]:
    """Keras pads "same" or not at all; other paddings need a layer."""
    kernel, stride, padding = (settings[key] for key in ("kernel_size", "stride", "padding"))
    same = stride == (1, 1) and all(2 * p == k - 1 for p, k in zip(padding, kernel, strict=True))
    before = [] if same or padding == (0, 0) else [keras.layers.ZeroPadding2D(padding)]
    if settings["groups"] == settings["in_channels"] == settings["out_channels"] > 1:
        depthwise = keras.layers.DepthwiseConv2D(
            kernel,
            strides=stride,
            padding="same" if same and padding != (0, 0) else "valid",
            use_bias=settings["bias"],
        )
        return [*before, depthwise]
    convolution = keras.layers.Conv2D(
        settings["out_channels"],
        kernel,
        strides=stride,
        padding="same" if same and padding != (0, 0) else "valid",
        groups=settings["groups"],
        use_bias=settings["bias"],
    )
    return [*before, convolution]


def _max_pooling(settings: dict[str, Any]) -> list[Any]:
    """After a ReLU a border of zeros is never larger than the maximum."""
    border = settings["padding"]
    before = [] if border == (0, 0) else [keras.layers.ZeroPadding2D(border)]
    return [*before, keras.layers.MaxPooling2D(settings["kernel_size"], settings["stride"])]


class _ResponseNorm(keras.layers.Layer):  # type: ignore[misc]  # the base has no type hints
    """Over an odd number of channels; TensorFlow does not divide alpha by it."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        size, beta = settings["size"], settings["beta"]
        self.settings = (size // 2, settings["k"], settings["alpha"] / size, beta)

    def call(self, x: Any) -> Any:
        return tf.nn.local_response_normalization(x, *self.settings)


def _layers(kind: str, settings: dict[str, Any]) -> list[Any]:
    if kind == "Conv2d":
        return _convolution(settings)
    if kind == "MaxPool2d":
        return _max_pooling(settings)
    if kind == "AvgPool2d":
        return [keras.layers.AveragePooling2D(settings["kernel_size"], settings["stride"])]
    if kind == "GlobalAvgPool2d":
        return [keras.layers.GlobalAveragePooling2D(keepdims=True)]
    if kind == "Linear":
        return [keras.layers.Dense(settings["out_features"], use_bias=settings["bias"])]
    if kind == "Dropout":
        return [keras.layers.Dropout(settings["p"])]
    if kind == "BatchNorm2d":
        momentum, eps = 1 - settings["momentum"], settings["eps"]
        return [keras.layers.BatchNormalization(momentum=momentum, epsilon=eps)]
    if kind == "LocalResponseNorm":
        return [_ResponseNorm(settings)]
    if kind == "Flatten":
        return [keras.layers.Flatten()]
    return [keras.layers.Activation(kind.lower())]


def _chain(network: Network, x: Any, layers: Iterable[tuple[str, str, dict[str, Any]]]) -> Any:
    """Pass a symbolic tensor through layers, which get their weights once they have shapes."""
    image: tuple[int, ...] | None = None  # shape of the images before Flatten, directly after it
    for name, kind, settings in layers:
        if kind == "Residual":
            branches = (inside(name, settings, branch) for branch in ("body", "shortcut"))
            x = keras.layers.Add()([_chain(network, x, branch) for branch in branches])
            continue
        if kind == "Flatten":
            image = x.shape[1:]
        for layer in _layers(kind, settings):
            x = layer(x)
        given = network.parameters(name)
        if kind == "BatchNorm2d":
            layer.set_weights([*given, *layer.get_weights()[len(given) :]])
        elif given:
            depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
            kernel = _kernel(given[0], kind, image)
            layer.set_weights([kernel.swapaxes(2, 3) if depthwise else kernel, *given[1:]])
        if kind == "Linear":
            image = None
    return x


def _build(network: Network) -> tuple[Any, Any]:
    tf.config.threading.set_intra_op_parallelism_threads(network.threads)
    tf.config.threading.set_inter_op_parallelism_threads(network.threads)
    keras.backend.set_floatx(network.dtype)
    channels, height, width = network.input_shape
    first = keras.Input((height, width, channels))
    model = keras.Model(first, _chain(network, first, network.shapes()))
    images = tf.constant(network.images().transpose(0, 2, 3, 1))
    return model, images


def _kernel(weight: Array, kind: str, image: tuple[int, ...] | None) -> Array:
    """Convert our weights to Keras's order."""
    if kind == "Conv2d":
        return weight.transpose(2, 3, 1, 0)
    if image is None:
        return weight.T
    height, width, channels = image
    maps = weight.reshape(-1, channels, height, width)
    return maps.transpose(2, 3, 1, 0).reshape(-1, len(weight))


def training(network: Network) -> Subject:
    """Build a compiled training step."""
    model, images = _build(network)
    labels = tf.constant(network.labels())
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.SGD(LEARNING_RATE)
    optimizer.build(model.trainable_variables)

    def step(x: Any, t: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(t, model(x, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients)
        return loss

    compiled = tf.function(step, jit_compile=network.variant == "XLA")
    return Subject(
        lambda: float(compiled(images, labels)), lambda: np.asarray(model(images, training=False))
    )
