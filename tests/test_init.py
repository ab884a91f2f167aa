"""The first weights: their formulas, their spread, and which layer gets which."""

import math

import numpy as np
import pytest

from pocketcnn.layers import (
    ELU,
    GELU,
    Conv2d,
    Flatten,
    HardSigmoid,
    HardSwish,
    LeakyReLU,
    Linear,
    MaxPool2d,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Tanh,
)
from pocketcnn.layers.init import fans, he_std, normal, weight_std, xavier_std
from pocketcnn.network.net import ConvNet


def test_formulas():
    assert he_std(50) == pytest.approx(0.2)
    assert xavier_std(30, 20) == pytest.approx(0.2)
    assert fans((100, 4320)) == (4320, 100)
    assert fans((16, 6, 5, 5)) == (150, 400)
    assert fans((6, 2, 3, 3), groups=2) == (18, 27)


def test_what_a_layer_asks_for_comes_before_auto():
    assert weight_std("auto", "he", 50, 150) == he_std(50)
    assert weight_std("auto", "xavier", 50, 150) == xavier_std(50, 150)
    assert weight_std("he", "xavier", 50, 150) == he_std(50)
    assert weight_std("xavier", "he", 50, 150) == xavier_std(50, 150)
    assert weight_std(0.01, "he", 50, 150) == 0.01


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_normal_has_the_spread_and_the_dtype(dtype):
    size = 100_000
    draw = normal(np.random.default_rng(7), (size // 10, 10), 0.3, dtype)
    assert draw.dtype == dtype
    # Five standard errors of a mean and of a standard deviation over `size` draws.
    assert abs(draw.mean()) < 5 * 0.3 / math.sqrt(size)
    assert abs(draw.std() - 0.3) < 5 * 0.3 / math.sqrt(2 * size)


def net_of(*layers):
    return ConvNet([(f"layer{i}", layer) for i, layer in enumerate(layers)], (4, 12, 12), seed=3)


def spread(layer):
    return float(layer.weight.std())


@pytest.mark.parametrize(
    ("following", "scheme"),
    [
        ((ReLU(),), "he"),
        ((MaxPool2d(2), ReLU()), "he"),
        ((Sigmoid(),), "xavier"),
        ((HardSigmoid(),), "xavier"),
        *(((kind(),), "he") for kind in (LeakyReLU, PReLU, ELU, ReLU6, SiLU, GELU, HardSwish)),
        ((Tanh(),), "xavier"),
        ((MaxPool2d(2), Tanh()), "xavier"),
        ((), "he"),
        ((MaxPool2d(2),), "he"),
    ],
    ids=repr,
)
def test_auto_looks_at_the_next_activation(following, scheme):
    conv = Conv2d(4, 64, 5)
    features = 64 * (16 if any(isinstance(layer, MaxPool2d) for layer in following) else 64)
    net_of(conv, *following, Flatten(), Linear(features, 3))
    std = he_std(100) if scheme == "he" else xavier_std(100, 1600)
    assert abs(spread(conv) - std) < 5 * std / math.sqrt(2 * conv.weight.size)
    assert not conv.bias.any()


def test_last_weights_without_activation_are_xavier():
    head = Linear(576, 500)
    net_of(Flatten(), head)
    std = xavier_std(576, 500)
    assert abs(spread(head) - std) < 5 * std / math.sqrt(2 * head.weight.size)


def test_number_is_the_standard_deviation():
    head = Linear(576, 500, init=0.01)
    net_of(Flatten(), head)
    assert abs(spread(head) - 0.01) < 5 * 0.01 / math.sqrt(2 * head.weight.size)


def test_layer_alone_is_he_from_seed_0():
    layer = Conv2d(3, 8, 5)
    np.testing.assert_array_equal(
        layer.weight,
        normal(np.random.default_rng(0), (8, 3, 5, 5), he_std(75), np.float32),
    )


def test_network_draws_in_the_order_of_the_layers():
    first, second = Conv2d(4, 2, 3), Linear(200, 3)
    net_of(first, ReLU(), Flatten(), second)
    rng = np.random.default_rng(3)
    for layer, std in ((first, he_std(36)), (second, xavier_std(200, 3))):
        expected = normal(rng, layer.weight.shape, std, np.float32)
        np.testing.assert_array_equal(layer.weight, expected)
