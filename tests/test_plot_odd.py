"""Pictures of data that are not finite, empty, single or many: drawn, or refused with a reason."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

import pocketcnn as pc
from pocketcnn import plot, scratch

NAN, INF = float("nan"), float("inf")


def make_net(classes: int = 3) -> pc.ConvNet:
    layers = [
        ("conv", pc.Conv2d(1, 4, 3)),
        ("relu", pc.ReLU()),
        ("flatten", pc.Flatten()),
        ("fc", pc.Linear(64, classes)),
    ]
    return pc.ConvNet(layers, input_shape=(1, 6, 6))


def broken_net(value: float = NAN) -> pc.ConvNet:
    net = make_net()
    net.params["conv.weight"][...] = value
    return net


def images(count: int = 5) -> Any:
    return np.random.default_rng(0).random((count, 1, 6, 6), dtype=np.float32)


def record(epoch: int, **numbers: Any) -> Any:
    record = {"epoch": epoch, "loss": 1 / epoch, "accuracy": 0.5, "val_loss": None}
    record |= {"val_accuracy": None, "seconds": 1.0, "images_per_second": 1.0}
    return {**record, "learning_rate": 0.1, **numbers}


def texts(figure: Figure) -> str:
    figure.draw_without_rendering()
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def test_curves_have_gaps_where_numbers_are_not_finite() -> None:
    values = [NAN, 0.5, INF, 0.25]
    records = [record(e, loss=v, val_loss=v, val_accuracy=v) for e, v in enumerate(values, 1)]
    drawn = texts(plot.curves(records))
    assert "best: 0.25 (epoch 4)" in drawn
    assert "best: 50 % (epoch 2)" in drawn
    assert "nan" not in drawn
    every = [record(e, loss=NAN, accuracy=NAN, val_loss=NAN, val_accuracy=NAN) for e in (1, 2)]
    assert "best" not in texts(plot.curves(every))
    drawn = texts(plot.compare({"a": [record(1, accuracy=NAN), record(2)], "b": every}))
    assert "a: best 50 %" in drawn


def test_a_legend_covers_no_curve() -> None:
    runs = {f"run {k}": [record(1), record(2)] for k in range(20)}
    figure = plot.compare(runs)
    figure.draw_without_rendering()
    for ax in figure.axes:
        assert ax.get_legend().get_window_extent().y1 < ax.get_window_extent().y0
    mine = Figure().subplots(1, 2)
    plot.compare(runs, axes=mine)  # a user's own axes have no room below them
    assert mine[0].get_legend() is not None


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_filters_that_are_not_finite(channels: int) -> None:
    before = np.random.default_rng(0).standard_normal((4, channels, 3, 3))
    after = before.copy()
    after[0], after[1, 0, 0, 0] = NAN, -INF
    texts(plot.filters(before, after, change=True))
    texts(plot.filters(NAN * before))
    texts(plot.filters(before / np.abs(before).max() * 1.7e308))
    if channels == 1:
        largest = np.abs(after[np.isfinite(after)]).max()
        assert plot.filters(after).axes[0].images[0].get_clim() == (-largest, largest)


def test_a_change_in_colour_has_a_scale_that_the_title_tells() -> None:
    before = np.random.default_rng(0).standard_normal((2, 3, 4, 4))
    change = np.zeros_like(before)
    change[1, 2, 3, 3], change[0, 0, 0, 0] = 0.004, -0.002
    figure = plot.filters(before, before + change, change=True)
    titles = [ax.get_title() for ax in figure.axes]
    assert titles[2] == "change: up to ±0.004"
    assert titles[0] == f"before training: up to ±{np.abs(before).max():.2g}"
    picture = np.asarray(figure.axes[2].images[0].get_array())
    np.testing.assert_allclose(picture[0, 0], [0.25, 0.5, 0.5])  # half of the scale down
    np.testing.assert_allclose(picture[1, 1], 0.5)  # no change is grey
    np.testing.assert_allclose(picture[3, 5 + 3], [0.5, 0.5, 1])


def test_filters_of_layers_and_networks() -> None:
    net, book = make_net(), scratch.SimpleConvNet()
    pairs = [
        (net, net.params["conv.weight"]),
        (net.layers["conv"], net.params["conv.weight"]),
        (book, book.params["W1"]),
        (book.layers["Conv1"], book.params["W1"]),
    ]
    for given, weights in pairs:
        shown = plot.filters(given).axes[0].images[0].get_array()
        expected = plot.filters(weights).axes[0].images[0].get_array()
        np.testing.assert_array_equal(shown, expected)
    texts(plot.filters(pc.models.compact_resnet()))
    texts(plot.filters(net, broken_net(), change=True))
    for given in (pc.ReLU(), scratch.TwoLayerNet(3, 3, 3)):
        with pytest.raises(ValueError, match=f"is a {type(given).__name__} without a convolution"):
            plot.filters(given)
    for given in (scratch.Relu(), scratch.Affine(np.ones((2, 2)), np.ones(2))):
        with pytest.raises(ValueError, match=r"wanted \(FN, C, KH, KW\)"):
            plot.filters(given)
    for given in (None, "net", np.ones((2, 2, 2, 2)) * 1j):
        with pytest.raises(TypeError, match="weights_before has dtype"):
            plot.filters(given)


def test_feature_maps_tell_their_scales_and_name_the_classes() -> None:
    net, x = make_net(), images()
    out = net.activations(x[:1])
    drawn = texts(plot.feature_maps(net, x[0], class_names=["ant", "bee", "cat"]))
    for name in ("conv", "relu", "fc"):
        low, high = float(out[name].min()), float(out[name].max())
        assert f"{low:.3g} to {high:.3g}".replace("-", "−") in drawn
    assert drawn.count("cat") >= 2  # beside its probability and below its score
    assert "2" in texts(plot.feature_maps(net, x[0])).splitlines()
    assert len(plot.feature_maps(make_net(21), x[0]).axes[-1].texts) < 21  # no room for so many


@pytest.mark.parametrize("value", [NAN, 3e38])
def test_feature_maps_that_are_not_finite(value: float) -> None:
    """The first layer that is not finite must be visible."""
    drawn = texts(plot.feature_maps(broken_net(value), images()[0]))
    if value != 3e38:
        assert "no prediction, as the scores are not finite" in drawn
        assert drawn.count("not finite") > 1  # beside the rows too
    for picture in (plot.saliency, plot.grad_cam):
        texts(picture(broken_net(value), images()[0], target=1))
    texts(plot.explain(broken_net(value), images(1), target=1))
    with pytest.raises(ValueError, match="no class wins"):
        plot.explain(broken_net(value), images(1))


def test_maps_of_zeros_say_so() -> None:
    net = make_net()
    net.params["fc.weight"][1] = 0  # nothing moves the score of class 1
    for picture in (plot.saliency, plot.grad_cam):
        assert "zero everywhere" in texts(picture(net, images()[0], target=1))
        assert "zero everywhere" not in texts(
            picture(net, images()[0], target=np.int64(0), axes=None)
        )
    assert texts(plot.explain(net, images(), target=1)).count("zero everywhere") == 10


def test_images_that_are_not_finite() -> None:
    x = images()
    x[0], x[1, 0, 0, 0] = NAN, INF
    scores = np.eye(3)[[0, 0, 0, 1, 2]]
    texts(plot.misclassified(x, scores, [1, 2, 1, 2, 0]))
    with pytest.raises(ValueError, match="NaN"):
        plot.misclassified(x, NAN * scores, [1, 2, 1, 2, 0])
    for image in x[:2]:
        texts(plot.feature_maps(make_net(), image))
        texts(plot.saliency(make_net(), image, target=0))
        with pytest.raises(ValueError, match="no class wins"):
            plot.saliency(make_net(), image)
    with pytest.raises(ValueError, match="NaN"):
        plot.top_patches(make_net(), x, "conv")


@pytest.mark.parametrize("classes", [1, 20, 100])
def test_any_number_of_classes(classes: int) -> None:
    net, x = make_net(classes), images()
    t = np.arange(classes)
    figure = plot.confusion_matrix(np.eye(classes), t, class_names=[f"class {k}" for k in t])
    texts(figure)
    labels = figure.axes[0].get_yticklabels()
    assert len(labels) == classes
    boxes = [label.get_window_extent() for label in labels]
    for upper, lower in pairwise(boxes):
        assert lower.y1 <= upper.y0 + 1  # no name over another
    texts(plot.feature_maps(net, x[0]))
    texts(plot.explain(net, x[:1]))


def test_one_image_and_none() -> None:
    net, x, scores = make_net(), images(), np.eye(3)
    texts(plot.explain(net, x[:1]))
    texts(plot.top_patches(net, x[:1], "conv"))
    texts(plot.misclassified(x[:1], scores[:1], [1]))
    assert "0 of 0 misclassified" in texts(plot.misclassified(x[:0], scores[:0], np.zeros(0, int)))
    assert "no samples" in texts(plot.confusion_matrix(scores[:0], np.zeros(0, int)))
    with pytest.raises(ValueError, match="x has no image"):
        plot.explain(net, x[:0])
    with pytest.raises(ValueError, match="at least one image"):
        plot.top_patches(net, x[:0], "conv")
    with pytest.raises(ValueError, match="history is empty"):
        plot.curves(pc.History())


def test_arrays_of_any_layout_and_numbers_of_numpy() -> None:
    net, x = make_net(), images()
    turned = np.asfortranarray(x)[:, :, ::-1, ::-1]
    expected = plot.feature_maps(net, turned[0].copy(), maps=2)
    shown = plot.feature_maps(net, turned[0], maps=np.int64(2))
    for ax, other in zip(shown.axes, expected.axes, strict=True):
        for mine, theirs in zip(ax.images, other.images, strict=True):
            np.testing.assert_array_equal(mine.get_array(), theirs.get_array())
    texts(plot.explain(net, turned, target=np.int32(1)))
    texts(plot.top_patches(net, turned, "conv", count=np.int64(2), channels=np.array([1, 2])))
    texts(plot.misclassified(x, np.eye(3)[[0] * 5], [1] * 5, count=np.int64(1)))
    texts(plot.filters(np.ones((2, 2, 3, 3)).T, channel=np.int64(1)))
    texts(plot.feature_maps(net, x[0], layers="relu"))
    for maps, error in ((0, ValueError), (2.5, TypeError)):
        with pytest.raises(error, match="maps is"):
            plot.feature_maps(net, x[0], maps=maps)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "draw",
    [
        lambda ax: plot.saliency(make_net(), images()[0], axes=ax),
        lambda ax: plot.confusion_matrix(np.eye(3), [0, 1, 2], axes=ax),
        lambda ax: plot.curves([record(1)], [ax, ax]),
        lambda ax: plot.architecture(make_net(), axes=ax),
        lambda ax: plot.top_patches(make_net(), images(), "conv", channels=[0], axes=[ax]),
    ],
)
def test_axes_of_a_cleared_figure_are_refused(draw: Callable[[Any], Any]) -> None:
    figure = Figure()
    ax = figure.subplots()
    assert draw(ax) is figure
    inset = ax.inset_axes((0.5, 0.5, 0.4, 0.4))
    assert draw(inset) is figure
    figure.clear()
    with pytest.raises(ValueError, match="axes belong to no figure"):
        draw(ax)


def test_the_way_around_a_block_begins_and_ends_inside_the_picture() -> None:
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    ax = plot.architecture(pc.models.compact_resnet()).axes[0]
    ax.figure.draw_without_rendering()
    ways = [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]
    assert len(ways) == 3
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    for way in ways:
        path = way.get_path()
        corners = path.vertices[path.codes != Path.CLOSEPOLY]
        assert (corners >= (left, low)).all()
        assert (corners <= (right, high)).all()
