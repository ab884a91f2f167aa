"""The convolutions of `benchmarks census`: valid, distinct, and those of the networks."""

from __future__ import annotations

import importlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import pocketcnn as pc

ROOT = Path(__file__).parent.parent
# Multiply-adds of an image, in millions: those that the papers give (Inception v3, DenseNet,
# ResNeXt and WideResNet: others who counted), of which a few are in linear layers.
PUBLISHED = {
    "AlexNet, one tower": 714 - 58.6,
    "VGG-16": 15_470 - 123.6,
    "ResNet-18": 1_820,
    "ResNet-50": 4_100,
    "WideResNet-28-10": 5_250,
    "ResNeXt-50": 4_230,
    "MobileNetV1": 569,
    "MobileNetV2": 300,
    "MobileNetV3": 219,
    "EfficientNet-B0": 390,
    "SqueezeNet": 820,
    "ShuffleNetV2": 146,
    "DenseNet-121": 2_830,
    "Inception v1": 1_580,
    "Inception v3": 5_710,
    "RegNetX-400MF": 400,
    "ConvNeXt-T": 4_460,
    "Tiny YOLOv3": 5_560 / 2,
}
MODELS = {
    "VGG-16": "vgg16",
    "ResNet-18": "resnet18",
    "ResNet-50": "resnet50",
    "MobileNetV2": "mobilenet_v2",
    "EfficientNet-Lite0": "efficientnet_lite0",
}


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, which is not part of the package."""
    monkeypatch.syspath_prepend(ROOT)
    return importlib.import_module("benchmarks.census_shapes")


def test_every_shape_is_a_convolution(shapes: Any) -> None:
    for conv in shapes.distinct():
        padded = [n + 2 * p for n, p in zip(conv.size, conv.padding, strict=True)]
        assert all(k <= n for k, n in zip(conv.kernel, padded, strict=True)), conv
        assert conv.channels % conv.groups == conv.filters % conv.groups == 0, conv
        assert min(conv.output_size) >= 1, conv
        assert all(0 <= p < k for p, k in zip(conv.padding, conv.kernel, strict=True)), conv


def test_shapes_and_their_names_are_distinct(shapes: Any) -> None:
    found = shapes.distinct()
    assert len({conv.name for conv in found}) == len(found)
    assert {conv.batch for conv in found} == {1}


def test_every_network_has_its_shapes(shapes: Any) -> None:
    found = Counter(name for names in shapes.distinct().values() for name in names)
    assert set(found) == {*shapes.NETWORKS, shapes.FIRST_LAYERS}
    assert found[shapes.FIRST_LAYERS] == 3 * 15 * 16


@pytest.mark.parametrize("network", PUBLISHED)
def test_networks_have_the_published_work(shapes: Any, network: str) -> None:
    work = sum(conv.flop for conv in shapes.NETWORKS[network]().noted) / 2e6
    assert work == pytest.approx(PUBLISHED[network], rel=0.03)


@pytest.mark.parametrize("network", MODELS)
def test_convolutions_are_those_of_our_models(shapes: Any, network: str) -> None:
    net = getattr(pc.models, MODELS[network])(seed=None)
    ours = Counter(
        (layer.in_channels, shape[1:], layer.out_channels, layer.kernel_size, layer.stride,
         layer.groups, layer.output_shape(shape)[1:])
        for _, layer, shape in net.graph.every_input()
        if isinstance(layer, pc.Conv2d)
    )  # fmt: skip
    noted = shapes.NETWORKS[network]().noted
    theirs = Counter(
        (c.channels, c.size, c.filters, _short(c.kernel), _short(c.stride), c.groups, c.output_size)
        for c in noted
    )
    assert theirs == ours


def _short(pair: tuple[int, int]) -> int | tuple[int, int]:
    """As the layers have it."""
    return pair[0] if pair[0] == pair[1] else pair
