"""``memory``: the peak of resident memory in a training step, each library in a fresh process."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.contests import OURS, TITLES, TRAINING_PEERS, Peer, describe
from benchmarks.machine import Machine
from benchmarks.options import Options
from benchmarks.report import Cell, Table
from benchmarks.worker import NotInstalledError, Remote

_NETWORKS = (("alexnet", 32), ("vgg16", 4), ("resnet18", 8), ("resnet50", 8), ("deep_convnet", 100))
_NOTE = (
    "In step: the peak within the second step. Above import: the same without what the library "
    "takes by being imported. Whole: from the process's beginning, the drawing of weights "
    "included. Ratio: peer's peak in the step divided by ours."
)


def run(options: Options, _machine: Machine) -> list[Table]:
    """Measure the networks that ``--filter`` selects."""
    tables = []
    for model, batch in _NETWORKS:
        title = f"{TITLES[model]} ({options.batch or batch}), peak memory of a training step"
        if options.wants(title):
            tables.append(_table(title, model, batch, options))
    return tables


def _table(title: str, model: str, batch: int, options: Options) -> Table:
    network = describe(model, batch, options)
    table = Table(
        title,
        ("library", "variant", "in step MiB", "above import MiB", "whole MiB", "ratio"),
        rows=[],
        note=_NOTE,
    )
    base = 0
    for name, peer in {"pocketcnn": Peer(f"{OURS}.training"), **TRAINING_PEERS}.items():
        print(f"  {title}: {name}", flush=True)
        try:
            with Remote(peer.builder, replace(network, variant=peer.variant)) as remote:
                imported = remote.resident
                peak: dict[str, int] = remote.ask("memory")
        except NotInstalledError as error:
            print(f"  left out, not installed: {error}", flush=True)
            continue
        base = base or peak["step"]
        ratio = peak["step"] / base
        sizes = (peak["step"], peak["step"] - imported, peak["whole"])
        cells: list[Cell] = [f"{size / 2**20:.0f}" for size in sizes]
        library, _, variant = name.partition("/")
        table.rows.append((library, variant, *cells, None if library == "pocketcnn" else ratio))
        table.data.append({"library": name, "imported": imported, **peak})
        if library != "pocketcnn":
            table.ratios.append((name, ratio))
    return table
