"""The trained model of a command, and what its run folder says about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pocketcnn import onnx
from pocketcnn.commands import console, run
from pocketcnn.commands.run import Run
from pocketcnn.network.load import load
from pocketcnn.network.net import ConvNet


@dataclass(frozen=True)
class Model:
    """A network from a file.

    Attributes
    ----------
    net : ConvNet
    path : Path
        Path of the file.
    classes : list of str
        In the order of the scores: their names, or numbers if neither run nor model names them.
    named : bool
        Whether they are names.
    run : Run or None
        What the file's folder says.
    """

    net: ConvNet
    path: Path
    classes: list[str]
    named: bool
    run: Run | None


def load_model(path: str, *, classifier: bool = True) -> Model:
    """Load a model file, or the model in a run folder.

    Parameters
    ----------
    path : str
        A `.safetensors` or `.onnx` file, or a folder that holds `model.safetensors`.
    classifier : bool
        Whether other models than classifiers of images are refused.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is not a model, or not one that gives images one score per class.
    """
    file = Path(path)
    if file.is_dir():
        if not (file / run.MODEL).exists() and (file / run.RUN).is_file():
            raise FileNotFoundError(
                f"the run {path!r} is not finished, so it has no {run.MODEL} yet: continue it "
                f"with: {console.command('train', '--resume', path)}"
            )
        file = file / run.MODEL
    if not file.is_file():
        raise FileNotFoundError(f"there is no model {str(file)!r}")
    net = onnx.load(file) if file.suffix.lower() == ".onnx" else load(file)
    if classifier and (len(net.input_shape) != 3 or len(net.output_shape) != 1):
        raise ValueError(
            f"{file} is not a classifier of images: it makes {net.output_shape} of "
            f"{net.input_shape}"
        )
    known = _read_run(file.parent)
    count = net.output_shape[0]
    if known is not None and len(known.classes) == count:
        return Model(net, file, known.classes, True, known)
    if net.classes is not None:
        return Model(net, file, net.classes, True, known)
    return Model(net, file, [str(index) for index in range(count)], False, known)


def _read_run(folder: Path) -> Run | None:
    """Read what is known of a run; damaged parts are skipped, as the model itself is whole."""
    try:
        return run.read(folder)
    except (OSError, ValueError) as error:
        console.warn(f"{console.explain(error)}; classes are numbers")
        return None
