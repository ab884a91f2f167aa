"""Metrics by name, where they are shown, and the callbacks that watch or write them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
from pocketcnn.losses import CrossEntropy, MeanSquaredError
from pocketcnn.training.counts import Counts
from pocketcnn.training.metrics import make_metrics

K = 4
NAN = np.nan


def make_net() -> pc.ConvNet:
    layers: list[Any] = [("conv", pc.Conv2d(1, 4, 3)), ("relu", pc.ReLU()), ("flat", pc.Flatten())]
    return pc.ConvNet([*layers, ("fc", pc.Linear(64, K))], (1, 6, 6), seed=2)


def make_data(count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    t = np.arange(count) % K
    x = np.random.default_rng(3).standard_normal((count, 1, 6, 6)) + t.reshape(-1, 1, 1, 1)
    return x.astype(np.float32), t


def measured(scores: np.ndarray, t: np.ndarray, names: list[Any], loss: Any = None) -> Any:
    """The metrics of scores, counted in two batches."""
    loss = CrossEntropy() if loss is None else loss
    counts = Counts(loss, make_metrics(names, make_net(), loss))
    for part in (slice(0, 3), slice(3, None)):
        counts.add(scores[part], t[part], 1.0, 1.0)
    return counts


def test_top_k_is_the_rank_of_the_true_class() -> None:
    rng = np.random.default_rng(0)
    scores, t = rng.integers(0, 5, (200, K)).astype(np.float32), rng.integers(0, K, 200)
    scores[:20, 2] = NAN
    found = measured(scores, t, ["top1", "top2", "top4"]).metrics
    order = np.argsort(-scores, axis=1, kind="stable")
    for k in (1, 2, 4):
        right = (order[:, :k] == t[:, None]).any(axis=1) & ~np.isnan(scores).any(axis=1)
        assert found[f"top{k}"] == right.mean()
    assert found["top1"] == measured(scores, t, []).accuracy


def test_f1_and_overlaps_are_those_of_their_definition() -> None:
    rng = np.random.default_rng(1)
    scores, t = rng.random((50, K, 3, 2)), rng.integers(0, 3, (50, 3, 2))
    scores[:, 3] = -1  # neither true nor guessed: no part in the means
    t[0] = 9
    loss = CrossEntropy(ignore_index=9)
    found = measured(scores, t, ["f1", "f1_classes", "miou", "iou_classes"], loss).metrics
    guess, kept = scores.argmax(axis=1)[t != 9], t[t != 9]
    f1, iou = [], []
    for k in range(3):
        both = np.sum((guess == k) & (kept == k))
        f1.append(2 * both / (np.sum(guess == k) + np.sum(kept == k)))
        iou.append(both / np.sum((guess == k) | (kept == k)))
        assert found[f"f1_{k}"] == pytest.approx(f1[k], rel=1e-14)
        assert found[f"iou_{k}"] == pytest.approx(iou[k], rel=1e-14)
    assert found["f1_3"] is found["iou_3"] is None
    assert found["f1"] == pytest.approx(np.mean(f1), rel=1e-14)
    assert found["miou"] == pytest.approx(np.mean(iou), rel=1e-14)


def test_metrics_are_scikit_learns() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    rng = np.random.default_rng(2)
    scores, t = rng.random((80, K)), rng.integers(0, K, 80)
    found = measured(scores, t, ["top2", "f1", "miou"]).metrics
    guess = scores.argmax(axis=1)
    assert found["top2"] == metrics.top_k_accuracy_score(t, scores, k=2)
    assert found["f1"] == pytest.approx(metrics.f1_score(t, guess, average="macro"))
    assert found["miou"] == pytest.approx(metrics.jaccard_score(t, guess, average="macro"))


def test_errors_of_numbers_and_functions() -> None:
    rng = np.random.default_rng(3)
    out, t = rng.random((9, K)), rng.random((9, K))

    def largest(output: np.ndarray, t: np.ndarray) -> float:
        return float(np.abs(output - t).max())

    counts = measured(out, t, ["mae", "mse", largest], MeanSquaredError())
    assert counts.accuracy is None
    assert counts.metrics["mae"] == pytest.approx(np.abs(out - t).mean())
    assert counts.metrics["mse"] == pytest.approx(np.square(out - t).mean())
    wanted = (3 * largest(out[:3], t[:3]) + 6 * largest(out[3:], t[3:])) / 9
    assert counts.metrics["largest"] == pytest.approx(wanted)
    with pytest.raises(ValueError, match="metric 'mae' needs targets of the output's shape"):
        measured(out, t[:, 0], ["mae"], loss_of_nothing())


def loss_of_nothing() -> Any:
    from pocketcnn.losses.base import as_loss

    return as_loss(lambda output, _: (0.0, output))


def test_names_of_classes_are_in_the_names_of_metrics() -> None:
    net = make_net()
    net.classes = ["cat", "dog", "cow", "hen"]
    x, t = make_data()
    trainer = pc.Trainer(net, pc.optim.SGD(0.1), metrics=["f1_classes"])
    history = trainer.fit(x, t, epochs=1)
    assert trainer.columns == ("f1_cat", "f1_dog", "f1_cow", "f1_hen")
    assert history.column("val_f1_dog") == [None]


def test_metrics_are_in_the_history_and_its_files(tmp_path: Path) -> None:
    x, t = make_data()
    trainer = pc.Trainer(make_net(), pc.optim.Adam(0.01), metrics=["top2", "f1"])
    history = trainer.fit(x, t, epochs=2, validation=(x, t))
    found = trainer.evaluate(x, t)
    assert history.column("val_f1")[-1] == found.metrics["f1"]
    assert history.column("top2")[0] is not None
    history.to_csv(tmp_path / "h.csv")
    header = (tmp_path / "h.csv").read_text().splitlines()[0]
    assert header.endswith("learning_rate,top2,val_top2,f1,val_f1")
    history.to_json(tmp_path / "h.json")
    assert pc.History.from_json(tmp_path / "h.json") == history
    assert "val_f1" in str(history)
    assert "val_top2" in repr(history)


def test_a_history_of_numbers_has_no_accuracy(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    x, t = make_data()
    screen = io.StringIO()
    trainer = pc.Trainer(
        make_net(), pc.optim.Adam(0.01), loss=MeanSquaredError(), metrics=["mae", "mse"]
    )
    history = trainer.fit(
        x, np.eye(K)[t], epochs=2, validation=(x, np.eye(K)[t]),
        callbacks=[pc.ProgressBar(stream=screen)],
    )  # fmt: skip
    lines = screen.getvalue().splitlines()
    assert "val mae" in lines[0]
    assert lines[1].split()[2] == "-"
    history.to_json(tmp_path / "h.json")
    assert json.loads((tmp_path / "h.json").read_text())[0]["accuracy"] is None
    assert pc.History.from_json(tmp_path / "h.json") == history
    assert "accuracy" not in repr(history)
    pc.plot.curves(history).savefig(tmp_path / "curves.png")
    pc.plot.compare({"a": history, "b": history}).savefig(tmp_path / "compare.png")


# Callbacks


def test_early_stopping_watches_metrics() -> None:
    x, t = make_data()

    def worst(output: np.ndarray, _: np.ndarray) -> float:
        return float(output.min())

    net = make_net()
    trainer = pc.Trainer(net, pc.optim.SGD(0.0), metrics=["f1", worst])
    for watched in (
        pc.EarlyStopping("val_f1", patience=2),
        pc.EarlyStopping("worst", patience=2, mode="max"),
    ):
        assert len(trainer.fit(x, t, epochs=9, validation=(x, t), callbacks=[watched])) == 3
    assert pc.EarlyStopping("val_mae")._rising is False
    assert pc.EarlyStopping("val_iou_cat")._rising is True
    with pytest.raises(ValueError, match=r"'val_top2' needs a metric of that name.*has f1, worst"):
        trainer.fit(x, t, validation=(x, t), callbacks=[pc.EarlyStopping("val_top2")])
    with pytest.raises(ValueError, match="'val_f1' needs validation data"):
        trainer.fit(x, t, callbacks=[pc.schedules.Plateau(monitor="val_f1")])
    with pytest.raises(ValueError, match="one of your own needs mode"):
        pc.EarlyStopping("val_worst")
    with pytest.raises(ValueError, match="mode is 'auto'"):
        pc.EarlyStopping("val_worst", mode="auto")  # type: ignore[arg-type]


def test_tensorboard_gets_every_record(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    from tensorboardX.proto.event_pb2 import Event  # type: ignore[import-not-found]

    x, t = make_data()
    trainer = pc.Trainer(make_net(), pc.optim.Adam(0.01), metrics=["f1"])
    folder = tmp_path / "board"
    history = trainer.fit(x, t, epochs=2, validation=(x, t), callbacks=[pc.TensorBoard(folder)])
    (path,) = folder.iterdir()
    found, data = {}, path.read_bytes()
    while data:  # records of a length, its checksum, an event and its checksum
        size = int.from_bytes(data[:8], "little")
        event = Event.FromString(data[12 : 12 + size])
        data = data[16 + size :]
        for value in event.summary.value:
            found[value.tag, event.step] = value.simple_value
    for record in history:
        values: dict[str, Any] = dict(record)
        for tag, name in (
            ("loss/training", "loss"), ("accuracy/validation", "val_accuracy"),
            ("f1/validation", "val_f1"), ("learning_rate", "learning_rate"),
        ):  # fmt: skip
            assert found[tag, record["epoch"]] == pytest.approx(values[name], rel=1e-6)


def test_without_tensorboard_x_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"pip install pocketcnn\[tensorboard\]"):
        pc.Trainer(make_net(), pc.optim.SGD(0.1)).fit(
            *make_data(), callbacks=[pc.TensorBoard("nowhere")]
        )


# The learning-rate test


@pytest.mark.parametrize("settings", [{}, {"ema": 0.9, "accumulate": 2}])
def test_a_rate_is_found_and_nothing_changed(settings: dict[str, Any]) -> None:
    x, t = make_data()

    def make() -> pc.Trainer:
        net = make_net()
        crop = pc.data.RandomCrop(1)
        return pc.Trainer(net, pc.optim.Adam(0.01), batch_size=8, augment=crop, **settings)

    trainer, twin = make(), make()
    for each in (trainer, twin):
        each.fit(x, t, epochs=1)
    search = trainer.find_rate(x, t, lowest=1e-5, highest=100.0, steps=60)
    assert len(search.rates) == len(search.losses) == len(search.smoothed) < 60
    np.testing.assert_allclose(np.diff(np.log(search.rates)), np.log(1e7) / 59, rtol=1e-9)
    assert search.rates[0] <= search.suggestion <= search.rates[-1]
    assert (
        repr(search) == f"RateSearch({len(search.rates)} rates, suggestion={search.suggestion:.2g})"
    )
    assert trainer.optimizer.lr == 0.01
    for each in (trainer, twin):
        each.fit(x, t, epochs=2)
    for name, array in twin.net.params.items():
        np.testing.assert_array_equal(trainer.net.params[name], array, err_msg=name)


def test_the_rate_that_is_suggested_is_one_that_learns() -> None:
    (x, t), _ = pc.data.digits()
    trainer = pc.Trainer(pc.models.lenet5(), pc.optim.Adam(1.0), batch_size=50)
    assert 1e-4 < trainer.find_rate(x / np.float32(255), t).suggestion < 1e-2


def test_the_search_for_a_rate_refuses_what_cannot_be(tmp_path: Path) -> None:
    x, t = make_data()
    trainer = pc.Trainer(make_net(), pc.optim.SGD(0.1), batch_size=8)
    with pytest.raises(ValueError, match="wanted 0 < lowest < highest"):
        trainer.find_rate(x, t, lowest=1.0, highest=0.1)
    with pytest.raises(ValueError, match="steps is 2"):
        trainer.find_rate(x, t, steps=2)
    with pytest.raises(FloatingPointError, match="choose a lower `lowest`"):
        trainer.find_rate(x, t, lowest=1e30, highest=1e35)
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    figure = pc.plot.rate_finder(trainer.find_rate(x, t, steps=20))
    figure.savefig(tmp_path / "rates.png")
    with pytest.raises(TypeError, match="search is a list"):
        pc.plot.rate_finder([1.0])  # type: ignore[arg-type]


def test_a_picture_of_segmentation(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    rng = np.random.default_rng(0)
    x, scores, t = rng.random((5, 1, 8, 6)), rng.random((5, 3, 8, 6)), rng.integers(0, 3, (5, 8, 6))
    t[0, 0] = 255
    names = ["ground", "_cat", "$dog$"]
    figure = pc.plot.segmentation(x, scores, t, count=3, class_names=names)
    figure.savefig(tmp_path / "s.png")
    assert len(figure.axes) == 9
    guess = figure.axes[2].get_images()[0].get_array()
    assert guess is not None
    assert len(np.unique(np.asarray(guess).reshape(-1, 3), axis=0)) == 3
    assert len(pc.plot.segmentation(x, scores).axes) == 8
    with pytest.raises(ValueError, match=r"^t has shape"):
        pc.plot.segmentation(x, scores, t[:, :4])
    with pytest.raises(ValueError, match=r"^scores has shape"):
        pc.plot.segmentation(x[:2], scores)
