"""`pocketcnn bench --scale`: how fast networks would train on many machines."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pocketcnn import optim, plot
from pocketcnn.commands import console
from pocketcnn.commands.parser import names_of, not_negative, positive, some_number
from pocketcnn.commands.pictures import save_picture
from pocketcnn.commands.recipe import MODELS, words
from pocketcnn.config import get_num_threads
from pocketcnn.distributed.scaling import Network, measure_step

_NETWORKS = "alexnet,vgg16,resnet18,mobilenet_v2"

OPTIONS: dict[str, dict[str, Any]] = {
    "--networks": {
        "type": names_of(MODELS),
        "default": _NETWORKS,
        "metavar": "NAME,...",
        "help": f"which ({_NETWORKS})",
    },
    "--ranks": {
        "type": positive,
        "default": 1024,
        "metavar": "N",
        "help": "up to how many machines (1024)",
    },
    "--bandwidth": {
        "type": some_number,
        "default": 10.0,
        "metavar": "GBIT",
        "help": "Gbit/s that a machine sends and receives (10)",
    },
    "--latency": {
        "type": not_negative,
        "default": 50.0,
        "metavar": "US",
        "help": "microseconds from one machine to another (50)",
    },
    "--algorithm": {
        "choices": ("ring", "tree"),
        "default": "ring",
        "help": "how gradients are summed (ring)",
    },
    "--out": {"type": Path, "metavar": "FILE", "help": "draw the speeds (not drawn)"},
}
"""The options of `bench --scale`, by their flags."""


def predict_scale(arguments: argparse.Namespace) -> None:
    """Measure a step of each network here, and print what N such machines would make of it."""
    names = words(arguments.networks)
    network = Network(arguments.bandwidth * 1e9 / 8, arguments.latency / 1e6, arguments.algorithm)
    ranks = [2**power for power in range(arguments.ranks.bit_length())]
    threads, size = get_num_threads(), arguments.batch_size or 8
    console.say(
        f"Predicted images/s from a measured step of one rank ({threads} "
        f"thread{'s' * (threads != 1)}, batch {size}), "
        f"{arguments.bandwidth:g} Gbit/s, {arguments.latency:g} us, {arguments.algorithm}"
    )
    console.say(f"{'ranks':<14}" + "".join(f"{count:>9}" for count in ranks))
    speeds = {}
    for name in names:
        net = MODELS[name](1000, input_shape=(3, 224, 224), seed=0)
        step = measure_step(net, optim.SGD(0.01, 0.9), size, arguments.repeat or 3)
        speeds[name] = [step.images_per_second(count, network) for count in ranks]
        row = "".join(f"{speed:>9,.1f}" for speed in speeds[name])
        console.say(f"{name:<14}{row}", flush=True)
    if arguments.out is not None:
        save_picture(plot.scaling(ranks, speeds), Path(arguments.out))
