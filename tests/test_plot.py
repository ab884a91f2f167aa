"""Pictures: what is in the figures, and that drawing changes nothing global."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import pocketcnn as pc
from pocketcnn import plot
from pocketcnn.training.history import History, Record


def make_history(epochs: int = 3, validation: bool = True) -> History:
    return History(
        Record(
            epoch=k + 1,
            loss=1.0 / (k + 1),
            accuracy=1 - 0.5 / (k + 1),
            val_loss=1.0 + abs(k - 1) if validation else None,
            val_accuracy=0.5 if validation else None,
            seconds=1.0,
            images_per_second=1.0,
            learning_rate=0.1,
        )
        for k in range(epochs)
    )


def make_net() -> pc.ConvNet:
    return pc.ConvNet(
        [
            ("conv", pc.Conv2d(3, 4, 3)),
            ("relu", pc.ReLU()),
            ("flatten", pc.Flatten()),
            ("fc", pc.Linear(4 * 36, 5)),
        ],
        input_shape=(3, 8, 8),
    )


def texts(figure: Figure) -> str:
    found = [figure.get_suptitle()]
    for ax in figure.axes:
        found += [ax.get_title(), *(text.get_text() for text in ax.texts)]
    return "\n".join(found)


def test_curves() -> None:
    figure = plot.curves(make_history())
    loss, accuracy = figure.axes
    assert [ax.get_title() for ax in figure.axes] == ["Loss", "Accuracy"]
    assert [ax.get_xlabel() for ax in figure.axes] == ["epoch", "epoch"]
    training, validation = loss.get_lines()[:2]
    np.testing.assert_allclose(training.get_ydata(), [1, 1 / 2, 1 / 3])
    np.testing.assert_allclose(validation.get_ydata(), [2, 1, 2])
    np.testing.assert_allclose(accuracy.get_lines()[0].get_ydata(), [50, 75, 100 - 50 / 3])
    legend = loss.get_legend()
    assert legend is not None
    assert "best: 1 (epoch 2)" in [text.get_text() for text in legend.get_texts()]


@pytest.mark.parametrize(("epochs", "validation"), [(1, True), (3, False), (100, True)])
def test_curves_of_any_length(tmp_path: Path, epochs: int, validation: bool) -> None:
    figure = plot.curves(make_history(epochs, validation))
    figure.savefig(tmp_path / "curves.png")
    assert len(figure.axes[0].get_lines()) == (3 if validation else 1)


def test_curves_in_axes_of_the_user() -> None:
    mine = Figure()
    axes = mine.subplots(1, 2)
    assert plot.curves(make_history(), axes=axes) is mine
    with pytest.raises(ValueError, match="axes are 1"):
        plot.curves(make_history(), axes=axes[:1])


def test_curves_need_an_epoch() -> None:
    with pytest.raises(ValueError, match="history is empty"):
        plot.curves(History())


def test_compared_curves() -> None:
    histories = {"one": make_history(3), "other": make_history(5, validation=False)}
    figure = plot.compare(histories)
    loss, accuracy = figure.axes
    assert [ax.get_title() for ax in figure.axes] == ["Training loss", "Accuracy"]
    assert [line.get_label() for line in loss.get_lines()] == ["one", "other"]
    np.testing.assert_allclose(loss.get_lines()[1].get_ydata(), 1 / np.arange(1, 6))
    np.testing.assert_allclose(accuracy.get_lines()[0].get_ydata(), 50)
    assert accuracy.get_lines()[1].get_label() == "other: best 90 %"
    assert loss.get_lines()[0].get_color() != loss.get_lines()[1].get_color()
    over_time = plot.compare(histories, over="seconds").axes[0]
    np.testing.assert_allclose(over_time.get_lines()[1].get_xdata(), [1, 2, 3, 4, 5])
    assert over_time.get_xlabel() == "seconds of training"


def test_compared_curves_errors() -> None:
    for histories in ({}, {"one": History()}):
        with pytest.raises(ValueError, match="histories has runs without an epoch"):
            plot.compare(histories)
    with pytest.raises(ValueError, match="over is 'hours'"):
        plot.compare({"one": make_history()}, over="hours")  # type: ignore[arg-type]


def test_filters_share_one_scale_around_zero() -> None:
    before = np.random.default_rng(0).standard_normal((30, 1, 5, 5))
    figure = plot.filters(before, before * 2)
    assert "30 filters, 5 × 5" in texts(figure)
    images = [ax.images[0] for ax in figure.axes[:2]]
    assert images[0].get_clim() == images[1].get_clim()
    low, high = images[0].get_clim()
    assert low == -high
    assert high == np.abs(before * 2).max()
    assert [ax.get_title() for ax in figure.axes[:2]] == ["before training", "after training"]
    # 6 columns and 5 rows of 5 x 5 pixels, one pixel apart.
    tiles = np.asarray(images[0].get_array().filled(np.nan))
    assert tiles.shape == (29, 35)
    np.testing.assert_array_equal(tiles[6:11, 12:17], before[6 + 2, 0])
    assert np.isnan(tiles[5]).all()


def test_filters_may_show_the_change() -> None:
    before = np.random.default_rng(0).standard_normal((1, 1, 2, 2))
    figure = plot.filters(before, before + 1, change=True)
    assert figure.axes[2].get_title() == "change"
    tiles = np.asarray(figure.axes[2].images[0].get_array().filled(np.nan))
    np.testing.assert_allclose(tiles, 1)


def test_filters_on_three_channels_are_in_colour() -> None:
    weights = np.random.default_rng(0).standard_normal((7, 3, 2, 2))
    picture = np.asarray(plot.filters(weights).axes[0].images[0].get_array())
    assert picture.shape[2] == 3
    first = picture[:2, :2]
    assert (first.min(), first.max()) == (0, 1)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (6, 2, 3, 7), (64, 64, 3, 3)])
def test_filters_of_any_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    plot.filters(np.zeros(shape), channel=shape[1] - 1).savefig(tmp_path / "filters.png")


def test_filters_errors() -> None:
    with pytest.raises(ValueError, match=r"weights_before has shape \(3, 4\)"):
        plot.filters(np.ones((3, 4)))
    with pytest.raises(ValueError, match="weights_after has shape"):
        plot.filters(np.ones((2, 1, 3, 3)), np.ones((3, 1, 3, 3)))
    with pytest.raises(ValueError, match="channel is 2"):
        plot.filters(np.ones((2, 2, 3, 3)), channel=2)


def test_feature_maps(tmp_path: Path) -> None:
    net = make_net()
    image = np.random.default_rng(0).random((3, 8, 8), dtype=np.float32)
    names = ["ant", "bee", "cat", "dog", "eel"]
    figure = plot.feature_maps(net, image, class_names=names)
    winner = names[int(net.predict(image[np.newaxis]).argmax())]
    assert f"predicted {winner}" in texts(figure)
    assert "conv\n4 × 6 × 6" in texts(figure)
    assert sum(len(ax.images) for ax in figure.axes) == 1 + 4 + 4 + 1
    maps = net.activations(image[np.newaxis])["conv"][0]
    drawn = [np.asarray(ax.images[0].get_array()) for ax in figure.axes if ax.images]
    np.testing.assert_allclose(drawn[1], maps[0])
    figure.savefig(tmp_path / "features.png")


def test_feature_maps_of_chosen_layers() -> None:
    figure = plot.feature_maps(make_net(), np.zeros((1, 3, 8, 8)), layers=["relu"], maps=2)
    assert sum(len(ax.images) for ax in figure.axes) == 1 + 2
    band = plot.feature_maps(make_net(), np.zeros((3, 8, 8)), layers=["fc"]).axes[-1]
    assert band.images[0].get_size() == (1, 5)
    with pytest.raises(ValueError, match="layers has 'fc9': wanted some of conv, relu"):
        plot.feature_maps(make_net(), np.zeros((3, 8, 8)), layers=["fc9"])
    with pytest.raises(ValueError, match="image has shape"):
        plot.feature_maps(make_net(), np.zeros((3, 9, 9)))


def test_pictures_have_their_size(tmp_path: Path) -> None:
    from PIL import Image

    plot.curves(make_history()).savefig(tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > picture.height > 300


def test_nothing_global_is_touched() -> None:
    """No pyplot, and matplotlib itself only when something is drawn."""
    code = (
        "import sys, pocketcnn, pocketcnn.plot as plot, numpy as np\n"
        "assert 'matplotlib' not in sys.modules\n"
        "plot.filters(np.ones((2, 1, 3, 3)))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_matplotlib_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        plot.filters(np.ones((2, 1, 3, 3)))
