"""Completion offers exactly the public names of the package and of its modules."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

import pocketcnn as pc
from pocketcnn._lazy import LAYER_FILES

MODULES = [
    "data",
    "functional",
    "inspection",
    "layers",
    "losses",
    "models",
    "onnx",
    "optim",
    "plot",
    "schedules",
    "scratch",
    "sklearn",
]


def test_the_package_offers_its_public_names() -> None:
    names = {name for name in dir(pc) if not name.startswith("_")}
    # What `import *` leaves alone, because it needs scikit-learn.
    estimators = {"ConvNetClassifier", "ConvNetRegressor"}
    assert names == {*pc.__all__, *estimators}
    assert set(MODULES) - {"sklearn"} <= set(pc.__all__)
    for name in names:
        assert getattr(pc, name) is not None


@pytest.mark.parametrize("name", MODULES)
def test_a_module_offers_its_public_names(name: str) -> None:
    module = importlib.import_module(f"pocketcnn.{name}")
    assert dir(module) == sorted(module.__all__)
    for public in module.__all__:
        assert hasattr(module, public)
    # Nothing that the module itself defines for users is left out.
    own = {
        key
        for key, value in vars(module).items()
        if (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
        and not key.startswith("_")
    }
    assert own <= set(module.__all__)


def test_completion_imports_nothing() -> None:
    code = (
        "import sys, pocketcnn\n"
        "dir(pocketcnn)\n"
        "assert 'pocketcnn.scratch' not in sys.modules\n"
        "from pocketcnn import *\n"
        "assert scratch.SimpleConvNet and plot.curves and 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_package_brings_its_settings_alone() -> None:
    code = (
        "import sys, pocketcnn\n"
        "names = {n.partition('.')[2] for n in sys.modules if n.startswith('pocketcnn.')}\n"
        "assert names == {'_arguments', '_core', '_lazy', '_startup', 'config'}, names"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_running_a_network_brings_only_its_layers() -> None:
    code = (
        "import sys, pocketcnn as pc\n"
        "net = pc.ConvNet([('flat', pc.Flatten()), ('fc', pc.Linear(4, 2))], (1, 2, 2))\n"
        "net.predict([[[[1, 2], [3, 4]]]])\n"
        "unused = {'layers.multiply', 'layers.upsample', 'network.summary', '_files', 'optim'}\n"
        "assert not {f'pocketcnn.{name}' for name in unused} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_layer_class_has_its_file_in_the_table() -> None:
    folder = importlib.import_module("pocketcnn.layers").__path__
    for file in pkgutil.iter_modules(folder, "pocketcnn.layers."):
        importlib.import_module(file.name)
    ours = {
        name: kind.__module__.removeprefix("pocketcnn.layers.")
        for name, kind in pc.layers.LAYERS.items()
        if kind.__module__.startswith("pocketcnn.")
    }
    assert ours == LAYER_FILES
    assert LAYER_FILES.keys() <= set(pc.__all__) & set(pc.layers.__all__)


def test_no_class_takes_the_place_of_a_layer_that_is_not_imported_yet() -> None:
    code = (
        "from pocketcnn.layers.base import LAYERS, Layer\n"
        "class Sigmoid(Layer):\n"
        "    forward = backward = output_shape = None\n"
        "assert 'Sigmoid' not in LAYERS\n"
        "from pocketcnn import layers\n"
        "assert layers.LAYERS['Sigmoid'] is layers.Sigmoid is not Sigmoid"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
