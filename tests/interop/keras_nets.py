"""Networks of Keras' layers, channels last as Keras has them by default."""

from __future__ import annotations

from typing import Any

from keras import Model, Sequential, layers


def _separable() -> Any:
    """The block of MobileNet, with a shortcut and a gate."""
    x = first = layers.Input((16, 16, 8))
    x = layers.DepthwiseConv2D(3, padding="same")(x)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU(max_value=6.0)(x)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(8, 1, activation="hard_sigmoid")(gate)
    x = layers.Multiply()([x, gate])
    x = layers.Conv2D(8, 1)(x)
    x = layers.Add()([x, first])
    x = layers.GlobalAveragePooling2D()(x)
    return Model(first, layers.Dense(5)(x))


def _unet() -> Any:
    first = layers.Input((8, 12, 2))
    a = layers.Conv2D(4, 3, padding="same", activation="relu")(first)
    b = layers.Conv2D(6, 3, padding="same", activation="elu")(layers.AveragePooling2D(2)(a))
    up = layers.Conv2DTranspose(4, 2, strides=2)(b)
    joined = layers.Concatenate()([a, up])
    return Model(first, layers.Conv2D(3, 1)(joined))


def networks() -> dict[str, Any]:
    """Models by name."""
    return {
        "lenet": Sequential(
            [
                layers.Input((28, 28, 1)),
                layers.Conv2D(6, 5, padding="same", activation="sigmoid"),
                layers.AveragePooling2D(2),
                layers.Conv2D(8, 5, activation="tanh"),
                layers.AveragePooling2D(2),
                layers.Flatten(),
                layers.Dense(20, activation="relu"),
                layers.Dense(10),
            ]
        ),
        "strided": Sequential(
            [
                layers.Input((17, 20, 3)),
                layers.Rescaling(1 / 127.5, offset=-1.0),
                layers.Conv2D(8, 3, strides=2, padding="same"),
                layers.BatchNormalization(),
                layers.LeakyReLU(negative_slope=0.1),
                layers.MaxPooling2D(3, strides=2, padding="same"),
                layers.Conv2D(8, 3, dilation_rate=2, padding="same", activation="silu"),
                layers.GlobalMaxPooling2D(),
                layers.Dense(4, activation="gelu"),
                layers.Dense(3),
            ]
        ),
        "separable": _separable(),
        "unet": _unet(),
        "upsampling": Sequential(
            [
                layers.Input((5, 6, 2)),
                layers.ZeroPadding2D(((1, 0), (2, 1))),
                layers.Conv2D(4, 3, activation="hard_silu"),
                layers.UpSampling2D(2),
                layers.SeparableConv2D(3, 3, padding="same", activation="softmax"),
            ]
        ),
        "rows": Sequential(
            [
                layers.Input((40, 2)),
                layers.Conv1D(4, 5, strides=2, padding="same", activation="relu"),
                layers.MaxPooling1D(2),
                layers.Conv1D(4, 3),
                layers.PReLU(shared_axes=[1]),
                layers.GlobalAveragePooling1D(),
                layers.Dense(3),
            ]
        ),
    }
