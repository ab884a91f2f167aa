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
    """Measure a step of each network here, and print what N such machines would make of it.

    In parentheses is the share of N times the speed of one.
    """
    names = words(arguments.networks)
    network = Network(arguments.bandwidth * 1e9 / 8, arguments.latency / 1e6, arguments.algorithm)
    ranks = [2**power for power in range(arguments.ranks.bit_length())]
    threads, size = get_num_threads(), arguments.batch_size or 8
    console.say(
        f"Predicted images/s from a measured step of one rank ({threads} "
        f"thread{'s' * (threads != 1)}, batch {size}), "
        f"{arguments.bandwidth:g} Gbit/s, {arguments.latency:g} us, {arguments.algorithm}"
    )
    speeds: dict[str, list[float]] = {}
    for name in names:
        net = MODELS[name](1000, input_shape=(3, 224, 224), seed=0)
        step = measure_step(net, optim.SGD(0.01, 0.9), size, arguments.repeat or 3)
        speeds[name] = [step.images_per_second(count, network) for count in ranks]
    console.say(f"{'ranks':>6}" + "".join(f"{name:>20}" for name in names))
    for place, count in enumerate(ranks):
        cells = [f"{s[place]:,.1f} ({_share(s, place, count):.0%})" for s in speeds.values()]
        console.say(f"{count:>6}" + "".join(f"{cell:>20}" for cell in cells))
    if arguments.out is not None:
        save_picture(plot.scaling(ranks, speeds), Path(arguments.out))


def _share(speeds: list[float], place: int, count: int) -> float:
    """Return what part of `count` times the speed of one rank there is."""
    return speeds[place] / speeds[0] / count
