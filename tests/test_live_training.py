"""Training on the page: the run is a `Trainer`'s, and waits, steps, ends and goes back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import pocketcnn as pc
from live_server import CLASSES, collection, graph_net
from pocketcnn.live import training
from pocketcnn.live.recipe import Recipe
from pocketcnn.live.unfolding import unfold
from pocketcnn.live.workshop import Workshop


@pytest.fixture
def workshop() -> Iterator[Workshop]:
    made = Workshop(graph_net(), CLASSES, collection())
    yield made
    made.close()


def wait(workshop: Workshop, done: Callable[[dict[str, object]], object], number: int = 1) -> dict:
    """Wait until a run's report fulfils a condition; a test that hangs is ended by its runner."""
    for _ in range(6000):
        report = next(run for run in workshop.report() if run["number"] == number)
        if done(report):
            return report
        time.sleep(0.01)
    raise AssertionError(f"still {report}")


def ended(report: dict[str, object]) -> bool:
    return report["state"] in ("done", "failed", "stopped")


def test_a_run_ends_at_the_bits_of_a_plain_trainer(workshop: Workshop) -> None:
    number = workshop.command({"action": "start", "begin": "model", "epochs": 2, "rate": 0.01})
    report = wait(workshop, ended)
    net = unfold(graph_net())
    data = collection()
    x, x_test = (np.divide(part, 255, dtype=np.float32) for part in (data.x, data.x_test))
    history = pc.Trainer(net, pc.optim.Adam(0.01)).fit(
        x, data.t, epochs=2, validation=(x_test, data.t_test)
    )
    assert [record["val_loss"] for record in report["records"]] == history.column("val_loss")
    assert report["state"] == "done"
    assert report["epochs"] == [0, 1, 2]
    with workshop.showing(number, 2) as exhibit:
        logits = net.predict(x_test[:1])[0].astype(np.float64)
        expected = np.exp(logits) / np.exp(logits).sum()
        np.testing.assert_allclose(exhibit.predict(data.x_test[:1])[0], expected, rtol=1e-4)
    np.testing.assert_array_equal(workshop.filters(number, 2), net.params["conv1.weight"])
    np.testing.assert_array_equal(workshop.filters(number, 0), graph_net().params["conv1.weight"])


def test_batches_are_measured_one_by_one(workshop: Workshop) -> None:
    workshop.command({"action": "start", "epochs": 1, "batch_size": 20})
    report = wait(workshop, ended)
    places, losses, accuracies = zip(*report["points"], strict=True)
    assert places == pytest.approx((1 / 3, 2 / 3, 1))
    (record,) = report["records"]
    assert np.mean(losses) == pytest.approx(record["loss"])
    assert np.mean(accuracies) == pytest.approx(record["accuracy"])


def test_it_pauses_steps_and_goes_on(workshop: Workshop) -> None:
    command = {"action": "start", "epochs": 2, "batch_size": 20, "paused": True}
    number = workshop.command(command)
    for steps in (1, 2, 3, 4):
        workshop.command({"action": "step", "run": number})
        wait(workshop, lambda report, steps=steps: report["step"] == steps)
    time.sleep(0.05)
    report = wait(workshop, lambda report: report["state"] == "paused")
    assert report["step"] == 4
    assert report["epochs"] == [0, 1]
    workshop.command({"action": "rate", "run": number, "rate": 0.5})
    assert workshop.report()[0]["rate"] == 0.5
    workshop.command({"action": "resume", "run": number})
    assert wait(workshop, ended)["step"] == 6


def test_it_stops_for_good_also_when_paused(workshop: Workshop) -> None:
    number = workshop.command({"action": "start", "epochs": 200, "paused": True})
    workshop.command({"action": "stop", "run": number})
    assert wait(workshop, ended)["state"] == "stopped"
    workshop.command({"action": "resume", "run": number})
    assert workshop.report()[0]["state"] == "stopped"


def test_one_trains_at_a_time_and_old_ones_are_forgotten(workshop: Workshop) -> None:
    for _ in range(8):
        workshop.command({"action": "start", "epochs": 200, "paused": True})
    reports = workshop.report()
    assert [report["number"] for report in reports] == [3, 4, 5, 6, 7, 8]
    assert [report["state"] for report in reports[:-1]] == ["stopped"] * 5
    with pytest.raises(LookupError, match="run is 1, but there are"):
        workshop.command({"action": "pause", "run": 1})


def test_weights_of_many_epochs_are_thinned(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(array.nbytes for array in unfold(graph_net()).params.values())
    monkeypatch.setattr(training, "_KEPT_BYTES", 6 * size)
    workshop.command({"action": "start", "epochs": 20})
    epochs = wait(workshop, ended)["epochs"]
    assert len(epochs) <= 6
    assert (epochs[0], epochs[-1]) == (0, 20)
    with pytest.raises(LookupError, match="epoch is 1, but there are"), workshop.showing(1, 1):
        pass


def test_a_failure_is_told(workshop: Workshop) -> None:
    workshop.command({"action": "start", "optimizer": "SGD", "rate": 10, "epochs": 50})
    report = wait(workshop, ended)
    assert report["state"] == "failed"
    assert "loss became" in report["error"] or "weights were spoilt" in report["error"]


def test_other_networks_are_trained_and_looked_at() -> None:
    x = np.random.default_rng(0).integers(0, 256, (40, 1, 28, 28), dtype=np.uint8)
    net = pc.models.lenet5()
    t = np.arange(40) % 10
    data = type(collection())("noise", x, t, x[:10], t[:10])
    workshop = Workshop(net, [str(index) for index in range(10)], data)
    number = workshop.command({"action": "start", "begin": "simple_convnet", "epochs": 1})
    assert wait(workshop, ended)["filters"] == "conv1.weight"
    assert [layer["name"] for layer in workshop.exhibit(number).describe()["layers"]] == list(
        pc.models.simple_convnet().layers
    )
    assert workshop.filters(number, None).shape == (30, 1, 5, 5)


def test_what_cannot_be_trained_is_refused() -> None:
    with pytest.raises(ValueError, match="no labelled images"):
        Workshop(graph_net(), CLASSES, None).command({"action": "start"})
    with pytest.raises(ValueError, match="kernel_size"):
        Workshop(
            pc.ConvNet([("f", pc.Flatten()), ("fc", pc.Linear(9, 4))], input_shape=(1, 3, 3)),
            CLASSES,
            collection(),
        ).command({"action": "start", "begin": "simple_convnet"})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"optimizer": "Magic"}, "optimizer is 'Magic': wanted one of Adam"),
        ({"optimizer": ["Adam"]}, "optimizer is"),
        ({"rate": 0}, "rate is 0"),
        ({"rate": float("nan")}, "rate is nan"),
        ({"rate": "1"}, "rate is '1'"),
        ({"batch_size": 0}, "batch_size is 0: wanted 1 to 1000"),
        ({"batch_size": 1.5}, "batch_size is 1.5"),
        ({"epochs": True}, "epochs is True"),
        ({"epochs": 10**9}, "epochs is 1000000000"),
        ({"begin": "elsewhere"}, "begin is 'elsewhere'"),
        ({"paused": 1}, "paused is 1: wanted true or false"),
    ],
)
def test_what_a_browser_may_not_ask_for(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recipe.of(values)
