"""ConvNet: the chain as a whole, its gradient, and what its methods promise."""

import copy
import pickle

import numpy as np
import pytest

from pocketcnn.layers import (
    AvgPool2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    ReLU,
    Residual,
    Sigmoid,
    Softmax,
    Tanh,
)
from pocketcnn.models import deep_convnet, simple_convnet
from pocketcnn.network.load import load
from pocketcnn.network.net import ConvNet
from pocketcnn.network.summary import Row, format_table

CLASSES = 4


def small_net(seed=1, dtype=np.float64):
    """Each kind of layer once, 300 parameters."""
    layers = [
        ("conv1", Conv2d(2, 3, 3, padding=1)),
        ("tanh", Tanh()),
        ("conv2", Conv2d(3, 4, 3, stride=2, padding="same", bias=False)),
        ("sigmoid", Sigmoid()),
        ("pool1", MaxPool2d(2, stride=1)),
        ("drop", Dropout(0.25)),
        ("pool2", AvgPool2d(2, padding=1)),
        ("flat", Flatten()),
        ("fc1", Linear(16, 6)),
        ("relu", ReLU()),
        ("fc2", Linear(6, CLASSES)),
    ]
    return ConvNet(layers, (2, 7, 8), seed=seed, dtype=dtype)


def batch(samples=5, shape=(2, 7, 8), seed=2):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((samples, *shape)), rng.integers(0, CLASSES, samples)


@pytest.mark.parametrize("batch_size", [None, 2])
@pytest.mark.parametrize("layers", [[Flatten()], [Dropout(0.5)], [Dropout(0.5), Flatten()]])
def test_scores_are_an_array_of_their_own(layers, batch_size):
    """Also where no layer computes anything in inference."""
    net = ConvNet([(f"layer{i}", layer) for i, layer in enumerate(layers)], (2, 3, 4))
    x = np.ones((5, 2, 3, 4), np.float32)
    scores = net.predict(x, batch_size)
    scores[...] = 7
    assert np.all(x == 1)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_gradient_is_the_numerical_gradient(seed, label_smoothing):
    net = small_net(seed)
    x, t = batch(seed=seed + 10)
    numerical = net.numerical_gradient(x, t, label_smoothing=label_smoothing)
    analytical = net.gradient(x, t, label_smoothing=label_smoothing)
    assert analytical.keys() == numerical.keys() == net.params.keys()
    for name, expected in numerical.items():
        error = np.abs(analytical[name] - expected).max() / np.abs(expected).max()
        assert error < 1e-6, name


def test_gradient_of_probabilities_as_targets():
    net = small_net()
    x, labels = batch()
    t = np.random.default_rng(4).dirichlet(np.ones(CLASSES), len(labels))
    numerical, analytical = net.numerical_gradient(x, t), net.gradient(x, t)
    for name, expected in numerical.items():
        assert np.abs(analytical[name] - expected).max() / np.abs(expected).max() < 1e-6, name


def test_numerical_gradient_leaves_the_network_alone():
    net = small_net(dtype=np.float32)
    x, t = batch()
    before = {name: array.copy() for name, array in net.params.items()}
    state = net.layers["drop"].rng.bit_generator.state
    numerical = net.numerical_gradient(x, t)
    assert all(array.dtype == np.float64 for array in numerical.values())
    assert net.layers["drop"].rng.bit_generator.state == state
    for name, array in net.params.items():
        np.testing.assert_array_equal(array, before[name])


def test_one_hot_targets_are_labels():
    x, t = batch()
    one_hot = np.eye(CLASSES)[t]
    assert small_net().loss(x, one_hot) == small_net().loss(x, t)
    assert small_net().accuracy(x, one_hot) == small_net().accuracy(x, t)


def test_seed_repeats_to_the_bit():
    x, t = batch()
    results = []
    for _ in range(2):
        net = small_net(seed=9)
        first = net.loss(x, t)
        results.append((first, *net.value_and_gradient(x, t)))
    (loss_a, value_a, grads_a), (loss_b, value_b, grads_b) = results
    assert (loss_a, value_a) == (loss_b, value_b)
    for name, grad in grads_a.items():
        np.testing.assert_array_equal(grad, grads_b[name])
    assert any(
        (small_net(10).params[name] != array).any() for name, array in small_net(9).params.items()
    )


def test_dropout_layers_have_generators_of_their_own():
    net = deep_convnet(seed=3)
    x = np.ones((2, 50), np.float32)
    masks = [layer.forward(x, training=True) for layer in net.layers.values() if layer.rng]
    assert list(net.generators) == ["dropout1", "dropout2"]
    assert not np.array_equal(*masks)


def test_dropout_does_not_disturb_the_weights():
    def head(*middle):
        layers = [("fc1", Linear(8, 5)), *middle, ("fc2", Linear(5, 2))]
        return ConvNet(layers, (8,), seed=0).params["fc2.weight"]

    np.testing.assert_array_equal(head(("drop", Dropout(0.5))), head())


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 100, None])
def test_batch_size_does_not_change_predictions(batch_size):
    net = small_net()
    x, _ = batch(samples=7)
    # Each score is a sum of the same terms, whatever the batch; in another order, at most. All
    # sums here have fewer than 32 terms, in 4 layers, and are of order 1.
    np.testing.assert_allclose(
        net.predict(x, batch_size=batch_size),
        net.predict(x),
        rtol=0,
        atol=128 * np.finfo(float).eps,
    )


def test_default_batch_holds_activations_below_32_mib():
    net = ConvNet([("gap", GlobalAvgPool2d()), ("flat", Flatten())], (1, 2048, 1024))
    assert [part.stop - part.start for part in net._batches(8, None)] == [4, 4]
    net = ConvNet([("gap", GlobalAvgPool2d()), ("flat", Flatten())], (1, 4096, 4096))
    assert len(list(net._batches(3, None))) == 3


def test_accuracy_counts_the_last_partial_batch():
    net = ConvNet([("fc", Linear(3, 3, bias=False))], (3,))
    net.params["fc.weight"][...] = np.eye(3)
    x = np.eye(3)[[0, 1, 2, 0, 1, 2, 0]]
    t = np.array([0, 1, 2, 0, 2, 0, 0])
    for batch_size in (1, 2, 3, 5, 7, 50, None):
        assert net.accuracy(x, t, batch_size=batch_size) == 5 / 7


def test_inference_is_not_training():
    net = small_net()
    x, _ = batch()
    np.testing.assert_array_equal(net.predict(x), net.predict(x))
    assert not np.array_equal(net.forward(x, training=True), net.predict(x))


def test_parameters_are_the_layers_arrays():
    net = small_net()
    names = ["conv1.weight", "conv1.bias", "conv2.weight", "fc1.weight", "fc1.bias"]
    assert list(net.params) == [*names, "fc2.weight", "fc2.bias"]
    assert net.params["conv1.weight"] is net.layers["conv1"].weight
    x, t = batch()
    before = net.predict(x)
    for name, grad in net.gradient(x, t).items():
        net.params[name][...] -= 0.5 * grad
        assert grad.shape == net.params[name].shape
        assert grad is net.grads[name]
    assert not np.array_equal(net.predict(x), before)


def test_steps_down_the_gradient_lower_the_loss():
    net = simple_convnet(CLASSES, input_shape=(2, 8, 8))
    x, t = batch(20, (2, 8, 8))
    losses = []
    for _ in range(20):
        loss, grads = net.value_and_gradient(x, t)
        losses.append(loss)
        for name, array in net.params.items():
            array -= 0.1 * grads[name]
    assert losses[-1] < 0.5 * losses[0]


def test_activations_are_each_layers_output():
    net = small_net()
    x, _ = batch()
    seen = net.activations(x)
    out = x
    for name, layer in net.layers.items():
        out = layer.forward(out)
        np.testing.assert_array_equal(seen[name], out)
    assert list(seen) == list(net.layers)


def test_nothing_is_remembered_after_the_work():
    net = small_net()
    x, t = batch()
    for work in (
        net.predict,
        net.activations,
        lambda x: net.loss(x, t),
        lambda x: net.gradient(x, t),
    ):
        work(x)
        with pytest.raises(RuntimeError, match="needs a forward"):
            net.backward(np.ones((5, CLASSES)))


def test_first_layer_with_weights_computes_no_input_gradient():
    net = ConvNet(
        [("flat", Flatten()), ("fc1", Linear(112, 5)), ("fc2", Linear(5, CLASSES))], (2, 7, 8)
    )
    assert not net.layers["fc1"].needs_input_grad
    assert net.layers["fc2"].needs_input_grad
    x, t = batch()
    assert net.gradient(x, t)["fc1.weight"].any()


def test_layers_of_another_network_carry_the_gradient_on():
    first = Linear(4, 4)
    ConvNet([("first", first)], (4,))
    net = ConvNet([("below", Linear(3, 4)), ("first", first)], (3,), seed=None)
    x, t = batch(shape=(3,))
    assert net.gradient(x, t)["below.weight"].any()


def test_numerical_gradient_draws_the_masks_of_the_gradient_in_float32_too():
    net = small_net(dtype=np.float32)
    x, t = batch()
    numerical, analytical = net.numerical_gradient(x, t), net.gradient(x, t)
    for name, expected in numerical.items():
        # A hundred roundings on the way, each of half an epsilon, all to the same side.
        error = np.abs(analytical[name] - expected).max() / np.abs(expected).max()
        assert error < 50 * np.finfo(np.float32).eps, name


def test_network_without_parameters_has_an_empty_gradient():
    net = ConvNet([("flat", Flatten()), ("relu", ReLU())], (1, 1, CLASSES))
    x, t = batch(shape=(1, 1, CLASSES))
    assert net.gradient(x, t) == {}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_of_the_network_rules(dtype):
    net = small_net(dtype=dtype)
    x, t = batch()
    for given in (x.astype(np.float32), x, x.astype(np.float16), (100 * x).astype(np.uint8)):
        assert net.predict(given).dtype == dtype
        assert {grad.dtype for grad in net.gradient(given, t).values()} == {np.dtype(dtype)}


def test_integers_are_not_scaled():
    net = small_net()
    x = np.arange(112, dtype=np.uint8).reshape(1, 2, 7, 8)
    np.testing.assert_array_equal(net.predict(x), net.predict(x.astype(np.float64)))


def test_astype_is_an_independent_copy():
    net = small_net(dtype=np.float32)
    twin = net.astype(np.float64)
    x, t = batch()
    for name, array in net.params.items():
        assert twin.params[name].dtype == np.float64
        np.testing.assert_array_equal(twin.params[name], array)
    loss = small_net(dtype=np.float32).astype(np.float64).loss(x, t)
    net.layers["conv1"].weight[...] = 0
    net.loss(x, t)
    assert twin.loss(x, t) == loss


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_network_can_be_copied_and_sent_to_another_process(duplicate):
    net = small_net()
    x, t = batch()
    twin = duplicate(net)
    loss, grads = twin.value_and_gradient(x, t)
    expected_loss, expected = net.value_and_gradient(x, t)
    assert loss == expected_loss
    for name, grad in grads.items():
        np.testing.assert_array_equal(grad, expected[name])


def test_seed_none_keeps_the_layers_weights():
    layer = Linear(3, 2)
    layer.weight[...] = 7
    weight = layer.weight
    assert ConvNet([("fc", layer)], (3,), seed=None).params["fc.weight"] is weight
    converted = ConvNet([("fc", layer)], (3,), seed=None, dtype=np.float64).params["fc.weight"]
    assert converted.dtype == np.float64
    assert (converted == 7).all()


def test_empty_batch_has_no_predictions():
    assert small_net().predict(np.empty((0, 2, 7, 8))).shape == (0, CLASSES)


def test_summary_is_an_aligned_table():
    net = ConvNet(
        [("conv1", Conv2d(1, 30, 5)), ("flat", Flatten()), ("fc", Linear(17280, 10))], (1, 28, 28)
    )
    assert (
        net.summary()
        == """\
layer  kind                          output shape  parameters  multiply-adds
----------------------------------------------------------------------------
input  float32                       (1, 28, 28)            0              0
conv1  Conv2d(1, 30, kernel_size=5)  (30, 24, 24)         780        432,000
flat   Flatten()                     (17280,)               0              0
fc     Linear(17280, 10)             (10,)            172,810        172,800
----------------------------------------------------------------------------
total                                                 173,590        604,800"""
    )


def test_table_shows_notes_where_there_are_some():
    rows = [Row("relu", "ReLU()", (2,), note="in conv"), Row("fc", "Linear(2, 1)", (1,), 3, 2)]
    assert (
        format_table(rows)
        == """\
layer  kind          output shape  parameters  multiply-adds  note
---------------------------------------------------------------------
relu   ReLU()        (2,)                   0              0  in conv
fc     Linear(2, 1)  (1,)                   3              2
---------------------------------------------------------------------
total                                       3              2"""
    )


def test_repr_makes_the_network_again():
    import pocketcnn.layers

    net = small_net()
    again = eval(repr(net), {"ConvNet": ConvNet, **pocketcnn.layers.LAYERS})
    assert repr(again) == repr(net)


LINEAR = Linear(3, 2)


@pytest.mark.parametrize(
    ("layers", "input_shape", "error", "message"),
    [
        ([], (3,), ValueError, "at least one layer"),
        ([("a.b", Linear(3, 2))], (3,), ValueError, "'a.b', but must be a string without a dot"),
        ([("", Linear(3, 2))], (3,), ValueError, "name is ''"),
        ([(1, Linear(3, 2))], (3,), ValueError, "name is 1"),
        ([("a", ReLU()), ("a", ReLU())], (3,), ValueError, "two layers are named 'a'"),
        ([("a", LINEAR), ("b", LINEAR)], (3,), ValueError, "'b' is in the network twice"),
        ([("a", ReLU)], (3,), TypeError, "layer 'a' is a .*, but must be a Layer"),
        ([("a", Linear(3, 2))], (0,), ValueError, "input_shape is 0"),
        (
            [("a", Linear(3, 2)), ("b", Linear(3, 2))],
            (3,),
            ValueError,
            r"layer 'b': .* takes inputs \(3,\)",
        ),
        ([("a", Conv2d(3, 2, 5))], (3, 4, 4), ValueError, "layer 'a': kernel_size"),
    ],
)
def test_layers_that_form_no_chain_are_refused(layers, input_shape, error, message):
    with pytest.raises(error, match=message):
        ConvNet(layers, input_shape)


@pytest.mark.parametrize("dtype", [np.float16, np.int32, ">f4"])
def test_dtype_must_be_one_that_is_computed(dtype):
    with pytest.raises(TypeError, match="must be float32 or float64"):
        ConvNet([("a", Linear(3, 2))], (3,), dtype=dtype)


def test_wrong_images_are_refused_by_name():
    net = small_net()
    x, t = batch()
    for work in (
        net.predict,
        net.activations,
        lambda x: net.loss(x, t),
        lambda x: net.gradient(x, t),
    ):
        with pytest.raises(ValueError, match=r"x has shape \(5, 7, 8\), .* takes \(N, 2, 7, 8\)"):
            work(x[:, 0])
        with pytest.raises(ValueError, match=r"x has shape \(\), but"):
            work(1.0)
        with pytest.raises(TypeError, match="x has dtype complex128, but images are real"):
            work(x.astype(complex))
        with pytest.raises(TypeError, match="x has dtype <U"):
            work(x.astype(str))


def test_wrong_targets_are_refused():
    net = small_net()
    x, t = batch()
    with pytest.raises(ValueError, match="x has 5 samples and t has 4"):
        net.accuracy(x, t[:4])
    with pytest.raises(ValueError, match="x has 0 samples"):
        net.accuracy(x[:0], t[:0])
    with pytest.raises(ValueError, match="target"):
        net.loss(x, t[:4])
    with pytest.raises(ValueError, match=r"target has shape \(5, 1\), but logits \(5, 4\) need"):
        net.accuracy(x, t[:, None])


@pytest.mark.parametrize(
    ("batch_size", "error"), [(0, ValueError), (-1, ValueError), (2.5, TypeError)]
)
def test_wrong_batch_size_is_refused(batch_size, error):
    with pytest.raises(error, match=f"batch_size is {batch_size}, but must be"):
        small_net().predict(batch()[0], batch_size=batch_size)


def test_loss_after_softmax_is_refused_but_inference_works():
    net = ConvNet([("fc", Linear(3, 2)), ("softmax", Softmax())], (3,))
    x = np.ones((4, 3))
    np.testing.assert_allclose(net.predict(x).sum(axis=1), 1, rtol=2 * np.finfo(np.float32).eps)
    with pytest.raises(ValueError, match="the last layer is Softmax"):
        net.loss(x, np.zeros(4, int))


# Layers that have weights


def test_weights_of_another_network_are_not_drawn_anew():
    """The head is replaced; the layers below are trained."""
    base = small_net(seed=5)
    before = {name: array.copy() for name, array in base.params.items()}
    layers = list(base.layers.items())
    features = base.layers[layers[-1][0]].in_features
    for seed in (0, 5):
        with pytest.raises(ValueError, match=rf"weights already, which seed={seed} would draw"):
            ConvNet([*layers[:-1], ("head", Linear(features, 3))], base.input_shape, seed=seed)
    head = ("head", Linear(features, 3))
    net = ConvNet([*layers[:-1], head], base.input_shape, seed=None, dtype=base.dtype)
    for name, array in before.items():
        np.testing.assert_array_equal(base.params[name], array)
        if not name.startswith(layers[-1][0]):
            np.testing.assert_array_equal(net.params[name], array)
    assert net.params["head.weight"].std() > 0


def test_weights_from_a_file_or_set_by_hand_are_not_drawn_anew(tmp_path):
    def refuse(layer):
        with pytest.raises(ValueError, match="layer 'fc' has weights already, which seed=0"):
            ConvNet([("fc", layer)], (3,))

    ConvNet([("fc", Linear(3, 2))], (3,)).save(tmp_path / "net")
    refuse(load(tmp_path / "net").layers["fc"])
    given, changed, seen = Linear(3, 2), Linear(3, 2), Linear(3, 2)
    given.set_state({"weight": np.ones((2, 3), np.float32), "bias": np.zeros(2, np.float32)})
    refuse(given)
    changed.weight[0, 0] = 1
    refuse(changed)
    square = Linear(3, 3)
    square.bias[...] = 1
    with pytest.raises(ValueError, match="layer 'block' has weights already"):
        ConvNet([("block", Residual([("fc", square)]))], (3,))
    assert seen.weight.shape == (2, 3)  # accessed, not changed: these weights would not be lost
    ConvNet([("fc", seen)], (3,))
