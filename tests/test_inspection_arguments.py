"""Inspection of what people pass: NumPy scalars, views, NaN, and things of another type."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
from pocketcnn import inspection

NET = pc.ConvNet(
    [
        ("conv", pc.Conv2d(2, 3, 3)),
        ("relu", pc.ReLU()),
        ("flat", pc.Flatten()),
        ("fc", pc.Linear(3 * 5 * 3, 4)),
        ("softmax", pc.Softmax()),
    ],
    input_shape=(2, 7, 5),
)
X = np.random.default_rng(0).standard_normal((6, 2, 7, 5)).astype(np.float32)
NAN = X.copy()
NAN[3, 1, 2, 2] = np.nan


@pytest.mark.parametrize("classes", [np.int8(2), np.array(2), np.uint64(2), [2], np.full(6, 2)])
def test_classes_of_any_integers(classes: Any) -> None:
    wanted = inspection.input_gradient(NET, X, 2)
    np.testing.assert_array_equal(inspection.input_gradient(NET, X, classes), wanted)


def test_views_give_what_their_copies_give() -> None:
    padded = np.zeros((12, 9, 5, 4), ">f8")
    padded[::2, 1:8, :, ::2] = X.transpose(0, 2, 3, 1)
    view = padded[::2, 1:8, :, ::2].transpose(0, 3, 1, 2)
    view.flags.writeable = False
    for function in (inspection.input_gradient, inspection.saliency, inspection.grad_cam):
        np.testing.assert_array_equal(function(NET, view), function(NET, X))
    top, wanted = (inspection.top_patches(NET, x, "relu", count=np.int64(2)) for x in (view, X))
    np.testing.assert_array_equal(top.images, wanted.images)
    np.testing.assert_array_equal(top.cut(view), wanted.cut(X))


def test_nan_is_not_the_largest() -> None:
    """With NaN no class and no patch is the largest; with the class given, other images work."""
    for function in (inspection.input_gradient, inspection.saliency, inspection.grad_cam):
        with pytest.raises(ValueError, match="scores of image 3 of x are NaN"):
            function(NET, NAN)
        given = function(NET, NAN, 1)
        others = np.arange(6) != 3
        np.testing.assert_array_equal(given[others], function(NET, X, 1)[others])
    with pytest.raises(ValueError, match="layer 'conv' gives NaN for image 3 of x"):
        inspection.top_patches(NET, NAN, "conv")
    scores = np.eye(4)[[0, 1, 2]]
    scores[1, 3] = np.nan
    for function in (inspection.confusion_matrix, inspection.misclassified):
        with pytest.raises(ValueError, match="scores has NaN for sample 1"):
            function(scores, [0, 1, 2])
        with pytest.raises(ValueError, match="t has NaN for sample 1"):
            function(np.eye(4)[:3], scores)


def test_infinite_scores_are_the_surest() -> None:
    inf = np.inf
    scores = [[3, 0, 0], [inf, 0, 0], [0, -inf, 5], [-inf, 9, -inf]]
    np.testing.assert_array_equal(inspection.misclassified(scores, [1, 1, 1, 0]), [1, 3, 2, 0])
    assert inspection.confusion_matrix(scores, [1, 1, 1, 0]).tolist() == [
        [0, 1, 0],
        [2, 0, 1],
        [0, 0, 0],
    ]


def test_no_samples_are_no_mistakes() -> None:
    assert not inspection.confusion_matrix(np.zeros((0, 3)), np.zeros(0, int)).any()
    assert inspection.misclassified(np.zeros((0, 3)), np.zeros(0, int)).shape == (0,)


def test_a_network_of_a_softmax_alone() -> None:
    """The scores are the input itself, so each gradient is known."""
    net = pc.ConvNet([("softmax", pc.Softmax())], input_shape=(3,))
    gradient = inspection.input_gradient(net, [[1.0, 3.0, 2.0]])
    assert gradient.tolist() == [[0, 1, 0]]


TOP = inspection.top_patches(NET, X, "relu", count=2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: inspection.saliency(3, X), TypeError, "net is 3, but must be a ConvNet"),
        (lambda: inspection.grad_cam(None, X), TypeError, "net is None"),
        (lambda: inspection.input_gradient("net", X), TypeError, "net is 'net'"),
        (lambda: inspection.cam_layer(NET.layers), TypeError, "net is {'conv'"),
        (lambda: inspection.receptive_field([], "conv"), TypeError, r"net is \[\]"),
        (lambda: inspection.top_patches(3, X, "conv"), TypeError, "net is 3"),
        (lambda: inspection.receptive_field(NET, None), TypeError, "layer is None"),
        (lambda: inspection.receptive_field(NET, ["conv"]), TypeError, "layer is"),
        (lambda: inspection.top_patches(NET, X, None), TypeError, "layer is None"),
        (lambda: inspection.top_patches(NET, X, 0), TypeError, "layer is 0"),
        (lambda: inspection.grad_cam(NET, X, layer=0), TypeError, "layer is 0"),
        (lambda: inspection.grad_cam(NET, X, layer="softmax"), ValueError, "has no maps"),
        (lambda: inspection.grad_cam(NET, X, layer="flat"), ValueError, "has no maps"),
        (lambda: inspection.saliency(NET, X, 10**40), TypeError, "classes has dtype object"),
        (lambda: inspection.saliency(NET, X, []), TypeError, "classes has dtype float64"),
        (
            lambda: inspection.saliency(NET, X, [[1], [1, 2]]),
            ValueError,
            "classes cannot be read",
        ),
        (lambda: inspection.saliency(NET, X, "cat"), TypeError, "classes has dtype <U3"),
        (lambda: inspection.saliency(NET, X, np.uint64(2**63)), ValueError, "classes go from"),
        (lambda: inspection.saliency(NET, None), TypeError, "x has dtype object"),
        (
            lambda: inspection.saliency(NET, [[1, 2], [3]]),
            ValueError,
            "x cannot be read",
        ),
        (lambda: inspection.saliency(NET, 3), ValueError, r"x has shape \(\)"),
        (lambda: inspection.top_patches(NET, X, "conv", channels=1), TypeError, "channels is 1"),
        (
            lambda: inspection.top_patches(NET, X, "conv", channels="a"),
            TypeError,
            "channels is 'a'",
        ),
        (
            lambda: inspection.top_patches(NET, X, "conv", channels=[1.0]),
            TypeError,
            "channels is 1",
        ),
        (lambda: inspection.top_patches(NET, X, "conv", count=1.5), TypeError, "count is 1.5"),
        (lambda: inspection.top_patches(NET, X, "conv", batch_size="2"), TypeError, "batch_size"),
        (lambda: inspection.top_patches(NET, X[:0], "conv"), ValueError, "at least one image"),
        (lambda: TOP.cut(X[:1]), ValueError, "x has 1 images, but the patches come from up to"),
        (lambda: TOP.cut(X[0]), ValueError, "x has shape"),
        (lambda: TOP.field.box(0.5, 0), TypeError, "row is 0.5"),
        (lambda: TOP.field.box(0, "1"), TypeError, "column is '1'"),
        (lambda: inspection.confusion_matrix(np.zeros((2, 0)), [0, 0]), ValueError, "a score for"),
        (lambda: inspection.confusion_matrix(None, [0]), TypeError, "scores has dtype object"),
        (lambda: inspection.misclassified([[1, 2]], None), TypeError, "t has dtype object"),
        (lambda: inspection.misclassified([[1, 2]], [True]), TypeError, "t has dtype bool"),
    ],
)
def test_odd_arguments_are_named(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_saliency_is_of_images() -> None:
    net = pc.ConvNet([("fc", pc.Linear(5, 2))], input_shape=(5,))
    assert inspection.input_gradient(net, np.ones((2, 5))).shape == (2, 5)
    with pytest.raises(ValueError, match=r"net takes \(5,\): wanted images"):
        inspection.saliency(net, np.ones((2, 5)))
    with pytest.raises(ValueError, match=r"net takes \(5,\): wanted images"):
        inspection.receptive_field(net, "fc")
