"""Users' names in pictures, taken literally; how a notebook shows figures and tables."""

from __future__ import annotations

import gc
import io
import pickle
import subprocess
import sys
import warnings
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

import pocketcnn as pc
from pocketcnn import plot
from pocketcnn.plot import words

# Each breaks TeX, is read as mathematics, is left out of a legend, or breaks the line.
NAMES = ["Ba$$in", "$5 and $9", r"\frac", "_under^2", "a\nb\t", "100% & #1"]
SHOWN = ["Ba$$in", "$5 and $9", r"\frac", "_under^2", r"a\nb\t", "100% & #1"]


def make_net(classes: int = 6, layer: str = "$c_1$") -> pc.ConvNet:
    layers = [
        (layer, pc.Conv2d(1, 3, 3)),
        ("relu$$", pc.ReLU()),
        ("flatten", pc.Flatten()),
        ("$fc", pc.Linear(48, classes)),
    ]
    return pc.ConvNet(layers, input_shape=(1, 6, 6))


def images() -> Any:
    return np.random.default_rng(0).random((6, 1, 6, 6), dtype=np.float32)


def history() -> Any:
    record = {"loss": 1.0, "accuracy": 0.5, "val_loss": None, "val_accuracy": None, "seconds": 1.0}
    return [{"epoch": e, "images_per_second": 1.0, "learning_rate": 0.1, **record} for e in (1, 2)]


def pictures(net: pc.ConvNet, names: list[str]) -> Iterator[tuple[str, Figure, list[str]]]:
    """Every picture with words of users, and which of them it must hold."""
    x, conv = images(), next(iter(net.layers))
    scores, t = np.eye(6), np.arange(6)
    yield "confusion", plot.confusion_matrix(scores, t, class_names=names), names
    wrong = plot.misclassified(x, scores, np.roll(t, 1), class_names=names)
    yield "misclassified", wrong, names
    yield "features", plot.feature_maps(net, x[0], class_names=names), [*names, conv]
    first: dict[str, Any] = {"target": 0, "class_names": names}
    yield "saliency", plot.saliency(net, x[0], **first), names[:1]
    yield "cam", plot.grad_cam(net, x[0], layer=conv, **first), [names[0], conv]
    yield "explain", plot.explain(net, x[:1], target=0, class_names=names), [names[0]]
    yield "patches", plot.top_patches(net, x, conv), [conv]
    yield "architecture", plot.architecture(net), [conv, "$fc"]
    yield "compare", plot.compare({name: history() for name in names}), names
    w = net.params[f"{conv}.weight"]
    yield "filters", plot.filters(w, w, titles=(names[0], names[1])), names[:2]


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def dark(figure: Figure) -> int:
    """How many pixels of a picture are dark."""
    file = io.BytesIO()
    figure.savefig(file)
    return int((np.asarray(Image.open(file).convert("L")) < 128).sum())


def test_names_stand_in_pictures_as_they_were_given() -> None:
    for kind, figure, wanted in pictures(make_net(), NAMES):
        figure.draw_without_rendering()  # "ParseException" where "$$" is mathematics
        drawn = texts(figure)
        for name in wanted:
            shown = dict(zip(NAMES, SHOWN, strict=True)).get(name, name)
            assert shown in drawn, kind
        for text in figure.findobj(Text):
            if "$" in text.get_text():
                assert not text.get_parse_math(), kind
                assert not text.get_usetex(), kind


def test_letters_that_no_font_has_are_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    latin = [font for font in font_manager.fontManager.ttflist if font.name == "DejaVu Sans"]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", latin)
    for cached in (words._found, words._tell_of):
        cached.cache_clear()
    names = ["고양이", "개", "b", "c", "d", "e"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figures = [plot.confusion_matrix(np.eye(6), range(6), class_names=names) for _ in "ab"]
        for figure in figures:
            figure.draw_without_rendering()
    messages = [str(warning.message) for warning in caught]
    assert len(messages) == 2  # one for each name, none for a letter or a picture
    assert "no font has the characters '고양이'" in messages[0]
    assert "Noto Sans CJK" in messages[0]
    labels = [label.get_text() for label in figures[0].axes[0].get_yticklabels()]
    assert labels[:3] == ["0 □□□", "1 □", "b"]  # still distinct
    words._found.cache_clear()
    words._tell_of.cache_clear()


@pytest.fixture
def hangul(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An installed font whose one letter is a large black square."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    pen = TTGlyphPen(None)
    for move, corner in zip("mlll", [(0, 0), (0, 1000), (1000, 1000), (1000, 0)], strict=True):
        (pen.moveTo if move == "m" else pen.lineTo)(corner)
    pen.closePath()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "square"])
    builder.setupCharacterMap({ord("고"): "square"})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "square": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (500, 0), "square": (1000, 0)})
    builder.setupHorizontalHeader(ascent=1000, descent=0)
    builder.setupNameTable({"familyName": "Squares", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(tmp_path / "squares.ttf")
    manager = font_manager.fontManager
    # No other font that has the letter, whatever this machine has.
    own = [font for font in manager.ttflist if font.name.startswith("DejaVu")]
    monkeypatch.setattr(manager, "ttflist", own)
    manager.addfont(tmp_path / "squares.ttf")
    return "고"


def test_letters_come_from_an_installed_font_that_has_them(hangul: str) -> None:
    assert words.literally(hangul)["fontfamily"][-1] == "Squares"
    assert words.literally("plain")["fontfamily"] == words.literally("")["fontfamily"]
    names = [f"{hangul}$", "b", "c", "d", "e", "f"]
    for kind, figure, wanted in pictures(make_net(layer=f"${hangul}"), names):
        figure.draw_without_rendering()  # a warning of a missing glyph is an error here
        assert all(word in texts(figure) for word in wanted), kind
    figure = Figure()
    figure.text(0.5, 0.5, hangul, fontsize=50, **words.literally(hangul))
    assert dark(figure) > 1000


def test_names_of_any_length_and_kind() -> None:
    long = [k * "long" for k in range(100, 106)]
    x = images()
    plot.feature_maps(make_net(), x[0], class_names=long).draw_without_rendering()
    plot.misclassified(x, np.eye(6), [1] * 6, class_names=long).draw_without_rendering()
    plot.compare({name: history() for name in long}).draw_without_rendering()
    odd = ["", " ", "\udc80", "a\u200db\u3000", "\x00"]
    plot.confusion_matrix(np.eye(5), range(5), class_names=odd).draw_without_rendering()
    assert words.drawable("a\u200db\u3000c\xa0\udc80") == r"ab c \udc80"
    shown = plot.confusion_matrix(np.eye(2), [0, 1], class_names=np.array([7, 8]))
    assert [label.get_text() for label in shown.axes[0].get_yticklabels()] == ["7", "8"]


def test_notebooks_can_show_a_figure() -> None:
    figure = plot.filters(np.ones((2, 1, 3, 3)))
    picture = Image.open(io.BytesIO(figure._repr_png_()))
    assert picture.format == "PNG"
    file = io.BytesIO()
    figure.savefig(file)
    assert picture.size == Image.open(file).size
    assert np.asarray(picture).min() < 100
    assert isinstance(figure, Figure)
    assert texts(pickle.loads(pickle.dumps(figure))) == texts(figure)
    gone = weakref.ref(figure)
    del figure
    gc.collect()
    assert gone() is None  # nothing keeps it, as pyplot would


def test_showing_a_figure_needs_neither_pyplot_nor_a_display() -> None:
    code = (
        "import sys, numpy as np, pocketcnn.plot as plot\n"
        "assert plot.filters(np.ones((2, 1, 3, 3)))._repr_png_()[:4] == b'\\x89PNG'\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})


def test_what_a_notebook_shows_of_a_table() -> None:
    net = make_net()
    table = net.summary()
    assert isinstance(table, str)
    assert repr(table) == str(table)
    assert table.startswith("layer ")
    assert "\n" in repr(table)
    check = net.check_gradients(images()[:2], [0, 1], entries=2, verbose=False)
    assert repr(check).startswith("GradientCheck(4 parameters, largest error ")
    assert "\n" not in repr(check)
    assert "relative error" in str(check)
