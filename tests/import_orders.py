"""Import libraries in the order of the arguments, then compute with each: one process, one order.

``import_orders.py torch sklearn pocketcnn`` ends with 0 if all of them work beside each other.
"""

from __future__ import annotations

import importlib
import sys

import numpy as np


def use_pocketcnn() -> None:
    import pocketcnn as pc

    (x, t), _ = pc.data.digits()
    net = pc.models.simple_convnet(seed=0)
    with pc.num_threads(2):
        pc.Trainer(net, pc.optim.SGD(0.01), seed=0).fit(np.float32(x[:200]) / 255, t[:200])


def use_torch() -> None:
    import torch

    x = torch.ones(8, 3, 32, 32, requires_grad=True)
    torch.nn.Conv2d(3, 8, 3)(x).sum().backward()


def use_sklearn() -> None:
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    with threadpool_limits(2):
        KMeans(3, n_init=1, random_state=0).fit(np.random.default_rng(0).random((500, 4)))


def main() -> int:
    """Import all, then use all, twice."""
    names = sys.argv[1:]
    for name in names:
        importlib.import_module(name)
    for name in names + names:
        globals()[f"use_{name}"]()
    print(" before ".join(names) + ": works")
    return 0


if __name__ == "__main__":
    sys.exit(main())
