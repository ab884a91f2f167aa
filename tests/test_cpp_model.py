"""C++ computes the networks that Python saved, to the same bits.

The program is examples/classify, linked to the library of a build under build/.
"""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import pocketcnn as pc
from fuzz_networks import Case
from pocketcnn import models
from pocketcnn.network import fusion
from pocketcnn.network.net import ConvNet

ROOT = Path(__file__).parent.parent
CPP = ROOT / "cpp"
EXAMPLE = ROOT / "examples" / "classify"
# Builds without sanitizers and counters, which a program would have to be linked with too.
BUILDS = ("wheel-tree", "release")
LIBRARIES = ("libpocketcnn_model.a", "libpocketcnn.a")

Classify = Callable[..., "subprocess.CompletedProcess[str]"]


def _libraries() -> list[Path]:
    """Those of a build that is as new as the sources; [] if there is none."""
    sources = [path for folder in ("include", "src") for path in (CPP / folder).rglob("*.*")]
    changed = max(path.stat().st_mtime for path in sources)
    for build in BUILDS:
        found = [ROOT / "build" / build / "cpp" / name for name in LIBRARIES]
        if all(path.exists() for path in found):
            built = max(path.stat().st_mtime for path in found)
            if built >= changed:
                return found
    return []


@pytest.fixture(scope="module")
def classify(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Classify]:
    """Run the example: ``classify(model, images, scores, threads=1)``."""
    compiler, libraries = shutil.which("g++"), _libraries()
    if compiler is None:
        pytest.skip("there is no g++ to build examples/classify with")
    if not libraries:
        pytest.skip(
            "no build of pocketcnn::model under build/ is as new as the sources: CMake builds it "
            "with the C++ tests where nlohmann_json is installed"
        )
    program = tmp_path_factory.mktemp("classify") / "classify"
    options = ("-std=c++20", f"-I{CPP / 'include'}", "-fopenmp", "-o", str(program))
    sources = [str(EXAMPLE / "main.cpp"), *map(str, libraries)]
    subprocess.run([compiler, *options, *sources], check=True)

    def run(*arguments: object, threads: int = 1) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(program), *map(str, arguments)],
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            capture_output=True,
            text=True,
            check=False,
        )

    yield run
    program.unlink()


def scores_of(
    classify: Classify, folder: Path, net: ConvNet, x: np.ndarray, threads: int = 1
) -> bytes:
    """The bytes of the scores that C++ computes for a network and images."""
    files = [folder / name for name in ("net.safetensors", "images.raw", "scores.raw")]
    net.save(files[0])
    x.astype(net.dtype).tofile(files[1])
    done = classify(*files, threads=threads)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("class") == len(x)
    return files[2].read_bytes()


@pytest.mark.parametrize("threads", [1, 3])
def test_random_networks(
    classify: Classify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    """Every kind of layer, alone and fused, as chains and as graphs, in both precisions."""
    monkeypatch.setattr(fusion, "_LARGE_WEIGHT", fusion._LARGE_WEIGHT)  # a Case changes it
    for seed in range(20):
        case = Case(seed)
        case.net.preprocessing = pc.Preprocessing("raw", "crop")  # is for who reads pictures
        for net in (case.net, case.net.astype(np.float32)):
            scores = scores_of(classify, tmp_path, net, case.x, threads)
            assert scores == net.predict(case.x).tobytes(), f"seed {seed}\n{net.summary()}"


@pytest.mark.parametrize("name", models.__all__)
def test_named_networks(classify: Classify, tmp_path: Path, name: str) -> None:
    classes = {"classes" if name == "unet" else "num_classes": 7}
    net = getattr(models, name)(**classes, input_shape=(3, 64, 64))
    x = np.random.default_rng(1).standard_normal((2, 3, 64, 64), np.float32)
    assert scores_of(classify, tmp_path, net, x, threads=2) == net.predict(x).tobytes()


@pytest.mark.parametrize(("channels", "filters"), [(1, 8), (3, 32), (12, 16)])
def test_images_in_units(classify: Classify, tmp_path: Path, channels: int, filters: int) -> None:
    """A convolution that normalises what it reads, and one that gets a normalised copy."""
    units = pc.Normalize(np.linspace(-300, 9, channels), np.linspace(2, 60, channels))
    conv = pc.Conv2d(channels, filters, 3, padding=1)
    for behind in ([("relu", pc.ReLU())], [("norm", pc.BatchNorm2d(filters))], []):
        layers = [("units", units), ("conv", conv), *behind, ("flat", pc.Flatten())]
        net = ConvNet(layers, input_shape=(channels, 20, 21), seed=None if conv.params else 0)
        x = np.random.default_rng(1).uniform(-300, 300, (2, channels, 20, 21)).astype(np.float32)
        assert scores_of(classify, tmp_path, net, x, threads=2) == net.predict(x).tobytes()


def test_the_files_of_the_example_are_what_python_makes(
    classify: Classify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLE / "make_model.py"))
    for name in ("edges.safetensors", "images.raw"):
        assert Path(name).read_bytes() == (EXAMPLE / name).read_bytes()
    done = classify("edges.safetensors", "images.raw", "scores.raw")
    assert done.stdout == "image 0: class 1, horizontal\nimage 1: class 0, vertical\n"
    scores = np.fromfile("scores.raw", np.float32).reshape(2, 2)
    images = np.fromfile("images.raw", np.float32).reshape(2, 1, 6, 8)
    np.testing.assert_array_equal(scores, pc.load("edges.safetensors").predict(images))


def test_batches_are_cut_where_python_cuts_them(classify: Classify, tmp_path: Path) -> None:
    """A megabyte for each image, so that 32 of them pass at a time."""
    layers = [
        ("conv", pc.Conv2d(1, 64, 3, padding=1)),
        ("relu", pc.ReLU()),
        ("pool", pc.GlobalAvgPool2d()),
        ("flat", pc.Flatten()),
        ("fc", pc.Linear(64, 3)),
    ]
    net = ConvNet(layers, input_shape=(1, 64, 64))
    x = np.random.default_rng(2).standard_normal((45, 1, 64, 64), np.float32)
    for n in (0, 1, 31, 32, 33, 45):
        assert scores_of(classify, tmp_path, net, x[:n]) == net.predict(x[:n]).tobytes()


class Doubled(pc.layers.Layer):
    """A layer of the user's own."""

    def forward(self, x, training=False):
        return x * 2

    def backward(self, grad):
        return grad * 2

    def output_shape(self, input_shape):
        return input_shape


def test_layers_of_the_user_are_refused_by_name(classify: Classify, tmp_path: Path) -> None:
    layers = [("flat", pc.Flatten()), ("twice", Doubled()), ("fc", pc.Linear(4, 2))]
    ConvNet(layers, input_shape=(1, 2, 2)).save(tmp_path / "net.safetensors")
    done = classify(tmp_path / "net.safetensors", "images.raw", "scores.raw")
    assert done.returncode == 1
    assert "layer 'twice' is of the class 'Doubled', which C++ does not have" in done.stderr


def test_damage_is_found(classify: Classify, tmp_path: Path) -> None:
    """Any byte of a file that is changed, and any end that is cut off."""
    path = tmp_path / "net.safetensors"
    ConvNet([("flat", pc.Flatten()), ("fc", pc.Linear(4, 2))], input_shape=(1, 2, 2)).save(path)
    content = path.read_bytes()
    damaged = [content[:end] for end in (0, 7, 8, 100, len(content) - 1)]
    for place in range(0, len(content), 41):
        damaged.append(content[:place] + bytes([content[place] ^ 8]) + content[place + 1 :])
    for one in damaged:
        path.write_bytes(one)
        done = classify(path, "images.raw", "scores.raw")
        assert done.returncode == 1
        assert done.stderr.startswith(f"{path} is not a ")
        assert done.stderr.count("\n") == 1
