"""The estimators: images in, labels and numbers out, as scikit-learn's own."""

from __future__ import annotations

import copy
import math
import warnings
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.utils.class_weight import compute_sample_weight

import pocketcnn as pc
from pocketcnn.sklearn.images import mean_and_std, read_layout
from pocketcnn.sklearn.losses import WeightedCrossEntropy, WeightedSquaredError
from pocketcnn.sklearn.networks import small_network, with_input_units

FLAT, DIGITS = load_digits(return_X_y=True)
X, Y = FLAT[:400], DIGITS[:400]
X_TEST, Y_TEST = FLAT[400:700], DIGITS[400:700]


def classifier(**parameters: Any) -> pc.ConvNetClassifier:
    return pc.ConvNetClassifier(**{"max_iter": 3, "random_state": 0, **parameters})


def regressor(**parameters: Any) -> pc.ConvNetRegressor:
    return pc.ConvNetRegressor(**{"max_iter": 3, "random_state": 0, **parameters})


# What goes in


def test_images_of_one_channel_come_in_four_forms() -> None:
    images = X.reshape(-1, 8, 8)
    expected = classifier().fit(X, Y).predict_proba(X)
    for form in (images, images[:, None], images[..., None]):
        model = classifier().fit(form, Y)
        assert model.image_shape_ == (1, 8, 8)
        assert_array_equal(model.predict_proba(form), expected)


def test_channels_may_be_first_or_last() -> None:
    first = np.stack([X, X[:, ::-1], X**2], axis=1).reshape(-1, 3, 8, 8)
    last = np.moveaxis(first, 1, 3)
    expected = classifier().fit(first, Y).predict_proba(first)
    assert_array_equal(classifier().fit(last, Y).predict_proba(last), expected)
    for form, shape in ((first, (3, 8, 8)), (last, (8, 8, 3))):
        flat = form.reshape(len(form), -1)
        assert_array_equal(classifier(image_shape=shape).fit(flat, Y).predict_proba(flat), expected)
        # The other order of the axes is the same image.
        assert_array_equal(
            classifier(image_shape=shape).fit(first, Y).predict_proba(first), expected
        )


@pytest.mark.parametrize(
    ("sample", "image_shape", "expected"),
    [
        ((64,), None, (1, 8, 8)),
        ((1,), None, (1, 1, 1)),
        ((30,), None, (1, 1, 30)),
        ((30,), (5, 6), (1, 5, 6)),
        ((30,), (2, 3, 5), (2, 3, 5)),
        ((28, 28), None, (1, 28, 28)),
        ((3, 32, 20), None, (3, 32, 20)),
        ((32, 20, 3), None, (3, 32, 20)),
        ((4, 4, 3), None, (3, 4, 4)),
        ((3, 5, 3), None, (3, 5, 3)),
        ((5, 6, 7), None, (5, 6, 7)),
        ((5, 6, 1), (5, 6), (1, 5, 6)),
        ((5, 6), (5, 6, 1), (1, 5, 6)),
    ],
)
def test_the_layout_of_a_sample(
    sample: tuple[int, ...], image_shape: tuple[int, ...] | None, expected: tuple[int, ...]
) -> None:
    layout = read_layout(sample, image_shape)
    assert layout.image_shape == expected
    assert layout.images(np.zeros((2, *sample))).shape == (2, *expected)


@pytest.mark.parametrize(
    ("sample", "image_shape"),
    [
        ((64,), (8, 9)),
        ((8, 8), (9, 9)),
        ((8, 9), (9, 8)),
        ((3, 8, 8), (8, 8)),
        ((2, 3, 4, 5), None),
    ],
)
def test_samples_that_are_not_such_images(
    sample: tuple[int, ...], image_shape: tuple[int, ...] | None
) -> None:
    with pytest.raises(ValueError, match=r"X has samples of shape \("):
        classifier(image_shape=image_shape).fit(np.zeros((4, *sample)), [0, 1, 0, 1])


@pytest.mark.parametrize("image_shape", [(8,), (1, 1, 8, 8), (0, 8), "8x8", 8])
def test_an_image_shape_that_is_none(image_shape: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="image_shape is"):
        classifier(image_shape=image_shape).fit(X, Y)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", "float32", "O", ">f8"])
def test_any_dtype_of_whole_numbers_gives_the_same(dtype: str) -> None:
    expected = classifier().fit(X, Y).predict_proba(X)
    assert expected.dtype == np.float32
    x = X.astype(dtype)
    x.flags.writeable = False
    assert_array_equal(classifier().fit(x, Y).predict_proba(x), expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
def test_numbers_that_no_network_takes(value: float) -> None:
    bad = X.copy()
    bad[3, 5] = value
    model = classifier(max_iter=1).fit(X, Y)
    for use in (lambda: classifier().fit(bad, Y), lambda: model.predict(bad)):
        with pytest.raises(ValueError, match=r"X.*(NaN|infinity|too large)"):
            use()
    with pytest.raises(ValueError, match="NaN"):
        regressor().fit(X, np.where(np.arange(len(X)) == 3, np.nan, Y))


def test_other_images_than_those_of_the_fit() -> None:
    model = classifier(max_iter=1).fit(X.reshape(-1, 8, 8), Y)
    with pytest.raises(
        ValueError, match=r"samples of shape \(8, 9\), but was fitted with \(8, 8\)"
    ):
        model.predict(np.zeros((2, 8, 9)))


# What comes out


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["zero", "one"])[(Y > 4).astype(int)],
        Y > 4,
        np.where(Y > 4, 7, -3),
        np.array(["x", ""], dtype=object)[(Y > 4).astype(int)],
    ],
    ids=["str", "bool", "int", "object"],
)
def test_labels_of_any_kind(labels: Any) -> None:
    model = classifier().fit(X, labels)
    assert_array_equal(model.classes_, np.unique(labels))
    assert model.predict(X).dtype == labels.dtype
    assert model.decision_function(X).shape == (len(X),)
    assert_array_equal(model.predict(X) == model.classes_[1], model.decision_function(X) > 0)


def test_probabilities_are_those_of_the_scores() -> None:
    model = classifier().fit(X, Y)
    scores = model.decision_function(X_TEST).astype(np.float64)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    expected = powers / powers.sum(axis=1, keepdims=True)
    assert_allclose(model.predict_proba(X_TEST), expected, rtol=1e-5)
    assert_allclose(model.predict_log_proba(X_TEST), np.log(expected), rtol=1e-4, atol=1e-6)
    assert_array_equal(model.predict(X_TEST), scores.argmax(axis=1))


def test_a_single_class_is_always_the_answer() -> None:
    model = classifier().fit(X, np.full(len(X), "only"))
    assert set(model.predict(X_TEST)) == {"only"}
    assert_array_equal(model.predict_proba(X_TEST), np.ones((len(X_TEST), 1)))


def test_defaults_learn_digits_without_scaling() -> None:
    order = np.random.default_rng(0).permutation(len(FLAT))
    train, test = order[:600], order[600:]
    model = pc.ConvNetClassifier(random_state=0, max_iter=15).fit(FLAT[train] * 1000, DIGITS[train])
    assert model.score(FLAT[test] * 1000, DIGITS[test]) > 0.95


def test_numbers_keep_their_units() -> None:
    def targets(x: Any) -> Any:
        return np.stack([x.mean(axis=1) * 1e4 - 3e5, x[:, :32].mean(axis=1) * 1e-6], axis=1)

    model = regressor(max_iter=20).fit(X, targets(X))
    assert model.n_outputs_ == 2
    assert model.predict(X_TEST).shape == (300, 2)
    assert model.score(X_TEST, targets(X_TEST)) > 0.8
    one = regressor().fit(X, targets(X)[:, 0])
    assert one.predict(X_TEST).shape == (300,)
    assert one.loss_curve_[0] < 3  # in units of the targets' variance


def test_the_network_alone_is_a_complete_model(tmp_path: Any) -> None:
    labels = np.array(["even", "odd"])[Y % 2]
    model = classifier().fit(X, labels)
    model.network_.save(tmp_path / "model.safetensors")
    net = pc.load(tmp_path / "model.safetensors")
    assert net.classes == ["even", "odd"]
    scores = net.predict(X_TEST.reshape(-1, 1, 8, 8))
    assert_array_equal(np.array(net.classes)[scores.argmax(1)], model.predict(X_TEST))
    numbers = regressor().fit(X, Y * 100.0)
    images = X_TEST.reshape(-1, 1, 8, 8)
    assert_array_equal(numbers.network_.predict(images)[:, 0], numbers.predict(X_TEST))


# Weights


def test_batches_count_by_their_weights() -> None:
    """The gradients of batches add up to that of all samples."""
    rng = np.random.default_rng(0)
    output, t = rng.normal(size=(12, 3)), rng.integers(3, size=12)
    weights = rng.random(12) ** 4
    weights /= weights.mean()
    loss = WeightedCrossEntropy()
    whole, grad = loss(output, t, weights)
    parts = [loss(output[k : k + 4], t[k : k + 4], weights[k : k + 4]) for k in (0, 4, 8)]
    assert_allclose(np.mean([part for part, _ in parts]), whole, rtol=1e-12)
    assert_allclose(np.concatenate([part for _, part in parts]) / 3, grad, rtol=1e-12)
    share = np.exp(output) / np.exp(output).sum(axis=1, keepdims=True)
    assert_allclose(grad, weights[:, None] * (share - np.eye(3)[t]) / 12, rtol=1e-10)


def test_errors_are_measured_in_units() -> None:
    rng = np.random.default_rng(0)
    output, t = rng.normal(size=(2, 6, 2)) * [10.0, 0.1]
    weights = np.array([0.5, 1, 2, 0, 1, 1.5])
    loss, grad = WeightedSquaredError([10.0, 0.1])(output, t, weights)
    distance = (output - t) / [10.0, 0.1]
    assert_allclose(loss, (weights[:, None] * distance**2).mean(), rtol=1e-12)
    assert_allclose(grad, weights[:, None] * distance / [10.0, 0.1] / 6, rtol=1e-12)


def test_weights_of_zero_leave_samples_out() -> None:
    weights = (np.arange(len(X)) % 3 > 0) * 2.0
    expected = classifier().fit(X[weights > 0], Y[weights > 0]).predict_proba(X)
    assert_allclose(classifier().fit(X, Y, weights).predict_proba(X), expected, rtol=1e-4)


@pytest.mark.parametrize("class_weight", ["balanced", {0: 5.0, 3: 0.1}], ids=["balanced", "dict"])
def test_weights_of_classes_are_weights_of_samples(class_weight: Any) -> None:
    some = np.flatnonzero((Y < 8) | (np.arange(len(Y)) % 5 == 0))  # few eights and nines
    x, y = X[some], Y[some]
    weights = compute_sample_weight(class_weight, y)
    # Mean and deviation of the images count samples by their own weights alone.
    model = classifier(standardize=False)
    expected = model.fit(x, y, weights).predict_proba(x)
    unweighted = model.fit(x, y).predict_proba(x)
    found = model.set_params(class_weight=class_weight).fit(x, y).predict_proba(x)
    assert_allclose(found, expected, rtol=1e-3, atol=1e-6)
    assert not np.allclose(found, unweighted, rtol=1e-2)


@pytest.mark.parametrize("weights", [[1.0], -np.ones(400), np.full(400, np.nan), np.zeros(400)])
def test_weights_that_are_none(weights: Any) -> None:
    with pytest.raises(ValueError, match="sample_weight"):
        classifier().fit(X, Y, weights)


# Training


def test_the_same_random_state_gives_the_same_bits() -> None:
    with pc.num_threads(1):
        first = classifier().fit(X, Y).predict_proba(X)
    with pc.num_threads(3):
        second = classifier().fit(X, Y).predict_proba(X)
    assert_array_equal(first, second)
    assert not np.array_equal(first, classifier(random_state=1).fit(X, Y).predict_proba(X))
    state = np.random.RandomState(0)
    draws = [classifier(random_state=state).fit(X, Y).predict_proba(X) for _ in range(2)]
    assert not np.array_equal(*draws)


def test_early_stopping_goes_back_to_the_best_weights() -> None:
    model = classifier(
        max_iter=40, early_stopping=True, validation_fraction=0.25, n_iter_no_change=3,
        learning_rate_init=0.02,
    ).fit(X, Y)  # fmt: skip
    losses = model.history_.column("val_loss")
    assert model.n_iter_ == len(losses) < 40
    assert np.argmin(losses) <= len(losses) - 3
    other = classifier(max_iter=3, early_stopping=True, validation_fraction=0.25).fit(X, Y)
    assert other.n_iter_ == 3


def test_what_is_held_back_has_all_classes() -> None:
    rare = np.where(np.arange(len(Y)) < 8, 1, 0)
    seen: list[Any] = []

    class Watch(pc.Callback):
        def on_fit_begin(self, trainer: Any) -> None:
            seen.append(trainer.samples)

    classifier(early_stopping=True, validation_fraction=0.25, callbacks=[Watch()]).fit(X, rare)
    assert seen == [300]
    with pytest.raises(ValueError, match="least populated class"):
        classifier(early_stopping=True).fit(X, np.arange(len(X)) == 0)


def test_training_stops_when_nothing_is_gained() -> None:
    assert classifier(max_iter=30, n_iter_no_change=2, tol=10.0).fit(X, Y).n_iter_ == 3
    assert classifier(max_iter=6, n_iter_no_change=math.inf, tol=10.0).fit(X, Y).n_iter_ == 6


@pytest.mark.parametrize("make", [classifier, regressor])
def test_warm_start_goes_on(make: Any) -> None:
    model = make(warm_start=True).fit(X, Y)
    network, loss = model.network_, model.loss_
    model.set_params(max_iter=4).fit(X, Y)
    assert model.network_ is network
    assert model.n_iter_ == len(model.loss_curve_) == 7
    assert [record["epoch"] for record in model.history_] == list(range(1, 8))
    assert model.loss_ < loss
    assert make().fit(X, Y).fit(X, Y).n_iter_ == 3


def test_warm_start_needs_the_same_classes_and_outputs() -> None:
    model = classifier(warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match=r"y has the classes \[0 1\], but warm_start needs"):
        model.fit(X, Y % 2)
    numbers = regressor(warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match="y has 2 outputs, but had 1 before"):
        numbers.fit(X, np.stack([Y, Y], axis=1))


def with_dropout(outputs: int, *, input_shape: tuple[int, ...], seed: int) -> pc.ConvNet:
    layers = [("flat", pc.Flatten()), ("drop", pc.Dropout(0.5)), ("out", pc.Linear(64, outputs))]
    return pc.ConvNet(layers, input_shape, seed=seed)


@pytest.mark.parametrize("make", [classifier, regressor])
@pytest.mark.parametrize("dropout", [False, True])
def test_partial_fit_goes_on_also_from_a_copy(make: Any, dropout: bool) -> None:
    first = {"classes": range(10)} if make is classifier else {}
    model = make(network=with_dropout if dropout else "small")
    model.partial_fit(X[:200], Y[:200], **first)
    twin = copy.deepcopy(model)
    lazy = copy.deepcopy(twin)  # of a copy that has not trained
    for one in (model, twin, lazy):
        one.partial_fit(X[200:], Y[200:])
        assert one.n_iter_ == 2
        assert_array_equal(one.network_.predict(X.reshape(-1, 1, 8, 8)),
                           model.network_.predict(X.reshape(-1, 1, 8, 8)))  # fmt: skip
    assert not np.array_equal(model.predict(X), make().partial_fit(X, Y, **first).predict(X))


def test_partial_fit_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        classifier().partial_fit(X, Y)
    model = classifier().partial_fit(X, Y, classes=range(10))
    with pytest.raises(ValueError, match=r"y has the classes \[77\], which classes lacks"):
        model.partial_fit(X[:2], [1, 77])
    with pytest.raises(ValueError, match=r"classes is \[0 1\], but was"):
        model.partial_fit(X[:2], [0, 1], classes=[0, 1])
    with pytest.raises(ValueError, match="wanted early_stopping=False"):
        classifier(early_stopping=True).partial_fit(X, Y, classes=range(10))
    with pytest.raises(ValueError, match="not 'balanced'"):
        classifier(class_weight="balanced").partial_fit(X, Y, classes=range(10))


def test_a_small_last_batch_does_not_stop_batch_norm() -> None:
    x, y = X[:101], Y[:101]
    assert classifier(network="compact_resnet", max_iter=1).fit(x, y).n_iter_ == 1


# Parameters


def test_networks_by_name_and_by_callable() -> None:
    images = np.kron(X.reshape(-1, 8, 8), np.ones((2, 2)))
    named = classifier(network="lenet5", max_iter=1).fit(images, Y)
    assert list(named.network_.layers)[1:] == list(pc.models.lenet5().layers)
    calls = []

    def factory(classes: int, *, input_shape: tuple[int, ...], seed: int) -> pc.ConvNet:
        calls.append((classes, input_shape))
        layers: Any = [
            ("one", pc.Conv2d(1, 4, 3, padding=1), "input"),
            ("both", pc.Concat(), ["input", "one"]),
            ("flat", pc.Flatten()),
            ("out", pc.Linear(5 * 64, classes)),
        ]
        return pc.ConvNet(layers, input_shape, seed=seed)

    model = classifier(network=factory).fit(X, Y)
    assert calls == [(10, (1, 8, 8))]
    assert model.network_.inputs["both"] == ("standardize", "one")
    plain = classifier(network=factory, standardize=False).fit(X, Y)
    assert plain.network_.inputs["both"] == ("input", "one")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"network": "resnet1000"}, "network is 'resnet1000': wanted one of small, alexnet"),
        ({"network": 7}, "network is 7: wanted a name or a callable"),
        ({"network": lambda *_, **__: "net"}, "network made 'net', but must make a ConvNet"),
        ({"network": lambda *_, **__: pc.models.lenet5()}, r"takes \(1, 28, 28\) and gives"),
        ({"optimizer": "lbfgs"}, "optimizer is 'lbfgs': wanted one of sgd"),
        ({"optimizer": 3}, "optimizer is 3: wanted a name, or a callable"),
        ({"max_iter": 0}, "max_iter is 0, but must be at least 1"),
        ({"batch_size": "all"}, "batch_size is 'all', but must be an int"),
        ({"n_iter_no_change": 0}, "n_iter_no_change is 0"),
        ({"learning_rate_init": -1}, "lr is -1"),
        ({"callbacks": [3]}, r"callbacks\[0\] is 3"),
        ({"augment": 3}, "augment is 3"),
    ],
)
def test_parameters_that_mean_nothing(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        classifier(**parameters).fit(X, Y)


def test_optimizers_by_name_and_by_callable() -> None:
    momentum = partial(pc.optim.SGD, momentum=0.9)
    slow = classifier(optimizer="sgd", learning_rate_init=0.02).fit(X, Y)
    fast = classifier(optimizer=momentum, learning_rate_init=0.02).fit(X, Y)
    assert fast.loss_ < slow.loss_


def test_augmentation_and_progress(capsys: pytest.CaptureFixture[str]) -> None:
    shapes = set()

    def augment(x: Any, rng: np.random.Generator) -> Any:
        shapes.add(x.shape)
        assert isinstance(rng, np.random.Generator)
        return x[:, :, ::-1]

    model = classifier(augment=augment, verbose=True, batch_size=100).fit(X, Y)
    assert shapes == {(100, 1, 8, 8)}
    assert "epoch" in "".join(capsys.readouterr())
    quiet = classifier().fit(X, Y)
    assert "".join(capsys.readouterr()) == ""
    assert not np.array_equal(model.predict_proba(X), quiet.predict_proba(X))


def test_a_diverging_fit_says_so() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        with pytest.raises(FloatingPointError, match="epoch"):
            classifier(optimizer="sgd", learning_rate_init=1e9).fit(X, Y)


# Parts


def test_mean_and_std_are_numpys() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (700, 3, 20, 50)).astype(np.uint8)
    x[:, 1] = 9
    mean, std = mean_and_std(x)
    assert_allclose(mean, x.mean(axis=(0, 2, 3)), rtol=1e-12)
    assert_allclose(std, [x[:, 0].std(), 1, x[:, 2].std()], rtol=1e-10)
    weights = rng.integers(0, 4, 700)
    repeated = x.repeat(weights, axis=0)
    mean, std = mean_and_std(x, weights.astype(np.float64))
    assert_allclose(mean, repeated.mean(axis=(0, 2, 3)), rtol=1e-12)
    assert_allclose(std[2], repeated[:, 2].std(), rtol=1e-10)
    # What float32 cannot tell from a constant is one.
    assert mean_and_std(1e6 + 1e-9 * rng.random((5, 1, 2, 2)))[1] == 1


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 32, 32), (1, 1, 100), (2, 9, 1), (1, 224, 200)])
def test_the_small_network_takes_any_size(shape: tuple[int, int, int]) -> None:
    net = small_network(5, input_shape=shape, seed=0)
    assert net.output_shape == (5,)
    assert sum(p.size for p in net.params.values()) < 1_000_000


def test_units_go_in_front_of_the_layers() -> None:
    net = small_network(3, input_shape=(1, 8, 8), seed=0)
    x = X[:5].reshape(-1, 1, 8, 8).astype(np.float32)
    units = with_input_units(net, np.array([4.0]), np.array([2.0]))
    assert_allclose(units.predict(x), net.predict((x - 4) / 2), rtol=1e-4, atol=1e-5)
