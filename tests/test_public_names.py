"""Completion offers exactly the public names of the package and of its modules."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest

import pocketcnn as pc

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
