"""Pictures of what a network sees: they show the arrays of `inspection`, with their titles."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

import pocketcnn as pc
from pocketcnn import inspection, plot
from pocketcnn.plot.canvas import as_picture, pixel_range

NAMES = ["ant", "bee", "cat", "dog"]


def make_net(channels: int = 3) -> pc.ConvNet:
    layers = [
        ("conv", pc.Conv2d(channels, 5, 3, padding=1)),
        ("relu", pc.ReLU()),
        ("pool", pc.MaxPool2d(2)),
        ("drop", pc.Dropout(0.5)),
        ("flatten", pc.Flatten()),
        ("fc", pc.Linear(5 * 5 * 4, 4)),
    ]
    return pc.ConvNet(layers, input_shape=(channels, 10, 8))


def images(channels: int = 3, count: int = 6) -> np.ndarray:
    return np.random.default_rng(7).random((count, channels, 10, 8), dtype=np.float32)


def drawn(ax: Axes, index: int = -1) -> np.ndarray:
    return np.asarray(ax.images[index].get_array())


def new_axes() -> Axes:
    return Figure().subplots()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_saliency(channels: int) -> None:
    net, x = make_net(channels), images(channels)
    figure = plot.saliency(net, x[0], target=2, class_names=NAMES)
    probability = pc.functional.softmax(net.predict(x[:1]))[0, 2]
    assert figure.get_suptitle() == f"Saliency for cat ({probability:.1%})"
    assert [ax.get_title() for ax in figure.axes] == ["image", "dark: none, bright: most"]
    np.testing.assert_array_equal(drawn(figure.axes[1]), inspection.saliency(net, x[:1], 2)[0])
    mine = new_axes()
    assert plot.saliency(net, x[:1], axes=mine) is mine.figure
    assert mine.get_title().startswith("Saliency for ")


def test_grad_cam_lies_over_the_image() -> None:
    net, x = make_net(), images()
    figure = plot.grad_cam(net, x[0], layer="pool", class_names=NAMES)
    winner = NAMES[int(net.predict(x[:1]).argmax())]
    assert figure.get_suptitle().startswith(f"Grad-CAM of pool for {winner} (")
    ax = figure.axes[1]
    np.testing.assert_allclose(drawn(ax, 0), x[0].astype(float).mean(axis=0))
    np.testing.assert_array_equal(drawn(ax, 1), inspection.grad_cam(net, x[:1], layer="pool")[0])
    assert ax.images[0].get_extent() == ax.images[1].get_extent()
    mine = new_axes()
    plot.grad_cam(net, x[0], axes=mine)
    assert mine.get_title().startswith("Grad-CAM of drop for ")


def test_explain_has_a_row_an_image() -> None:
    net, x = make_net(), images(count=3)
    figure = plot.explain(net, x, class_names=NAMES)
    assert len(figure.axes) == 9
    assert figure.axes[1].get_title() == "saliency"
    assert figure.axes[2].get_title() == "Grad-CAM of drop"
    for row, guess in enumerate(net.predict(x).argmax(axis=1)):
        assert figure.axes[3 * row].get_title().startswith(f"{NAMES[guess]} (")
        np.testing.assert_array_equal(
            drawn(figure.axes[3 * row + 1]), inspection.saliency(net, x)[row]
        )


def test_errors_of_explanations() -> None:
    net, x = make_net(), images()
    for function in (plot.saliency, plot.grad_cam):
        with pytest.raises(ValueError, match=r"image has shape \(3, 8, 8\), but the network takes"):
            function(net, x[0, :, :8])
        with pytest.raises(ValueError, match="class_names has 1 names, but there are 4 classes"):
            function(net, x[0], class_names=["ant"])
        with pytest.raises(ValueError, match="classes go from 4 to 4"):
            function(net, x[0], target=4)


@pytest.mark.parametrize("channels", [1, 3])
def test_top_patches(tmp_path: Path, channels: int) -> None:
    net, x = make_net(channels), images(channels)
    figure = plot.top_patches(net, x, "relu", channels=[4, 1], count=4)
    assert figure.get_suptitle() == "What excites relu most: patches of 3 × 3"
    assert [ax.get_title() for ax in figure.axes] == ["channel 4", "channel 1"]
    best = inspection.top_patches(net, x, "relu", channels=[4, 1], count=4).cut(x)[1, 0]
    size = 3 * 13  # each pixel is 13 wide, to make the lines between patches thin
    corner = drawn(figure.axes[1])[:size:13, :size:13]
    inside = ~np.isnan(best[0])
    wanted = best.transpose(1, 2, 0)[inside]
    np.testing.assert_allclose(corner[inside], np.broadcast_to(wanted, (len(wanted), 3)))
    figure.savefig(tmp_path / "patches.png")


def test_top_patches_in_axes_of_the_user() -> None:
    net, x = make_net(), images()
    mine = Figure().subplots(1, 2)
    assert plot.top_patches(net, x, "pool", channels=[0, 1], axes=mine) is mine[0].figure
    with pytest.raises(ValueError, match="axes are 2, but there are 5 channels"):
        plot.top_patches(net, x, "pool", axes=mine)


def test_confusion_matrix() -> None:
    scores = np.eye(4)[[0, 1, 1, 2, 3, 3]]
    figure = plot.confusion_matrix(scores, [0, 1, 2, 2, 3, 0], class_names=NAMES)
    ax = figure.axes[0]
    assert ax.get_title() == "Confusion matrix: 66.7% of 6 right"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("guess", "truth")
    assert [text.get_text() for text in ax.get_xticklabels()] == NAMES
    numbers = {text.get_position(): text.get_text() for text in ax.texts}
    assert numbers == {(0, 0): "1", (3, 0): "1", (1, 1): "1", (1, 2): "1", (2, 2): "1", (3, 3): "1"}
    np.testing.assert_allclose(drawn(ax)[2] ** 2, [0, 0.5, 0.5, 0])
    mine = new_axes()
    assert plot.confusion_matrix(scores, [0] * 6, axes=mine) is mine.figure
    many = plot.confusion_matrix(np.eye(30), np.arange(30))
    assert not many.axes[0].texts


def test_misclassified(tmp_path: Path) -> None:
    x = images(1)
    scores = np.log([[9, 1, 1, 1], [1, 9, 1, 1], [1, 1, 1, 3], [9, 1, 1, 1], [1, 1, 5, 1], [1] * 4])
    t = [0, 2, 1, 3, 2, 0]
    figure = plot.misclassified(x, scores, t, class_names=NAMES)
    assert figure.get_suptitle() == "3 of 6 misclassified"
    assert [ax.get_title() for ax in figure.axes] == [
        "truth cat\nguess bee, 75%", "truth dog\nguess ant, 75%", "truth bee\nguess dog, 50%",
    ]  # fmt: skip
    np.testing.assert_allclose(drawn(figure.axes[2]), x[2, 0])
    assert len(plot.misclassified(x, scores, t, count=1).axes) == 1
    none = plot.misclassified(x, scores, scores.argmax(axis=1))
    assert none.get_suptitle() == "0 of 6 misclassified"
    none.savefig(tmp_path / "none.png")
    with pytest.raises(ValueError, match="x has 5 images, but scores have 6 rows"):
        plot.misclassified(x[:5], scores, t)


def test_architecture_of_small_and_large_networks(tmp_path: Path) -> None:
    figure = plot.architecture(make_net())
    ax = figure.axes[0]
    assert ax.get_title() == "3 × 10 × 8 to 4: 544 parameters"
    assert [text.get_text() for text in ax.texts if text.get_text()] == [
        *("input", "3 × 10 × 8"),
        *("conv", "5 × 10 × 8", "Conv2d 3 × 3", "+ ReLU"),
        *("pool", "5 × 5 × 4", "MaxPool2d 2 × 2 / 2", "+ Dropout", "+ Flatten"),
        *("fc", "4", "Linear"),
    ]
    figure.savefig(tmp_path / "net.png")
    large = plot.architecture(pc.models.vgg16(seed=None))
    bold = [text.get_text() for text in large.axes[0].texts if text.get_weight() == "bold"]
    assert len(bold) == 1 + 13 + 5 + 3
    mine = new_axes()
    assert plot.architecture(make_net(), axes=mine) is mine.figure


def test_architecture_draws_the_way_around_a_residual_layer() -> None:
    class Twice(pc.ReLU):
        """Replaces a layer of two branches."""

        def __init__(self) -> None:
            super().__init__()
            self.body = {"conv": pc.Conv2d(3, 3, 3, padding=1), "relu": pc.ReLU()}
            self.shortcut: dict[str, pc.Layer] = {}
            self.param_shapes = {"body.conv.weight": (3, 3, 3, 3)}

    net = pc.ConvNet([("block", Twice()), ("relu", pc.ReLU())], (3, 8, 8), seed=None)
    ax = plot.architecture(net).axes[0]
    words = [text.get_text() for text in ax.texts]
    assert words[-5:] == ["block", "3 × 8 × 8", "Twice", "3 × 3", "+ ReLU"]
    assert sum(isinstance(patch, FancyArrowPatch) for patch in ax.patches) == 1


def test_architecture_names_and_connects_what_a_layer_takes() -> None:
    """Arrows between neighbours; one line from "conv1" over "conv2" to "join"."""
    layers = [
        ("conv1", pc.Conv2d(1, 2, 3, padding=1)),
        ("relu1", pc.ReLU()),
        ("conv2", pc.Conv2d(2, 3, 3, padding=1)),
        ("join", pc.Concat(), ["conv2", "relu1"]),
        ("flat", pc.Flatten()),
        ("fc", pc.Linear(5 * 16, 2)),
    ]
    ax = plot.architecture(pc.ConvNet(layers, (1, 4, 4))).axes[0]
    words = {text.get_text() for text in ax.texts}
    assert {"conv1", "+ ReLU", "from conv2", "from relu1", "+ Flatten"} <= words
    places = {text.get_text(): text.get_position()[0] for text in ax.texts}
    assert sum(getattr(text, "arrow_patch", None) is not None for text in ax.texts) == 4
    (line,) = [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]
    (start, _), (end, _) = line._posA_posB
    assert places["conv1"] < start < places["conv2"] < end < places["join"]


@pytest.mark.parametrize(
    ("image", "pixels", "wanted"),
    [
        (np.array([[[0, 51, 255]]], dtype=np.uint8), (0, 255), [[0, 0.2, 1]]),
        (np.array([[[0.25, 0.5, 0.5]]]), (0, 1), [[0.25, 0.5, 0.5]]),
        (np.array([[[-2.0, 0.0, 2.0]]]), (-2, 2), [[0, 0.5, 1]]),
        (np.array([[[3.0, 3.0, 3.0]]]), (3, 3), [[0, 0, 0]]),
        (np.array([[[0.0, 1.0]], [[1.0, 1.0]]]), (0, 1), [[0.5, 1]]),
    ],
)
def test_any_image_becomes_a_picture(image, pixels, wanted) -> None:
    assert pixel_range(image) == pixels
    np.testing.assert_allclose(as_picture(image, pixels), wanted)


def test_colour_pictures_have_three_channels_last() -> None:
    for channels in (3, 4):
        x = images(channels)[0]
        np.testing.assert_allclose(as_picture(x, (0, 1)), x[:3].transpose(1, 2, 0))


def test_inspection_needs_no_matplotlib_and_pictures_no_pyplot() -> None:
    code = (
        "import sys, numpy as np, pocketcnn as pc\n"
        "net = pc.models.lenet5()\n"
        "x = np.zeros((2, 1, 28, 28))\n"
        "pc.inspection.grad_cam(net, x); pc.inspection.top_patches(net, x, 'conv2')\n"
        "assert 'matplotlib' not in sys.modules\n"
        "pc.plot.explain(net, x); pc.plot.architecture(net)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
