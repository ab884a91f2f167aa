"""A checkpoint of this run is resumed completely; any other changes nothing."""

from __future__ import annotations

import copy
import functools
import io
import json
import random
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
from pocketcnn import schedules
from pocketcnn.data.digest import digest
from pocketcnn.network.serialization import write_tensors
from pocketcnn.training.checkpoint import network_arrays, previous_path, read_checkpoint
from pocketcnn.training.identity import describe
from pocketcnn.training.trainer import Trainer

TESTS = Path(__file__).parent


def make_net(*more: tuple[str, pc.Layer], activation: type[pc.Layer] = pc.ReLU) -> pc.ConvNet:
    return pc.ConvNet(
        [
            ("conv", pc.Conv2d(1, 4, 3)),
            ("norm", pc.BatchNorm2d(4)),
            ("act", activation()),
            ("flatten", pc.Flatten()),
            *more,
            ("fc", pc.Linear(64, 3)),
        ],
        input_shape=(1, 6, 6),
    )


def make_data(seed: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.random((60, 1, 6, 6), dtype=np.float32), rng.integers(0, 3, 60)


def make_callbacks() -> list[pc.Callback]:
    return [schedules.Cosine(), pc.EarlyStopping("loss", patience=50, restore_best=True)]


def make_trainer(net: pc.ConvNet | None = None, **settings: Any) -> Trainer:
    settings = {"batch_size": 16, "augment": pc.data.RandomCrop(1), **settings}
    optimizer = settings.pop("optimizer", None) or pc.optim.SGD(0.05, 0.9)
    return Trainer(net or make_net(), optimizer, **settings)


def train(
    path: Path, epochs: int, trainer: Trainer | None = None, **changes: Any
) -> tuple[Trainer, Any]:
    trainer = trainer or make_trainer()
    x, t = make_data()
    settings = {"x": x, "t": t, "callbacks": make_callbacks(), **changes}
    return trainer, trainer.fit(epochs=epochs, checkpoint=path, resume=True, **settings)


def state_of(trainer: Trainer) -> list[object]:
    """Everything that a run changes, as bytes and text."""
    arrays = {name: a.tobytes() for name, a in network_arrays(trainer.net).items()}
    slots = {
        key: value.tobytes() if isinstance(value, np.ndarray) else value
        for key, value in trainer.optimizer.state_dict().items()
    }
    generators = {**trainer.generators, **trainer.net.generators}
    return [arrays, slots, {n: str(rng.bit_generator.state) for n, rng in generators.items()}]


def assert_refused(
    path: Path, message: str, trainer: Trainer | None = None, **changes: Any
) -> None:
    """The run is refused in one sentence, and changes nothing."""
    trainer = trainer or make_trainer()
    before = state_of(trainer)
    with pytest.raises(ValueError, match=message):
        train(path, 4, trainer, **changes)
    assert state_of(trainer) == before


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A checkpoint of two epochs."""
    train(tmp_path / "run.st", 2)
    return tmp_path / "run.st"


def labels(change: Callable[[np.ndarray], None]) -> dict[str, np.ndarray]:
    t = make_data()[1]
    change(t)
    return {"t": t}


OTHERS: dict[str, tuple[str, Callable[[], tuple[Trainer | None, dict[str, Any]]]]] = {
    "images reversed": ("other data: x", lambda: (None, {"x": make_data()[0][::-1]})),
    "images scaled": ("other data: x", lambda: (None, {"x": make_data()[0] / 2})),
    "one label": ("other data: t", lambda: (None, labels(lambda t: t.__setitem__(9, t[9] ^ 1)))),
    "labels shuffled": ("other data: t", lambda: (None, {"t": make_data()[1][::-1]})),
    "activation": (
        r"another network: it has act ReLU\(\), this one has act Tanh\(\)",
        lambda: (make_trainer(make_net(activation=pc.Tanh)), {}),
    ),
    "dropout more": (
        "another network",
        lambda: (make_trainer(make_net(("drop", pc.Dropout(0.5)))), {}),
    ),
    "optimiser": ("optimizer 'SGD'", lambda: (make_trainer(optimizer=pc.optim.Adam()), {})),
    "smoothing": ("label_smoothing 0.0", lambda: (make_trainer(label_smoothing=0.1), {})),
    "augmentation": ("augment 'Random", lambda: (make_trainer(augment=None), {})),
    "augmentation's setting": (
        r"padding=1.*padding=2",
        lambda: (make_trainer(augment=pc.data.RandomCrop(2)), {}),
    ),
    "no callbacks": ("with Cosine, EarlyStopping, which", lambda: (None, {"callbacks": []})),
    "a callback less": ("with Early", lambda: (None, {"callbacks": make_callbacks()[:1]})),
    "a callback more": (
        "this run has Steps, the checkpoint none",
        lambda: (None, {"callbacks": [*make_callbacks(), schedules.Steps()]}),
    ),
    "callbacks swapped": (
        "this run has EarlyStopping, the checkpoint Cosine",
        lambda: (None, {"callbacks": make_callbacks()[::-1]}),
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_another_run_is_refused_and_nothing_changes(path: Path, kind: str) -> None:
    message, make = OTHERS[kind]
    trainer, changes = make()
    assert_refused(path, message, trainer, **changes)


def test_a_checkpoint_of_a_network_with_dropout_is_refused_without(tmp_path: Path) -> None:
    train(tmp_path / "run.st", 2, make_trainer(make_net(("drop", pc.Dropout(0.5)))))
    assert_refused(tmp_path / "run.st", "is of another network")


def test_what_is_overridden_or_measured_otherwise_is_told(path: Path) -> None:
    x, t = make_data(8)
    stopping = pc.EarlyStopping("loss", patience=60, restore_best=True)
    with pytest.warns(UserWarning, match="checkpoint") as told:
        trainer, _ = train(
            path,
            3,
            make_trainer(optimizer=pc.optim.SGD(0.01, 0.5)),
            validation=(x, t),
            callbacks=[schedules.Cosine(warmup=0.5), stopping],
        )
    assert trainer.optimizer.lr == 0.05
    text = "\n".join(str(warning.message) for warning in told)
    for part in (
        "goes on with the lr 0.05 of its SGD, not with the 0.01 that is given",
        "the momentum 0.9",
        "on other validation data, or none",
        r"with Cosine(), and goes on with Cosine(warmup=0.5)",
        "patience=60",
    ):
        assert part in text
    assert all(warning.filename == __file__ for warning in told)


def test_callbacks_without_a_state_may_come_and_go(path: Path) -> None:
    class Note(pc.Callback):
        """Saves a state in the checkpoint, and restores none."""

        def state_dict(self) -> dict[str, object]:
            return {"note": "for others", "array": np.zeros(3)}

    train(path, 3, callbacks=[Note(), *make_callbacks()])
    assert read_checkpoint(path)[1]["callbacks"][0] == {"note": "for others"}
    train(path, 4, callbacks=make_callbacks())
    train(path, 5, callbacks=[*make_callbacks(), pc.ProgressBar(stream=io.StringIO())])


def test_data_may_lie_otherwise_in_memory(path: Path) -> None:
    x, t = make_data()
    train(path, 3, x=x.astype(">f4")[::-1].copy()[::-1], t=t.astype(np.uint8))


def test_a_callback_that_refuses_its_state_leaves_all_as_it_was(tmp_path: Path) -> None:
    class Counter(pc.Callback):
        count = 0

        def on_batch_end(self, trainer: Trainer, size: int) -> None:
            self.count += 1

        def state_dict(self) -> dict[str, object]:
            return {"count": self.count}

        def load_state_dict(self, values: Mapping[str, object]) -> None:
            self.count = values["count"]  # type: ignore[assignment]

    class Refusing(Counter):
        def load_state_dict(self, values: Mapping[str, object]) -> None:
            raise RuntimeError("not mine")

    Refusing.__name__ = "Counter"
    path = tmp_path / "run.st"
    train(path, 2, callbacks=[*make_callbacks(), Counter(), Counter()])
    trainer, counter = make_trainer(), Counter()
    before = state_of(trainer)
    cosine, stopping = make_callbacks()
    with pytest.raises(RuntimeError, match="not mine"):
        train(path, 4, trainer, callbacks=[cosine, stopping, counter, Refusing()])
    assert state_of(trainer) == before
    assert trainer.optimizer.lr == 0.05
    assert counter.count == 0
    assert stopping.best is None  # type: ignore[attr-defined]


# Stopped


def test_a_users_wish_to_stop_has_passed_when_the_run_is_resumed(tmp_path: Path) -> None:
    class TimeBudget(pc.Callback):
        def on_epoch_end(self, trainer: Trainer, record: object) -> None:
            trainer.stop = True

    path = tmp_path / "run.st"
    for epoch in (1, 2, 3):
        assert len(train(path, 9, callbacks=[*make_callbacks(), TimeBudget()])[1]) == epoch
    trainer, history = train(path, 5)
    assert len(history) == 5
    assert trainer.resumed == 3
    assert train(tmp_path / "another.st", 1)[0].resumed == 0


def test_early_stopping_stays_stopped_unless_with_more_patience(tmp_path: Path) -> None:
    class Worse(pc.Callback):
        def on_epoch_end(self, trainer: Trainer, record: Any) -> None:
            record["loss"] = float(record["epoch"])

    def run(patience: int) -> int:
        callbacks = [Worse(), pc.EarlyStopping("loss", patience=patience)]
        return len(train(tmp_path / "run.st", 9, callbacks=callbacks)[1])

    assert run(2) == 3
    assert run(2) == 3
    with pytest.warns(UserWarning, match="patience=4"):
        assert run(4) == 5


# NumPy's numbers


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    class Numbers(pc.Callback):
        def on_epoch_end(self, trainer: Trainer, record: Any) -> None:
            trainer.optimizer.lr = np.float32(0.25)
            record["loss"] = np.float32(record["loss"])

        def state_dict(self) -> dict[str, object]:
            many = {"a": np.float32(1.5), "b": np.int64(2), "c": np.bool_(True), "d": (np.int8(3),)}
            return {**many, "e": np.float64(0.5), "f": np.arange(3), "g": None, "h": "text"}

        def load_state_dict(self, values: Mapping[str, object]) -> None:
            array = values["f"]
            assert isinstance(array, np.ndarray)
            np.testing.assert_array_equal(array, np.arange(3))
            assert {k: v for k, v in values.items() if k != "f"} == {
                **{"a": 1.5, "b": 2, "c": True, "d": [3], "e": 0.5, "g": None, "h": "text"}
            }
            assert type(values["a"]) is float
            assert type(values["b"]) is int
            assert values["c"] is True

    def run(epochs: int) -> pc.History:
        optimizer = pc.optim.SGD(np.float32(0.5), np.float64(0.5), np.bool_(True), np.int64(0))
        optimizer.lr = 1
        stopping = pc.EarlyStopping("loss", patience=np.int64(9), min_delta=np.float32(0))
        trainer = make_trainer(
            optimizer=optimizer,
            batch_size=np.int64(20),
            seed=np.int32(3),
            label_smoothing=np.float32(0.125),
            augment=pc.data.RandomCrop(np.int64(1)),
        )
        callbacks = [Numbers(), stopping, schedules.Steps(at=(np.float32(0.5),), by=np.float32(1))]
        return train(tmp_path / "run.st", np.int64(epochs), trainer, callbacks=callbacks)[1]  # type: ignore[arg-type]

    run(1)
    history = run(2)
    assert [type(history[0][name]) for name in ("loss", "learning_rate")] == [float, float]


def test_what_cannot_be_kept_is_told_before_an_epoch_is_lost(tmp_path: Path) -> None:
    class Odd(pc.Callback):
        def __init__(self, value: object) -> None:
            self.value = value

        def state_dict(self) -> dict[str, object]:
            return {"seen": self.value}

    for value in ({1, 2}, object(), {3: 4}, np.array([None]), np.array([1j])):
        trainer = make_trainer()
        with pytest.raises(TypeError, match="'seen' in the state of Odd"):
            train(tmp_path / "run.st", 1, trainer, callbacks=[Odd(value)])
        assert trainer.epoch == 0


# Augmentations by what they are, in any process


AUGMENTED = """
import functools, sys, numpy as np
sys.path.insert(0, {tests!r})
import pocketcnn as pc
from test_resumption import make_trainer, train
class Noise:
    def __call__(self, x, rng): return x + rng.standard_normal(x.shape).astype(x.dtype)
    def shift(self, x, rng): return x + 1
def scale(x, rng, factor=1.0): return x * np.float32(factor)
KINDS = {{
    "object": Noise(), "method": Noise().shift, "function": scale, "lambda": lambda x, rng: x * 2,
    "partial": functools.partial(scale, factor=np.float32(2)),
    "composed": pc.data.Compose(pc.data.RandomCrop(2), Noise(), functools.partial(scale)),
}}
for name, kind in KINDS.items():
    _, history = train({folder!r} + "/" + name, int(sys.argv[1]), make_trainer(augment=kind))
    print(name, len(history))
"""


def test_a_users_augmentation_is_known_again_in_another_process(tmp_path: Path) -> None:
    script = AUGMENTED.format(tests=str(TESTS), folder=str(tmp_path))
    for epochs in ("1", "2"):
        out = subprocess.run(
            [sys.executable, "-c", script, epochs], capture_output=True, text=True, check=False
        )
        assert out.returncode == 0, out.stderr
        assert out.stdout.splitlines()[-1] == f"composed {epochs}"
        assert len(out.stdout.splitlines()) == 6


def test_different_augmentations_are_described_differently() -> None:
    def first(x: Any, _rng: Any) -> Any:
        return x

    def second(x: Any, _rng: Any) -> Any:
        return x

    described = [
        describe(kind)
        for kind in (
            None,
            first,
            second,
            lambda x, _: x,
            lambda x, _: x + 1,
            lambda x, _: x + 2,
            functools.partial(first, 1),
            functools.partial(first, 2),
            functools.partial(first, np.arange(3)),
            functools.partial(first, np.arange(4)),
            pc.data.Compose(first, second),
            pc.data.Compose(second, first),
            pc.data.RandomCrop(1),
            pc.data.RandomCrop(2),
            pc.data.RandomFlip(0.25),
        )
    ]
    assert len(set(described)) == len(described)
    assert not any(" at 0x" in text for text in described)
    assert describe(pc.data.RandomCrop(np.int64(1))) == repr(pc.data.RandomCrop(1))


def test_a_digest_sees_every_value_and_no_stride(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.arange(600, dtype=np.float32).reshape(50, 3, 4)
    assert digest(x) == digest(np.asfortranarray(x)) == digest(x[::-1].copy()[::-1])
    assert digest(x) == digest(x.astype(">f4"))
    assert len({digest(a) for a in (x, x[:49], x.reshape(50, 12), x.astype(np.float64))}) == 4
    for place in np.ndindex(x.shape):
        other = x.copy()
        other[place] += 1
        assert digest(other) != digest(x)
    assert digest(np.arange(5, dtype=np.int8)) == digest(np.arange(5))
    # Larger arrays are sampled, from the first value to the last.
    monkeypatch.setattr("pocketcnn.data.digest._WHOLE_BYTES", 1200)
    monkeypatch.setattr("pocketcnn.data.digest._CHUNK_BYTES", 120)
    seen = 0
    for row in range(50):
        other = x.copy()
        other[row] += 1
        seen += digest(other) != digest(x)
        assert row not in (0, 49) or digest(other) != digest(x)
    assert 20 <= seen < 50


def test_objects_of_a_users_own_are_no_hindrance(tmp_path: Path) -> None:
    class Doubled(pc.Layer):
        """Does not store its constructor's arguments, so it has no `repr`."""

        def __init__(self, factor: float) -> None:
            super().__init__()
            self._by = factor

        def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
            return x * np.float32(self._by)

        def backward(self, grad: np.ndarray) -> np.ndarray:
            return grad * np.float32(self._by)

        def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
            return input_shape

    class Shifted(pc.optim.SGD):
        hyperparameters = (*pc.optim.SGD.hyperparameters, "shift", "word")

        def __init__(self) -> None:
            super().__init__(0.05, 0.9)
            self.shift, self.word = np.zeros(3), "any"

    class StopAtOnce(pc.Callback):
        def on_fit_begin(self, trainer: Trainer) -> None:
            trainer.stop = True

    def make() -> Trainer:
        return make_trainer(make_net(("twice", Doubled(2.0))), optimizer=Shifted())

    path = tmp_path / "run.st"
    train(path, 1, make())
    assert len(train(path, 9, make(), callbacks=[*make_callbacks(), StopAtOnce()])[1]) == 1
    resumed, whole = train(path, 3, make())[0], train(tmp_path / "whole.st", 3, make())[0]
    assert len(resumed.history) == len(whole.history) == 3
    assert resumed.optimizer.word == "any"  # type: ignore[attr-defined]


# Damage


def write(path: Path, values: object, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    """Write a checkpoint that is valid as a file, with any content."""
    arrays, _ = read_checkpoint(path)
    change(arrays)
    text = values if isinstance(values, str) else json.dumps(values)
    write_tensors(path, arrays, {"format": "pocketcnn checkpoint 2", "values": text})


def places(node: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every value in a tree of dicts and lists."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        yield (*way, key)
        if isinstance(value, (dict, list)):
            yield from places(value, (*way, key))


def test_a_damaged_value_is_one_error_and_nothing_changes(path: Path) -> None:
    """Values of every kind, at random places; what is accepted must be harmless."""
    seed = int(time.time())
    print(f"seed {seed}")
    rng = random.Random(seed)
    train(path, 3)
    previous_path(path).unlink()
    original, (_, values) = path.read_bytes(), read_checkpoint(path)
    ways = list(places(values))
    refused = 0
    for _ in range(120):
        changed = copy.deepcopy(values)
        way = rng.choice(ways)
        node = changed
        for key in way[:-1]:
            node = node[key]
        new = rng.choice([None, -1, 2**70, 1e308, True, "x", [], {}, [1], {"a": 1}, 0.5, "gone"])
        if new == "gone":
            del node[way[-1]]
        else:
            node[way[-1]] = new
        write(path, changed, lambda _: None)
        trainer = make_trainer()
        before = state_of(trainer)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                train(path, 3, trainer)
        except ValueError as error:
            message = str(error)
            refused += 1
        else:
            message = ""
        assert not message or (str(path) in message and state_of(trainer) == before), (way, new)
        path.write_bytes(original)
    assert refused > 60


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays.pop("net/fc.weight"),
        lambda arrays: arrays.update({"net/more": np.zeros(3)}),
        lambda arrays: arrays.update({"net/fc.bias": np.zeros(4, np.float32)}),
        lambda arrays: arrays.update({"net/fc.bias": np.zeros(3)}),
        lambda arrays: arrays["net/fc.bias"].fill(np.nan),
        lambda arrays: arrays.update({"optimizer/velocity/fc.bias": np.zeros(2, np.float32)}),
        lambda arrays: arrays.update({"optimizer/speed/fc.bias": np.zeros(3, np.float32)}),
        lambda arrays: arrays.update({"optimizer/lr": np.zeros(3, np.float32)}),
    ],
)
def test_damaged_arrays_are_one_error_and_nothing_changes(path: Path, change: Any) -> None:
    write(path, read_checkpoint(path)[1], change)
    assert_refused(path, re.escape(str(path)))


@pytest.mark.parametrize("text", ["{}", "[]", "null", "{", "[" * 100_000, '{"epoch": 1e999}'])
def test_damaged_texts_are_one_error(path: Path, text: str) -> None:
    write(path, text, lambda _: None)
    previous_path(path).unlink()
    assert_refused(path, f"{re.escape(str(path))} is a damaged checkpoint")


@pytest.mark.parametrize("damage", ["cut", "empty", "noise"])
def test_where_the_last_checkpoint_is_damaged_the_one_before_is_taken(
    path: Path, damage: str
) -> None:
    train(path, 4)
    content = path.read_bytes()
    path.write_bytes({"cut": content[:900], "empty": b"", "noise": content[::-1]}[damage])
    with pytest.warns(UserWarning, match=r"run\.st .* goes on from .*run\.1\.st, epoch 3"):
        trainer, history = train(path, 5)
    assert trainer.resumed == 3
    assert len(history) == 5
    # The damaged file has not replaced the valid one.
    assert read_checkpoint(previous_path(path))[1]["epoch"] == 4
    path.write_bytes(b"")
    previous_path(path).write_bytes(b"")
    assert_refused(path, r"run\.1\.st is not a whole")


def test_a_new_run_does_not_keep_the_checkpoint_of_another(path: Path) -> None:
    assert previous_path(path).exists()
    x, t = make_data()
    make_trainer().fit(x, t, epochs=1, checkpoint=path)
    assert not previous_path(path).exists()
    make_trainer().fit(x, t, epochs=2, checkpoint=path)
    assert read_checkpoint(previous_path(path))[1]["epoch"] == 1


def test_without_links_the_previous_checkpoint_is_a_copy(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_link(*_: object, **_options: object) -> None:
        raise PermissionError(1, "no links here")

    monkeypatch.setattr("os.link", no_link)
    train(path, 4)
    assert [read_checkpoint(p)[1]["epoch"] for p in (path, previous_path(path))] == [4, 3]


def test_behind_a_link_the_previous_checkpoint_lies_beside_the_target(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "run.st").symlink_to(tmp_path / "disk" / "real.st")
    assert previous_path(tmp_path / "run.st") == tmp_path.resolve() / "disk" / "real.1.st"


# The first format, of pocketcnn 0.1


def test_a_checkpoint_of_the_first_format_is_continued_to_the_same_bits(path: Path) -> None:
    arrays, values = read_checkpoint(path)
    old = {
        "identity": {
            k: v for k, v in values["identity"].items() if k not in ("architecture", "x", "t")
        },
        "epoch": values["epoch"],
        "stop": False,
        "history": values["history"],
        "optimizer": values["optimizer"],
        "callbacks": values["callbacks"],
        "generators": values["generators"],
    }
    del old["callbacks"][1]["waited"]
    old["identity"]["augment"] = repr(pc.data.RandomCrop(1))
    first = path.with_name("first.st")
    write_tensors(first, arrays, {"format": "pocketcnn checkpoint 1", "values": json.dumps(old)})
    one, other = train(first, 4)[0], train(path, 4)[0]
    assert state_of(one) == state_of(other)
    write_tensors(first, arrays, {"format": "pocketcnn checkpoint 1", "values": json.dumps(old)})
    assert_refused(first, "label_smoothing 0.0", make_trainer(label_smoothing=0.5))


def test_a_generator_of_another_kind_is_resumed(tmp_path: Path) -> None:
    def make(kind: Any) -> Trainer:
        net = make_net(("drop", pc.Dropout(0.5)))
        net.layers["drop"].rng = np.random.Generator(kind(5))
        return make_trainer(net)

    for kind in (np.random.MT19937, np.random.Philox, np.random.SFC64):
        path = tmp_path / kind.__name__
        whole = train(tmp_path / f"{kind.__name__} whole", 2, make(kind), callbacks=[])[0]
        train(path, 1, make(kind), callbacks=[])
        assert state_of(train(path, 2, make(kind), callbacks=[])[0]) == state_of(whole)
    assert_refused(path, "damaged checkpoint: generator drop", make(np.random.PCG64), callbacks=[])
