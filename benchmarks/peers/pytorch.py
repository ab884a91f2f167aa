"""PyTorch; the variants are "NCHW" and "NHWC" (channels_last) memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.description import LEARNING_RATE, Array, Network, Subject


def _layer(kind: str, settings: dict[str, Any]) -> Any:
    if kind == "Conv2d":
        names = ("in_channels", "out_channels", "kernel_size", "stride", "padding")
        return nn.Conv2d(*(settings[key] for key in names))
    if kind in ("MaxPool2d", "AvgPool2d"):
        window = (settings[key] for key in ("kernel_size", "stride", "padding"))
        return getattr(nn, kind)(*window)
    if kind == "Linear":
        return nn.Linear(settings["in_features"], settings["out_features"])
    if kind == "Dropout":
        return nn.Dropout(settings["p"])
    return {"ReLU": nn.ReLU, "Sigmoid": nn.Sigmoid, "Tanh": nn.Tanh, "Flatten": nn.Flatten}[kind]()


def _build(network: Network) -> tuple[Any, Any]:
    """Model and images, in the layout of the variant."""
    torch.set_num_threads(network.threads)
    torch.set_default_dtype(getattr(torch, network.dtype))
    model = nn.Sequential()
    for name, kind, settings in network.shapes():
        layer = _layer(kind, settings)
        given = network.parameters(name) if kind in ("Conv2d", "Linear") else None
        if given is not None:
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(given[0]))
                layer.bias.copy_(torch.from_numpy(given[1]))
        model.append(layer)
    layout = torch.channels_last if network.variant == "NHWC" else torch.contiguous_format
    images = torch.from_numpy(network.images()).contiguous(memory_format=layout)
    return model.to(memory_format=layout), images


def _logits(model: Any, images: Any) -> Array:
    training = model.training
    model.eval()
    with torch.inference_mode():
        scores: Array = model(images).numpy()
    model.train(training)
    return scores


def training(network: Network) -> Subject:
    """Build an eager training step."""
    model, images = _build(network)
    labels = torch.from_numpy(network.labels())
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return Subject(step, lambda: _logits(model, images))


def learner(
    network: Network, layout: str, weight_decay: float
) -> tuple[Callable[[Array, NDArray[np.int64], float], float], Callable[[Array], Array]]:
    """Build an eager AdamW step (x, t, rate) -> loss, and what gives the scores of images."""
    model, _ = _build(replace(network, variant=layout))
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

    return step, lambda x: _logits(model, torch.from_numpy(x).contiguous(**memory))


def inference(network: Network) -> Subject:
    """Build a prediction in inference mode."""
    model, images = _build(network)
    model.eval()

    def predict() -> object:
        with torch.inference_mode():
            return model(images)

    return Subject(predict, lambda: _logits(model, images))
