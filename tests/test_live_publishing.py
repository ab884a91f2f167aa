"""The folder that `pocketcnn live --static` writes; `tests/browser` opens it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
from command_line import one_error, run
from live_server import CLASSES, SHAPE, collection, graph_net, page
from pocketcnn.live.app import Page
from pocketcnn.live.publishing import MODULE, publish


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """What stands for the WebAssembly module, which is copied as it is."""
    folder = tmp_path / "module"
    folder.mkdir()
    for name in MODULE:
        (folder / name).write_text(f"// {name}")
    return folder


def chain(**changes: Any) -> pc.ConvNet:
    return pc.ConvNet(
        [
            ("conv", pc.Conv2d(2, 4, 3)),
            ("relu", pc.ReLU()),
            ("drop", pc.Dropout(0.2)),
            ("flatten", pc.Flatten()),
            ("fc", pc.Linear(400, 4)),
        ],
        input_shape=SHAPE,
        **changes,
    )


def about(folder: Path) -> Any:
    return json.loads((folder / "network.json").read_text())


def test_every_file_that_the_page_names_is_there(module: Path, tmp_path: Path) -> None:
    out = tmp_path / "a" / "site"
    publish(page(), module, out)
    for name in MODULE:
        assert (out / name).read_text() == f"// {name}"
    named = re.compile(r"""(?:from |import\(|URL\(|src=|href=)["']\.?/?([\w-]+\.\w+)["']""")
    for path in [*out.glob("*.js"), *out.glob("*.html")]:
        for name in named.findall(path.read_text()):
            assert (out / name).is_file(), f"{path.name} names {name}"
    assert "new Worker(" in (out / "backend.js").read_text()


def test_networks_and_images_are_those_of_the_page(module: Path, tmp_path: Path) -> None:
    net, images = chain(seed=3), collection()
    publish(Page(net, CLASSES, "clothes", images), module, tmp_path)
    found = about(tmp_path)
    assert found["begins"] == ["fresh", "model", "simple_convnet", "lenet5"]
    x = images.x_test / np.float32(255)
    saved = pc.load(tmp_path / "model.safetensors")
    assert np.array_equal(saved.predict(x), net.predict(x))
    fresh = pc.load(tmp_path / "fresh.safetensors")
    assert not np.array_equal(fresh.params["conv.weight"], net.params["conv.weight"])
    for part, pixels, labels in (
        ("training", images.x, images.t),
        ("test", images.x_test, images.t_test),
    ):
        assert (tmp_path / f"{part}.u8").read_bytes() == pixels.tobytes()
        assert found["labels"][part] == labels.tolist()
    rows = np.fromfile(tmp_path / "features.f32", np.float32).reshape(60, 400)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)


def test_a_network_with_branches_is_not_offered_for_training(module: Path, tmp_path: Path) -> None:
    publish(page(), module, tmp_path)
    assert about(tmp_path)["begins"] == ["simple_convnet", "lenet5"]
    assert not (tmp_path / "fresh.safetensors").exists()
    publish(page(with_images=False), module, tmp_path / "alone")
    assert about(tmp_path / "alone")["begins"] == []
    assert about(tmp_path / "alone")["begin"] is None
    assert not (tmp_path / "alone" / "training.u8").exists()


def test_double_precision_is_shown_in_single(module: Path, tmp_path: Path) -> None:
    net = graph_net().astype(np.float64)
    publish(Page(net, CLASSES, "clothes", None), module, tmp_path)
    assert pc.load(tmp_path / "model.safetensors").dtype == np.float32


def test_a_layer_that_cpp_does_not_have_is_refused(module: Path, tmp_path: Path) -> None:
    class Own(pc.ReLU):
        pass

    net = pc.ConvNet([("own", Own()), ("pool", pc.GlobalAvgPool2d())], input_shape=SHAPE)
    with pytest.raises((TypeError, ValueError), match=r"own.*Own"):
        publish(Page(net, None, "own", None), module, tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_the_command_writes_the_folder(
    module: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chain().save(tmp_path / "net.safetensors")
    out = tmp_path / "site"
    words = ("live", str(tmp_path / "net.safetensors"), "--static", str(out))
    assert run(*words, "--wasm", str(module)) == 0
    assert capsys.readouterr().out.startswith(f"wrote {out};")
    assert about(out)["title"] == "net"
    assert run(*words) == 2
    assert "--static and --wasm go together" in one_error(capsys)
    assert run(*words, "--wasm", str(tmp_path / "nowhere")) == 1
    assert "no pocketcnn.wasm there; docs/webassembly.md says how" in one_error(capsys)
