"""A page as a folder of static files: the browser computes what a server would.

The files are those of the page, with a `backend.js` over a WebAssembly module; the module; the
networks, one file each; the images at hand; and `network.json`, which describes all this.
"""

from __future__ import annotations

import shutil
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pocketcnn.functional._window2d import window2d
from pocketcnn.inspection import cam_layer, receptive_field
from pocketcnn.layers import AvgPool2d, Conv2d, Layer, Linear, MaxPool2d
from pocketcnn.live import wire
from pocketcnn.live.anatomy import describe, shape_before_flattening, shape_of
from pocketcnn.live.explaining import POINTWISE
from pocketcnn.live.recipe import NETWORKS
from pocketcnn.live.unfolding import unfold
from pocketcnn.network.graph import INPUT
from pocketcnn.network.net import ConvNet
from pocketcnn.network.preprocessing import Preprocessing

if TYPE_CHECKING:
    from pocketcnn.live.app import Page

MODULE = ("pocketcnn.wasm", "pocketcnn.js", "engine.js")

# Layers of which the module has gradients, where each takes what the one before it gives.
_TRAINABLE = {
    *("Conv2d", "Linear", "MaxPool2d", "AvgPool2d", "Dropout", "Flatten"),
    *("ReLU", "LeakyReLU", "ELU", "ReLU6", "SiLU", "GELU", "HardSwish"),
    *("Sigmoid", "HardSigmoid", "Tanh"),
}


def publish(page: Page, module: Path, out: Path) -> None:
    """Write a page's folder, over whatever files of these names are there.

    Parameters
    ----------
    page : Page
    module : Path
        The folder of the module: the files named by `MODULE`.
    out : Path
        Made if it is not there.

    Raises
    ------
    OSError
        A file of the module is not there, or the folder cannot be written.
    ValueError
        The network has a layer that C++ does not have.
    """
    networks = _networks(page)
    networks["model"].compile()  # refuses what the module would, which reads files alike
    out.mkdir(parents=True, exist_ok=True)
    for name in MODULE:
        shutil.copyfile(module / name, out / name)
    for folder in ("static", "serverless"):  # the second has a backend.js of its own
        with as_file(files("pocketcnn.live").joinpath(folder)) as own:
            for path in own.iterdir():
                if path.is_file():
                    shutil.copyfile(path, out / path.name)
    for name, net in networks.items():
        net.save(out / f"{name}.safetensors")
    about = _about(page, networks)
    if page.collection is not None and page.neighbours is not None:
        page.collection.x.tofile(out / "training.u8")
        page.collection.x_test.tofile(out / "test.u8")
        page.exhibit.features(page.collection.x).tofile(out / "features.f32")
    (out / "network.json").write_bytes(wire.to_json(about))


def _networks(page: Page) -> dict[str, ConvNet]:
    """Make the model, and what can be trained, by the words of a `Recipe`."""
    networks = {"model": unfold(page.exhibit.net).astype(np.float32)}
    if page.collection is None or page.exhibit.classes is None:
        return networks
    for begin in ("fresh", *NETWORKS):
        try:
            net = page.workshop.make(begin)
        except ValueError:  # the images are too small for it
            continue
        if _is_trainable(net):
            networks[begin] = net.astype(np.float32)
    return networks


def _is_trainable(net: ConvNet) -> bool:
    return all(
        node.sources == (place,) and type(node.layer).__name__ in _TRAINABLE
        for place, node in enumerate(net.graph.nodes)
    )


def _about(page: Page, networks: dict[str, ConvNet]) -> dict[str, Any]:
    """Describe the page as its server would, and what it needs to compute by itself."""
    about = page.describe()
    del about["layers"]
    begins = [name for name in about["begins"] if name in networks]
    if "fresh" not in networks:
        begins.remove("model")
    about["begins"] = begins
    if about["begin"] not in begins:
        about["begin"] = begins[0] if begins else None
    preparation = networks["model"].preprocessing or Preprocessing()
    about["scale"] = preparation.scale
    about["networks"] = {name: _described(net) for name, net in networks.items()}
    if page.collection is not None:
        about["labels"] = {
            "training": page.collection.t.tolist(),
            "test": page.collection.t_test.tolist(),
        }
    return about


def _described(net: ConvNet) -> dict[str, Any]:
    """Describe a network: its layers, arrays, work, and the values that some answers use.

    `cam` and `features` are numbers of values: 0 is the input, k what the layer k gives, counted
    from 1.
    """
    names = list(net.layers)
    weighted = [name for name, layer in net.layers.items() if layer.param_shapes]
    source = net.graph.inputs[weighted[-1]][0] if weighted else INPUT
    nodes = net.graph.nodes
    return {
        "layers": [
            {**about, **_computed(net, about["name"], net.layers[about["name"]])}
            for about in describe(net)
        ],
        "arrays": list(net.params),
        "sums": 1 + sum(n.layer.multiply_adds(net.graph.input_shape_of(n)) for n in nodes),
        "cam": _cam_value(net),
        "features": 0 if source == INPUT else names.index(source) + 1,
    }


def _cam_value(net: ConvNet) -> int | None:
    try:
        return list(net.layers).index(cam_layer(net)) + 1
    except ValueError:  # the network has no maps
        return None


def _computed(net: ConvNet, name: str, layer: Layer) -> dict[str, Any]:
    """What says how a number of a layer came about, beside what the page draws."""
    source = net.graph.inputs[name][0]
    field = receptive_field(net, name)
    found: dict[str, Any] = {
        "field": {"size": field.size, "stride": field.stride, "start": field.start},
        "pointwise": isinstance(layer, POINTWISE),
    }
    if isinstance(layer, Conv2d):
        window = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
        found["geometry"] = {**_geometry(net, source, *window), "groups": layer.groups}
        found["filterChannels"] = layer.in_channels // layer.groups
    elif isinstance(layer, (MaxPool2d, AvgPool2d)):
        stride = layer.kernel_size if layer.stride is None else layer.stride
        window = (layer.kernel_size, stride, layer.padding, 1)
        found["geometry"] = _geometry(net, source, *window, ceil_mode=layer.ceil_mode)
    elif isinstance(layer, Linear):
        maps = shape_before_flattening(net, source)
        found["maps"] = maps if len(maps) == 3 else (layer.in_features, 1, 1)
    return found


def _geometry(net: ConvNet, source: str, *settings: Any, ceil_mode: bool = False) -> dict[str, Any]:
    shape = shape_of(net, source)
    window = window2d(shape[1:], *settings, ceil_mode=ceil_mode)
    return {
        "kernel": window.kernel_size,
        "stride": window.stride,
        "dilation": window.dilation,
        "padding": window.padding,
    }
