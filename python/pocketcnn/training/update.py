"""One update of the weights: the backward pass and the optimiser's step."""

from __future__ import annotations

from collections.abc import Mapping

from pocketcnn._arguments import Array
from pocketcnn.network.net import ConvNet
from pocketcnn.optim.base import Grads, Optimizer


class Update:
    """Runs the backward pass from the network's output, and makes the optimiser's step."""

    def __call__(self, net: ConvNet, optimizer: Optimizer, grad: Array) -> None:
        """Update the weights with the gradient of the loss by the last `forward`'s output."""
        if getattr(type(optimizer), "update", None) is Optimizer.update:
            _update_in_backward(net, optimizer, grad)
        else:  # a user's own `update` gets everything at once
            net.backward(grad)
            optimizer.update(net.params, net.grads)


def _update_in_backward(net: ConvNet, optimizer: Optimizer, grad: Array) -> None:
    """Use the gradients of large layers while they are made, and then all others."""
    updated: set[str] = set()

    def apply(params: Mapping[str, Array], grads: Grads) -> None:
        updated.update(params)
        optimizer.apply(params, grads)

    optimizer.begin()
    net.backward(grad, apply)
    params, grads = net.params, net.grads
    for name in updated:
        del params[name], grads[name]
    optimizer.apply(params, grads)
