"""Wrong command lines: one line on standard error, exit code 2, and nothing done before."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import pocketcnn as pc
from command_line import few_digits, one_error, run  # noqa: F401  # a fixture of every test here
from pocketcnn.commands import tools
from pocketcnn.commands.options import Options, restore

WRONG = [
    ("", "required: COMMAND"),
    ("fly", "invalid choice: 'fly'"),
    ("train surplus", "unrecognized arguments: surplus"),
    ("train --epochs 0", "argument --epochs: 0 is less than 1"),
    ("train --epochs many", "argument --epochs: invalid whole number value: 'many'"),
    ("train --epochs 2.5", "argument --epochs: invalid whole number"),
    ("train --epochs 99999999999", "argument --epochs: 99999999999 is more than 2147483647"),
    ("train --batch-size -5", "argument --batch-size: -5 is less than 1"),
    ("train --limit 0", "argument --limit: 0 is less than 1"),
    ("train --seed -1", "argument --seed: -1 is less than 0"),
    ("train --seed 1.5", "argument --seed: invalid whole number"),
    ("train --size 32x48", "argument --size: invalid whole number"),
    ("train --channels 2", "argument --channels: invalid choice: 2"),
    ("train --lr -1", "argument --lr: -1 is not a number of at least 0"),
    ("train --lr nan", "argument --lr: nan is not"),
    ("train --lr 1e400", "argument --lr: 1e400 is not"),
    ("train --weight-decay inf", "argument --weight-decay: inf is not"),
    ("train --label-smoothing 1", "argument --label-smoothing: 1 is not"),
    ("train --momentum 1.5 --optimizer sgd", "argument --momentum: 1.5 is not"),
    ("train --holdout 0", "argument --holdout: 0 is not more than 0"),
    ("train --holdout nan", "argument --holdout: nan is not"),
    ("train --model gpt", "argument --model: invalid choice: 'gpt'"),
    ("train --schedule sine", "argument --schedule: invalid choice: 'sine'"),
    ("train --momentum 0.5", "momentum belongs to sgd: adam has none"),
    ("train --nesterov --optimizer adagrad", "momentum belongs to sgd: adagrad has none"),
    ("train --warmup 0.5", "warmup belongs to cosine and one_cycle: constant has none"),
    ("train --size 32", "size and channels are for folders of images"),
    ("train --data mnist --channels 3", "size and channels are for folders of images"),
    ("train --data cifar10 --channels 1", "folders of images: cifar10 is RGB, 32 x 32"),
    ("train --resume runs --lr 1 --model lenet5", "leave out --model, --lr"),
    ("train --resume runs --out there", "leave out --out"),
    ("train --augment cropp", "argument --augment: augment has 'cropp': wanted some of crop"),
    ("train --augment flip,", "augment has '': wanted some of crop"),
    ("train --augment crop:x", "augment has 'crop:x': 'x' is no number"),
    ("train --augment crop:", "augment has 'crop:': '' is no number"),
    ("train --augment crop:2.7", "augment has 'crop:2.7': '2.7' is no whole number"),
    ("train --augment crop:inf", "augment has 'crop:inf': 'inf' is no whole number"),
    ("train --augment shift:1e400", "augment has 'shift:1e400': '1e400' is no whole number"),
    ("train --augment cutout:1e30", "augment has 'cutout:1e30': '1e30' is no whole number"),
    ("train --augment shift:-1", "augment has 'shift:-1': padding is -1"),
    ("train --augment cutout:0", "augment has 'cutout:0': size is 0"),
    ("train --augment flip:2", "augment has 'flip:2': p is 2.0"),
    ("train --augment flip:nan", "augment has 'flip:nan': p is nan"),
    ("train --augment affine:1e400", "augment has 'affine:1e400': degrees is inf"),
    ("train --from a --model lenet5", "those of the model of --from: leave out --model"),
    ("train --from a --size 32", "those of the model of --from: leave out --size"),
    ("train --class-weight heavy", "argument --class-weight: invalid choice: 'heavy'"),
    ("train --clip-norm 0", "argument --clip-norm: 0 is not a number of more than 0"),
    ("train --ema 1", "argument --ema: 1 is not more than 0"),
    ("train --accumulate 0", "argument --accumulate: 0 is less than 1"),
    ("train --checkpoint-every 0", "argument --checkpoint-every: 0 is less than 1"),
    ("train --resize pad", "resize and on-error are for folders of images"),
    ("train --on-error skip --data mnist", "resize and on-error are for folders of images"),
    ("evaluate model --doubtful -1", "argument --doubtful: -1 is less than 0"),
    ("train --threads 0", "argument --threads: 0 is less than 1"),
    ("train --threads 2000000", "argument --threads: n is 2000000"),
    ("predict", "required: MODEL, IMAGE"),
    ("predict model", "required: IMAGE"),
    ("predict model a.png --top 0", "argument --top: 0 is less than 1"),
    ("filters model --channel -1", "argument --channel: -1 is less than 0"),
    ("features model a.png --maps 0", "argument --maps: 0 is less than 1"),
    ("export model", "required: OUT.onnx"),
    ("export model a.onnx --opset 0", "argument --opset: 0 is less than 1"),
    ("import a.onnx b --input-shape 3,8", "argument --input-shape: 3,8 is not C,H,W"),
    ("import a.onnx b --input-shape 3,8,x", "argument --input-shape: invalid shape value"),
    ("info --picture net.png", "a picture needs a model"),
    ("bench --repeat 0", "argument --repeat: 0 is less than 1"),
]


@pytest.mark.parametrize(("words", "message"), WRONG, ids=[words for words, _ in WRONG])
def test_wrong_usage_is_2(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words.split()) == 2
    error = one_error(capsys)
    assert message in error
    assert re.fullmatch(r"pocketcnn.*: .* \(see pocketcnn.* --help\)", error)
    assert not list(Path().iterdir())  # no folder was made


def test_a_long_argument_is_not_quoted_at_length(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "--epochs", "9" * 100_000) == 2
    assert len(one_error(capsys)) < 1200
    assert run("predict", "m" * 100_000, "digits:0") == 1
    assert len(one_error(capsys)) < 1200


def test_what_was_not_foreseen_is_one_line_and_debug_shows_where(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pc.models.lenet5().save("m.safetensors")

    def fail(_path: str, **_options: bool) -> None:
        raise KeyError("generators")

    monkeypatch.setattr(tools, "load_model", fail)
    assert run("info", "m.safetensors") == 1
    assert one_error(capsys) == "pocketcnn: KeyError: 'generators' (--debug shows where)"
    assert run("info", "m.safetensors", "--debug") == 1
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert "in fail" in err
    assert err.splitlines()[-1] == "pocketcnn: KeyError: 'generators' (--debug shows where)"


def test_errors_of_the_system_name_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("")
    for words in ("train --quiet --epochs 1 --out file/run", "train --resume file/run"):
        assert run(*words.split()) == 1
        assert "file" in one_error(capsys)


def test_options_of_a_run_are_read_as_those_of_the_command_line() -> None:
    wanted = Options(lr=0.1, nesterov=True, optimizer="sgd", seed=7, data="-odd name", limit=3)
    values = json.loads(json.dumps(wanted.to_dict()))
    assert restore(values, Path("run.json")) == wanted
    for name, value in [
        ("epochs", 0),
        ("epochs", 2.5),
        ("epochs", [1]),
        ("seed", -1),
        ("lr", "fast"),
        ("lr", float("inf")),
        ("nesterov", "no"),
        ("augment", "crop:1e400"),
        ("model", {"a": 1}),
        ("gpu", 1),
    ]:
        with pytest.raises(ValueError, match=r"run\.json has .*option"):
            restore({**values, name: value}, Path("run.json"))
