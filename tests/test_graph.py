"""Networks whose layers take what others than the one before them give."""

import json
import tracemalloc

import numpy as np
import pytest
from safetensors import safe_open

import pocketcnn as pc
from pocketcnn.inspection import grad_cam, input_gradient, receptive_field
from pocketcnn.layers import LAYERS
from pocketcnn.layers.merge import Merge
from pocketcnn.network.gradient_check import central_differences

SEED = 31


def rng():
    return np.random.default_rng(SEED)


# Layers of several inputs

MERGES = [
    (pc.Add(), [(3, 4, 5), (3, 4, 5)], (3, 4, 5)),
    (pc.Add(), [(3, 4, 5), (3, 1, 1), (3, 4, 5)], (3, 4, 5)),
    (pc.Add(), [(6,), (6,)], (6,)),
    (pc.Multiply(), [(3, 4, 5), (3, 4, 5)], (3, 4, 5)),
    (pc.Multiply(), [(3, 4, 5), (3, 1, 1)], (3, 4, 5)),
    (pc.Multiply(), [(3, 1, 1), (3, 4, 5), (1, 4, 5)], (3, 4, 5)),
    (pc.Concat(), [(3, 4, 5), (1, 4, 5)], (4, 4, 5)),
    (pc.Concat(), [(1, 4, 5), (2, 4, 5), (1, 4, 5)], (4, 4, 5)),
    (pc.Concat(), [(6,), (2,)], (8,)),
]


def definition(layer, x):
    """What the layer computes, by loops over single numbers."""
    if isinstance(layer, pc.Concat):
        return np.array([[maps for part in x for maps in part[n]] for n in range(len(x[0]))])
    shape = np.broadcast_shapes(*(part.shape for part in x))
    out = np.empty(shape)
    for place in np.ndindex(shape):
        values = [part[tuple(np.minimum(place, np.array(part.shape) - 1))] for part in x]
        out[place] = np.sum(values) if isinstance(layer, pc.Add) else np.prod(values)
    return out


@pytest.fixture(params=MERGES, ids=lambda case: f"{case[0]!r}{case[1]}".replace(" ", ""))
def merge(request):
    layer, shapes, output_shape = request.param
    draws = rng()
    return type(layer)(), [draws.standard_normal((2, *shape)) for shape in shapes], output_shape


def test_every_merge_has_a_case():
    ours = {cls for cls in Merge.__subclasses__() if cls.__module__.startswith("pocketcnn.")}
    assert {type(layer) for layer, *_ in MERGES} == ours <= set(LAYERS.values())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_merge_computes_its_definition(merge, dtype):
    layer, x, output_shape = merge
    x = [part.astype(dtype) for part in x]
    kept = [part.copy() for part in x]
    y = layer.forward(x)
    assert y.dtype == dtype
    assert y.shape == (2, *output_shape) == (2, *layer.output_shape([p.shape[1:] for p in x]))
    np.testing.assert_allclose(y, definition(layer, x), rtol=1e-6)
    assert all(map(np.array_equal, x, kept))


def test_gradient_of_merge(merge):
    layer, x, _ = merge
    grad = rng().standard_normal(layer.forward(x).shape)
    wanted = central_differences(
        lambda: float((layer.forward(x) * grad).sum()), {str(i): part for i, part in enumerate(x)}
    )
    layer.forward(x)
    for place, dx in enumerate(layer.backward(grad)):
        assert dx.flags.c_contiguous
        np.testing.assert_allclose(dx, wanted[str(place)], rtol=1e-7, atol=1e-7)


def test_merge_of_no_images(merge):
    layer, x, output_shape = merge
    y = layer.forward([part[:0] for part in x])
    assert y.shape == (0, *output_shape)
    assert [dx.shape for dx in layer.backward(y)] == [part[:0].shape for part in x]


@pytest.mark.parametrize("kind", [pc.Add, pc.Multiply, pc.Concat])
def test_arguments_of_merge(kind):
    a, b = np.ones((2, 3, 4, 4)), np.ones((2, 3, 5, 4))
    with pytest.raises(ValueError, match=r"\(3, 4, 4\) and \(3, 5, 4\)"):
        kind().forward([a, b])
    with pytest.raises(ValueError, match="needs at least 2 inputs, but has 1"):
        kind().forward([a])
    with pytest.raises(ValueError, match=r"x\[1\] has shape \(1, 3, 4, 4\).* as many samples"):
        kind().forward([a, a[:1]])
    with pytest.raises(ValueError, match=r"as many axes|channels alone"):
        kind().output_shape([(3, 4, 4), (3,)])
    with pytest.raises(TypeError, match="x is a ndarray"):
        kind().forward(a)
    with pytest.raises(RuntimeError, match="needs a forward before it"):
        kind().backward(a)
    layer = kind()
    layer.forward([a, a])
    with pytest.raises(ValueError, match="grad has shape"):
        layer.backward(b)


# Networks


def residual_entries():
    """Two blocks of a residual network: in the second, the number and the size of maps change."""
    return [
        ("conv", pc.Conv2d(2, 6, 3, padding=1)),
        ("relu", pc.ReLU()),
        ("conv1", pc.Conv2d(6, 6, 3, padding=1, bias=False)),
        ("bn1", pc.BatchNorm2d(6)),
        ("relu1", pc.ReLU()),
        ("conv2", pc.Conv2d(6, 6, 3, padding=1, bias=False)),
        ("bn2", pc.BatchNorm2d(6)),
        ("add2", pc.Add(), ["bn2", "relu"]),
        ("relu2", pc.ReLU()),
        ("conv3", pc.Conv2d(6, 8, 3, stride=2, padding=1, bias=False)),
        ("bn3", pc.BatchNorm2d(8)),
        ("conv4", pc.Conv2d(6, 8, 1, stride=2, bias=False), "relu2"),
        ("bn4", pc.BatchNorm2d(8)),
        ("add4", pc.Add(), ("bn3", "bn4")),
        ("relu4", pc.ReLU()),
        ("pool", pc.GlobalAvgPool2d()),
        ("flat", pc.Flatten()),
        ("fc", pc.Linear(8, 3)),
    ]


def residual_chain():
    """The same with `Residual`; its parameters come in the same order."""
    layers = {name: layer for name, layer, *_ in residual_entries()}

    def named(*names):
        return [(name, layers[name]) for name in names]

    return [
        *named("conv", "relu"),
        ("block1", pc.Residual(named("conv1", "bn1", "relu1", "conv2", "bn2"))),
        *named("relu2"),
        ("block2", pc.Residual(named("conv3", "bn3"), named("conv4", "bn4"))),
        *named("relu4", "pool", "flat", "fc"),
    ]


def dense_entries():
    """What is computed once is used up to three times, also the network's own input."""
    return [
        ("conv1", pc.Conv2d(2, 3, 3, padding=1)),
        ("tanh1", pc.Tanh()),
        ("join1", pc.Concat(), ["input", "tanh1"]),
        ("conv2", pc.Conv2d(5, 3, 3, padding=1)),
        ("tanh2", pc.Tanh()),
        ("join2", pc.Concat(), ["tanh1", "join1", "tanh2"]),
        ("pool", pc.GlobalAvgPool2d(), "tanh2"),
        ("squeeze", pc.Conv2d(3, 11, 1)),
        ("gate", pc.Sigmoid()),
        ("scale", pc.Multiply(), ["join2", "gate"]),
        ("twice", pc.Add(), ["scale", "scale"]),
        ("shrink", pc.AvgPool2d(2)),
        ("flat", pc.Flatten()),
        ("fc", pc.Linear(11 * 9, 4)),
    ]


def branched_entries():
    """Two branches whose entries alternate, and a pooling that has no parameters before it."""
    return [
        ("a1", pc.Conv2d(2, 4, 3, padding=1), "input"),
        ("b1", pc.Conv2d(2, 4, 1, bias=False), "input"),
        ("a2", pc.ReLU(), "a1"),
        ("b2", pc.BatchNorm2d(4), "b1"),
        ("c", pc.MaxPool2d(2), "input"),
        ("a3", pc.MaxPool2d(2), "a2"),
        ("b3", pc.AvgPool2d(2), "b2"),
        ("join", pc.Concat(), ["b3", "c", "a3"]),
        ("flat", pc.Flatten()),
        ("fc", pc.Linear(10 * 9, 3)),
    ]


NETS = {"residual": residual_entries, "dense": dense_entries, "branched": branched_entries}
SHAPE = (2, 6, 6)


@pytest.fixture(params=NETS.values(), ids=NETS)
def entries(request):
    return request.param()


def network(entries, dtype=np.float64, seed=SEED):
    net = pc.ConvNet(entries, SHAPE, seed=seed, dtype=dtype)
    draws = rng()
    for array in {**net.params, **net.buffers}.values():
        if array.ndim == 1:  # instead of zeros and ones
            array[...] = draws.uniform(0.5, 1.5, array.shape)
    return net


def batch(samples=5, dtype=np.float64):
    draws = rng()
    return draws.standard_normal((samples, *SHAPE)).astype(dtype), draws.integers(0, 3, samples)


def by_hand(net, x, training=False):
    """Every output from the layers alone, by the names of what they take."""
    outputs = {"input": x.astype(net.dtype)}
    for name, names in net.inputs.items():
        taken = [outputs[source] for source in names]
        layer = net.layers[name]
        outputs[name] = layer.forward(taken if len(taken) > 1 else taken[0], training)
    return outputs


def test_gradient_of_graph(entries):
    net, (x, t) = network(entries), batch()
    wanted = net.numerical_gradient(x, t, step=1e-5)
    for name, grad in net.gradient(x, t).items():
        np.testing.assert_allclose(grad, wanted[name], rtol=2e-5, atol=1e-8, err_msg=name)
    assert net.check_gradients(x, t, verbose=False).largest_error < 1e-5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_stages_equal_layers(entries, dtype):
    net, (x, _) = network(entries, dtype), batch()
    wanted = by_hand(net.astype(dtype), x)
    rtol = 1e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(net.predict(x), wanted["fc"], rtol=rtol, atol=rtol)
    np.testing.assert_allclose(net.predict(x, 2), wanted["fc"], rtol=rtol, atol=rtol)
    activations = net.activations(x)
    assert list(activations) == list(net.layers)
    for name, out in activations.items():
        assert np.array_equal(out, wanted[name]), name
    trained = by_hand(net.astype(dtype), x, training=True)
    np.testing.assert_allclose(net.forward(x, True), trained["fc"], rtol=rtol, atol=rtol)


@pytest.mark.parametrize("threads", [1, 3])
def test_residual_network_in_both_forms(threads):
    """The same bits: weights, scores, gradients, and weights after two steps."""
    graph, chain = (pc.ConvNet(make(), SHAPE) for make in (residual_entries, residual_chain))
    x, t = batch(dtype=np.float32)
    with pc.num_threads(threads):
        for _ in range(2):
            pairs = zip(graph.params.values(), chain.params.values(), strict=True)
            assert all(np.array_equal(a, b) for a, b in pairs)
            assert np.array_equal(graph.predict(x), chain.predict(x))
            results = [net.value_and_gradient(x, t) for net in (graph, chain)]
            losses, gradients = zip(*results, strict=True)
            assert losses[0] == losses[1]
            pairs = zip(gradients[0].values(), gradients[1].values(), strict=True)
            assert all(np.array_equal(a, b) for a, b in pairs)
            for net in (graph, chain):
                pc.Trainer(net, pc.optim.SGD(0.1)).step(x, t)


def test_saved_graph(entries, tmp_path):
    net, (x, t) = network(entries), batch()
    path = tmp_path / "net.safetensors"
    net.save(path)
    with safe_open(path, "numpy") as file:
        assert file.metadata()["format_version"] == "2"
        saved = json.loads(file.metadata()["architecture"])["layers"]
    named = {entry["name"]: entry["inputs"] for entry in saved if "inputs" in entry}
    assert all(tuple(inputs) == net.inputs[name] for name, inputs in named.items())
    twin = pc.load(path)
    assert twin.inputs == net.inputs
    assert np.array_equal(twin.predict(x), net.predict(x))
    assert twin.value_and_gradient(x, t)[0] == net.value_and_gradient(x, t)[0]
    assert np.array_equal(net.astype(np.float64).predict(x), net.predict(x))


def test_entries_make_the_network_again(entries):
    net = network(entries)
    again = pc.ConvNet(net.entries, SHAPE, seed=None, dtype=np.float64)
    assert again.inputs == net.inputs
    assert again.layers == net.layers
    assert repr(again) == repr(net)


def test_chain_that_names_its_inputs_is_a_chain(tmp_path):
    named = [("a", pc.Flatten(), "input"), ("b", pc.Linear(72, 3), ["a"])]
    net = pc.ConvNet(named, SHAPE)
    assert net.inputs == {"a": ("input",), "b": ("a",)}
    assert all(len(entry) == 2 for entry in net.entries)
    net.save(tmp_path / "net.safetensors")
    with safe_open(tmp_path / "net.safetensors", "numpy") as file:
        assert file.metadata()["format_version"] == "1"


def test_layer_that_is_named_input():
    """As in files from before networks had graphs: the layer hides the network's own input."""
    net = pc.ConvNet([("input", pc.Flatten()), ("fc", pc.Linear(72, 3), "input")], SHAPE)
    assert net.predict(batch()[0]).shape == (5, 3)


def test_summary_names_inputs(entries):
    net = network(entries)
    lines = {line.split()[0]: line for line in str(net.summary()).splitlines()}
    for place, (name, inputs) in enumerate(net.inputs.items()):
        before = list(net.layers)[place - 1] if place else "input"
        if inputs != (before,):
            assert f"takes {' and '.join(inputs)}" in lines[name]
        else:
            assert "takes" not in lines[name]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([("a", pc.Flatten(), "b")], "layer 'a' takes 'b', but no entry before it .* input"),
        ([("a", pc.Flatten(), "a")], "layer 'a' takes 'a', but no entry before it"),
        ([("a", pc.Flatten(), ["input", "input"])], "'a' is Flatten, which takes 1 input, not 2"),
        ([("a", pc.Flatten(), [])], "takes 1 input, not 0"),
        ([("a", pc.Add())], "'a' is Add, which needs at least 2 inputs"),
        ([("a", pc.Add(), ["input"])], "needs at least 2 inputs"),
        ([("a", pc.ReLU()), ("b", pc.ReLU(), "input")], "no layer takes what layer 'a' gives"),
        ([("a", pc.Flatten()), ("b", pc.Add(), ["a", "input"])], r"layer 'b': .*as many axes"),
        ([("a", pc.Flatten(), "input", 1)], "an entry is"),
        ([pc.Flatten()], "an entry is"),
    ],
)
def test_entries_that_make_no_network(entries, message):
    with pytest.raises(ValueError, match=message):
        pc.ConvNet(entries, SHAPE)


@pytest.mark.parametrize("inputs", [3, [3], {"input"}, pc.Flatten(), b"input"])
def test_inputs_that_are_no_names(inputs):
    with pytest.raises(TypeError, match="inputs of layer 'a' are"):
        pc.ConvNet([("a", pc.Flatten(), inputs)], SHAPE)


def test_input_gradient_of_graph(entries):
    net, (x, _) = network(entries), batch(2)
    wanted = central_differences(lambda: float(net.predict(x)[:, 1].sum()), {"x": x}, step=1e-5)
    np.testing.assert_allclose(input_gradient(net, x, [1]), wanted["x"], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("layer", ["conv1", "join1", "tanh2", "join2", "scale"])
def test_grad_cam_of_graph(layer):
    """The weights are means of the derivatives by the layer's output, whoever takes it."""
    net, (x, _) = network(dense_entries()), batch(1)
    outputs = by_hand(net, x)
    maps = outputs[layer]

    def score():
        values = {"input": x, layer: maps}
        for name, names in net.inputs.items():
            if name not in values:
                taken = [values[source] for source in names]
                values[name] = net.layers[name].forward(taken if len(taken) > 1 else taken[0])
        return float(values["fc"][0, 2])

    slopes = central_differences(score, {"maps": maps}, step=1e-5)["maps"]
    wanted = np.maximum((slopes.mean(axis=(2, 3), keepdims=True) * maps).sum(axis=1), 0)
    np.testing.assert_allclose(grad_cam(net, x, [2], layer=layer), wanted, rtol=1e-5, atol=1e-9)


def test_receptive_field_spans_all_inputs():
    net = network(residual_entries())
    assert receptive_field(net, "add2").size == receptive_field(net, "bn2").size == (7, 7)
    assert receptive_field(net, "bn4").size == (7, 7)
    assert receptive_field(net, "add4").size == (9, 9)


def test_training_names_the_layer_that_diverged():
    net, (x, t) = network(dense_entries(), np.float32), batch(dtype=np.float32)
    net.params["fc.weight"][...] = 3e38
    with pytest.raises(FloatingPointError, match="output of layer 'fc' is not finite"):
        pc.Trainer(net, pc.optim.SGD(0.1)).fit(x, t, epochs=1)


def test_values_are_let_go_when_the_last_layer_has_taken_them():
    """Inference through 20 layers of a graph needs room for few of their outputs."""
    layers = [("conv0", pc.Conv2d(1, 8, 1))]
    for place in range(20):
        layers.append((f"relu{place}", pc.Tanh(), f"conv{place}"))
        layers.append((f"conv{place + 1}", pc.Add(), [f"relu{place}", f"conv{place}"]))
    net = pc.ConvNet(layers, (1, 64, 64))
    x = np.ones((8, 1, 64, 64), np.float32)
    one = x.nbytes * 8
    tracemalloc.start()
    net.predict(x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4.5 * one
