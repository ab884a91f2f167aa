"""PyTorch's compiler, `torch.compile` with Inductor; images and weights in channels_last memory.

The variants of `inference` are "frozen" (the weights are constants of the graph: folded, and laid
out once) and "max-autotune" (besides, products of matrices are chosen by measurement).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from benchmarks.description import LEARNING_RATE, Network, Subject
from benchmarks.peers import pytorch


def training(network: Network) -> Subject:
    """Build a training step: forward, loss and backward compiled, the update in one call."""
    model, images = pytorch.build(network)
    labels = torch.from_numpy(network.labels())
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, fused=True)

    def loss_of(x: Any, t: Any) -> Any:
        return nn.functional.cross_entropy(model(x), t)

    compiled = torch.compile(loss_of, dynamic=False)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = compiled(images, labels)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return Subject(step, lambda: pytorch.logits(model, images))


def inference(network: Network) -> Subject:
    """Build a prediction."""
    model, images = pytorch.build(replace(network, variant="NHWC"))
    options = {"freezing": True, "max_autotune": network.variant == "max-autotune"}
    compiled = torch.compile(model.eval(), dynamic=False, options=options)

    def predict() -> Any:
        with torch.inference_mode():
            return compiled(images)

    return Subject(predict, lambda: predict().numpy())
