"""PyTorch; the variants are "NCHW" and "NHWC" (channels_last) memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.description import LEARNING_RATE, Array, Network, Subject, inside


class _Residual(nn.Module):  # type: ignore[misc]  # the base is Any to mypy
    """Our Residual in PyTorch; an empty shortcut passes the input on."""

    def __init__(self, network: Network, name: str, settings: dict[str, Any]) -> None:
        super().__init__()
        self.body, self.shortcut = (
            _sequence(network, inside(name, settings, branch)) for branch in ("body", "shortcut")
        )

    def forward(self, x: Any) -> Any:
        return self.body(x) + self.shortcut(x)


class _Graph(nn.Module):  # type: ignore[misc]  # as above
    """Layers that take what they name."""

    def __init__(self, model: Any, inputs: dict[str, list[str]]) -> None:
        super().__init__()
        self.layers = model
        self.inputs = inputs

    def forward(self, x: Any) -> Any:
        values = {"input": x}
        for (name, taken), layer in zip(self.inputs.items(), self.layers, strict=True):
            values[name] = layer(*(values[source] for source in taken))
        return values[name]


class _Concat(nn.Module):  # type: ignore[misc]  # as above
    def forward(self, *maps: Any) -> Any:
        return torch.cat(maps, dim=1)


def _convolution(settings: dict[str, Any]) -> Any:
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation")
    window = (settings[key] for key in names)
    convolution = nn.Conv2d(*window, groups=settings["groups"], bias=settings["bias"])
    if not settings.get("uneven"):
        return convolution
    (top, left), convolution.padding = convolution.padding, (0, 0)
    return nn.Sequential(nn.ZeroPad2d((left, left + 1, top, top + 1)), convolution)


def _layer(kind: str, settings: dict[str, Any]) -> Any:
    if kind == "Conv2d":
        return _convolution(settings)
    if kind == "ConvTranspose2d":
        names = ("in_channels", "out_channels", "kernel_size", "stride", "padding")
        return nn.ConvTranspose2d(*(settings[key] for key in names), bias=settings["bias"])
    if kind in ("MaxPool2d", "AvgPool2d"):
        window = (settings[key] for key in ("kernel_size", "stride", "padding"))
        return getattr(nn, kind)(*window)
    if kind == "Linear":
        return nn.Linear(settings["in_features"], settings["out_features"])
    if kind in ("BatchNorm2d", "LocalResponseNorm", "Dropout"):
        return getattr(nn, kind)(**settings)
    if kind == "GlobalAvgPool2d":
        return nn.AdaptiveAvgPool2d(1)
    plain = {"Tanh": nn.Tanh, "Flatten": nn.Flatten, "ReLU6": nn.ReLU6, "Concat": _Concat}
    return {"ReLU": nn.ReLU, "Sigmoid": nn.Sigmoid, **plain}[kind]()


def _sequence(network: Network, layers: Iterable[tuple[str, str, dict[str, Any]]]) -> Any:
    model = nn.Sequential()
    for name, kind, settings in layers:
        if kind == "Residual":
            model.append(_Residual(network, name, settings))
            continue
        layer = _layer(kind, settings)
        with torch.no_grad():
            for tensor, given in zip(layer.parameters(), network.parameters(name), strict=False):
                tensor.copy_(torch.from_numpy(given))
        model.append(layer)
    return model


def build(network: Network) -> tuple[Any, Any]:
    """Model and images, in the layout of the variant."""
    torch.set_num_threads(network.threads)
    torch.set_default_dtype(getattr(torch, network.dtype))
    model = _sequence(network, network.shapes())
    if network.inputs is not None:
        model = _Graph(model, network.inputs)
    layout = torch.channels_last if network.variant == "NHWC" else torch.contiguous_format
    images = torch.from_numpy(network.images()).contiguous(memory_format=layout)
    return model.to(memory_format=layout), images


def logits(model: Any, images: Any) -> Array:
    """The scores in inference mode."""
    training = model.training
    model.eval()
    with torch.inference_mode():
        scores: Array = model(images).numpy()
    model.train(training)
    return scores


def training(network: Network) -> Subject:
    """Build an eager training step."""
    model, images = build(network)
    labels = torch.from_numpy(network.labels())
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return Subject(step, lambda: logits(model, images))


def learner(
    network: Network, layout: str, weight_decay: float
) -> tuple[Callable[[Array, NDArray[np.int64], float], float], Callable[[Array], Array]]:
    """Build an eager AdamW step (x, t, rate) -> loss, and a function for the scores of images."""
    model, _ = build(replace(network, variant=layout))
    memory = {"memory_format": torch.channels_last} if layout == "NHWC" else {}
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=weight_decay)

    def step(x: Array, t: NDArray[np.int64], rate: float) -> float:
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        scores = model(torch.from_numpy(x).contiguous(**memory))
        loss = nn.functional.cross_entropy(scores, torch.from_numpy(t))
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step, lambda x: logits(model, torch.from_numpy(x).contiguous(**memory))


def inference(network: Network) -> Subject:
    """Build a prediction in inference mode."""
    model, images = build(network)
    model.eval()

    def predict() -> object:
        with torch.inference_mode():
            return model(images)

    return Subject(predict, lambda: logits(model, images))
