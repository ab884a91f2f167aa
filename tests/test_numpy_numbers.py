"""Wherever a number, a pair or a flag is taken, NumPy's is taken too, and kept as Python's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pocketcnn as pc

one, two, three, small = np.int64(1), np.int32(2), np.uint8(3), np.float32(0.125)
yes, no = np.bool_(True), np.bool_(False)
pair = np.array([2, 2], np.int16)

LAYERS: dict[str, tuple[Callable[[], pc.Layer], str]] = {
    "convolution": (
        lambda: pc.Conv2d(two, np.int64(4), three, one, one, one, two, yes, init=small),
        "Conv2d(2, 4, kernel_size=3, padding=1, groups=2, init=0.125)",
    ),
    "arrays of two": (
        lambda: pc.Conv2d(2, 4, pair + 1, pair, np.array([[1, 0], [0, 1]]), pair, 1, no, init=one),
        "Conv2d(2, 4, kernel_size=(3, 3), stride=(2, 2), padding=((1, 0), (0, 1)), "
        "dilation=(2, 2), bias=False, init=1)",
    ),
    "two of NumPy's": (
        lambda: pc.Conv2d(2, 4, (three, three), [one, 2], ((one, 1), (1, one))),
        "Conv2d(2, 4, kernel_size=(3, 3), stride=(1, 2), padding=((1, 1), (1, 1)))",
    ),
    "transposed": (
        lambda: pc.ConvTranspose2d(two, np.int64(4), pair, pair, np.int8(0), np.array([1, 0])),
        "ConvTranspose2d(2, 4, kernel_size=(2, 2), stride=(2, 2), output_padding=(1, 0))",
    ),
    "maximum": (
        lambda: pc.MaxPool2d(pair, two, pair - 1, yes),
        "MaxPool2d(kernel_size=(2, 2), stride=2, padding=(1, 1), ceil_mode=True)",
    ),
    "mean": (
        lambda: pc.AvgPool2d(two, pair, np.int8(0), no, no),
        "AvgPool2d(kernel_size=2, stride=(2, 2), count_include_pad=False)",
    ),
    "batch norm": (
        lambda: pc.BatchNorm2d(two, small, np.float64(0.5)),
        "BatchNorm2d(num_features=2, eps=0.125, momentum=0.5)",
    ),
    "response norm": (
        lambda: pc.LocalResponseNorm(three, small, np.float16(0.5), one),
        "LocalResponseNorm(size=3, alpha=0.125, beta=0.5)",
    ),
    "resizing": (
        lambda: pc.Upsample(np.array([two, 1.5]), "bilinear", yes),
        "Upsample(scale_factor=(2.0, 1.5), mode='bilinear', align_corners=True)",
    ),
    "group norm": (
        lambda: pc.GroupNorm(one, two, small),
        "GroupNorm(groups=1, channels=2, eps=0.125)",
    ),
    "padding": (
        lambda: pc.ZeroPad2d(((one, two), np.array([0, 1]))),
        "ZeroPad2d(padding=((1, 2), (0, 1)))",
    ),
    "shuffle": (lambda: pc.ChannelShuffle(two), "ChannelShuffle(groups=2)"),
    "normalisation": (
        lambda: pc.Normalize(np.array([0.5, 1], np.float32), [small, two]),
        "Normalize(mean=(0.5, 1.0), std=(0.125, 2.0))",
    ),
    "leaky": (lambda: pc.LeakyReLU(small), "LeakyReLU(negative_slope=0.125)"),
    "slopes": (lambda: pc.PReLU(two), "PReLU(channels=2)"),
    "exponential": (lambda: pc.ELU(small), "ELU(alpha=0.125)"),
    "dropout": (lambda: pc.Dropout(small), "Dropout(p=0.125)"),
    "dropout of nothing": (lambda: pc.Dropout(np.int64(0)), "Dropout(p=0.0)"),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_layers_take_them_and_are_saved(tmp_path: Path, kind: str) -> None:
    make, shown = LAYERS[kind]
    layer = make()
    assert repr(layer) == shown
    features = int(np.prod(layer.output_shape((2, 8, 8))))
    net = pc.ConvNet(
        [
            ("layer", layer),
            ("flatten", pc.Flatten()),
            ("fc", pc.Linear(np.int64(features), three, yes, init=np.float64(0.01))),
        ],
        np.array([2, 8, 8]),
        seed=np.uint8(3),  # type: ignore[arg-type]
        dtype=np.float64,
    )
    x, t = np.random.default_rng(0).random((4, 2, 8, 8)), np.arange(4) % 3
    net.save(tmp_path / "net")
    again = pc.load(tmp_path / "net")
    assert repr(again) == repr(net)
    np.testing.assert_array_equal(again.predict(x, two), net.predict(x, 2))  # type: ignore[arg-type]
    assert net.accuracy(x, t, three) == net.accuracy(x, t)  # type: ignore[arg-type]
    twin = net.astype(np.float64)  # with the same masks to come
    assert net.loss(x, t, label_smoothing=small) == twin.loss(x, t, label_smoothing=0.125)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (pc.optim.SGD(one, small, yes, no), "SGD(lr=1.0, momentum=0.125, nesterov=True, w"),
        (pc.optim.AdaGrad(small, eps=small), "AdaGrad(lr=0.125, eps=0.125"),
        (pc.optim.RMSprop(small, alpha=small), "RMSprop(lr=0.125, alpha=0.125"),
        (pc.optim.Adam(small, beta1=small), "Adam(lr=0.125, beta1=0.125"),
        (pc.optim.AdamW(small, beta2=small), "AdamW(lr=0.125, beta1=0.9, beta2=0.125"),
    ],
)
def test_optimisers_take_them(made: pc.optim.Optimizer, shown: str) -> None:
    assert repr(made).startswith(shown)
    made.lr = np.float32(0.5)  # type: ignore[assignment]
    state = made.state_dict()
    assert {type(state[name]) for name in (*made.hyperparameters, "steps")} <= {float, bool, int}


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: pc.Conv2d(1, 1, np.array([3.0, 3.0])), TypeError, "kernel_size is"),
        (lambda: pc.Conv2d(1, 1, np.array([3, 3, 3])), ValueError, "kernel_size is"),
        (lambda: pc.Conv2d(1, 1, 3, init=np.float32(-1)), ValueError, "init is"),
        (lambda: pc.Conv2d(1, 1, 3, init=np.float32(np.nan)), ValueError, "init is"),
        (lambda: pc.Conv2d(1, 1, 3, init=np.array([1.0])), TypeError, "init is"),
        (lambda: pc.optim.SGD("0.1"), TypeError, "lr is '0.1'"),
        (lambda: pc.optim.SGD(None), TypeError, "lr is None"),
        (lambda: pc.optim.Adam(beta1=np.nan), ValueError, "beta1 is nan"),
        (lambda: trainer(batch_size=16.0), TypeError, "batch_size is 16.0"),
        (lambda: trainer(batch_size="16"), TypeError, "batch_size is '16'"),
        (lambda: trainer(seed=1.5), TypeError, "seed is 1.5"),
        (lambda: trainer(seed=-1), ValueError, "seed is -1"),
        (lambda: trainer(label_smoothing="a"), TypeError, "label_smoothing is 'a'"),
        (lambda: trainer(label_smoothing=np.nan), ValueError, "label_smoothing is nan"),
        (lambda: pc.ConvNet([("flatten", pc.Flatten())], (1, 2, 2), seed=-1), ValueError, "seed"),
    ],
)
def test_what_is_no_number_is_named(
    make: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make()


def trainer(**settings: Any) -> pc.Trainer:
    net = pc.ConvNet([("flatten", pc.Flatten()), ("fc", pc.Linear(4, 2))], (1, 2, 2))
    return pc.Trainer(net, pc.optim.SGD(0.1), **settings)
