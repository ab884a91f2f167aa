"""Inspection: gradients against central differences, fields and patches against naive loops."""

from __future__ import annotations

import numpy as np
import pytest

import pocketcnn as pc
from pocketcnn import inspection
from pocketcnn.inspection import ReceptiveField
from pocketcnn.layers import Layer

CLASSES = 4


class Sum(Layer):
    """Adds the outputs of two chains, as a residual layer does."""

    def __init__(self, body: dict[str, Layer], shortcut: dict[str, Layer]) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x, training=False):
        ends = []
        for branch in (self.body, self.shortcut):
            out = x
            for layer in branch.values():
                out = layer.forward(out, training)
            ends.append(out)
        return ends[0] + ends[1]

    def backward(self, grad):
        raise NotImplementedError

    def output_shape(self, input_shape):
        for layer in self.body.values():
            input_shape = layer.output_shape(input_shape)
        return input_shape


def make_net(*, last: tuple[tuple[str, Layer], ...] = ()) -> pc.ConvNet:
    """Fused and unfused stages, overlapping pooling, dropout; smooth but for ReLU and maximum."""
    layers = [
        ("conv1", pc.Conv2d(2, 3, 3, padding=1)),
        ("relu1", pc.ReLU()),
        ("pool1", pc.MaxPool2d(3, stride=2, padding=1)),
        ("drop", pc.Dropout(0.5)),
        ("conv2", pc.Conv2d(3, 4, (2, 3), dilation=(2, 1))),
        ("tanh", pc.Tanh()),
        ("pool2", pc.AvgPool2d(2, stride=1)),
        ("flatten", pc.Flatten()),
        ("fc", pc.Linear(4 * 2 * 1, CLASSES)),
        *last,
    ]
    return pc.ConvNet(layers, input_shape=(2, 9, 7), seed=3, dtype=np.float64)


def images(count: int = 3, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 2, 9, 7))


def differences(f, x: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """Central differences of a number, by every element."""
    grad = np.empty_like(x)
    for index in np.ndindex(x.shape):
        sides = []
        for sign in (1, -1):
            moved = x.copy()
            moved[index] += sign * step
            sides.append(f(moved))
        grad[index] = (sides[0] - sides[1]) / (2 * step)
    return grad


# Gradients


@pytest.mark.parametrize("classes", [None, 2, [3, 0, 1]])
def test_input_gradient_is_the_numerical_one(classes) -> None:
    net, x = make_net(), images()
    gradient = inspection.input_gradient(net, x, classes)
    wanted = net.predict(x).argmax(axis=1) if classes is None else np.resize(classes, 3)

    def total(batch):
        return net.predict(batch)[np.arange(3), wanted].sum()

    np.testing.assert_allclose(gradient, differences(total, x), atol=1e-8)
    np.testing.assert_array_equal(
        inspection.saliency(net, x, classes), np.abs(gradient).max(axis=1)
    )


@pytest.mark.parametrize("layer", ["conv1", "pool1", "conv2", None])
def test_grad_cam_is_that_of_naive_loops(layer) -> None:
    net, x = make_net(), images(2)
    name = layer or "tanh"  # the last that keeps the size of its maps
    outputs = net.activations(x)
    names = list(net.layers)
    behind = [net.layers[n] for n in names[names.index(name) + 1 :]]

    def score(maps, target):
        for part in behind:
            maps = part.forward(maps)
        return maps[0, target]

    cam = inspection.grad_cam(net, x, [1, 3], layer=layer)
    for n, target in enumerate((1, 3)):
        maps = outputs[name][n : n + 1]
        grad = differences(lambda a, target=target: score(a, target), maps)
        wanted = np.zeros(maps.shape[2:])
        for k in range(maps.shape[1]):
            wanted += grad[0, k].mean() * maps[0, k]
        np.testing.assert_allclose(cam[n], np.maximum(wanted, 0), atol=1e-8)


def test_a_softmax_at_the_end_is_left_out() -> None:
    net, x = make_net(), images()
    with_softmax = make_net(last=(("softmax", pc.Softmax()),))
    np.testing.assert_array_equal(
        inspection.input_gradient(with_softmax, x), inspection.input_gradient(net, x)
    )


def test_the_network_is_left_alone() -> None:
    """Also between a forward and its backward."""
    x, t = images(), [0, 1, 2]
    alone, looked_at = make_net(), make_net()
    for net in (alone, looked_at):
        logits = net.forward(x, training=True)
        if net is looked_at:
            state = net.generators["drop"].bit_generator.state
            grads = net.grads
            inspection.saliency(net, x)
            inspection.grad_cam(net, x)
            inspection.top_patches(net, x, "relu1")
            inspection.receptive_field(net, "pool2")
            assert net.generators["drop"].bit_generator.state == state
            assert all(net.grads[name] is array for name, array in grads.items())
            assert not any(array.any() for array in grads.values())
        _, grad = pc.losses.cross_entropy(logits, np.array(t))
        net.backward(grad)
    for name, array in alone.grads.items():
        np.testing.assert_array_equal(array, looked_at.grads[name])
        np.testing.assert_array_equal(alone.params[name], looked_at.params[name])
    assert not looked_at.layers["conv1"].needs_input_grad


def test_results_have_the_dtype_of_the_network() -> None:
    net = make_net().astype(np.float32)
    x = np.random.default_rng(0).integers(0, 256, (2, 2, 9, 7), dtype=np.uint8)
    assert inspection.saliency(net, x).dtype == np.float32
    assert inspection.grad_cam(net, x).dtype == np.float32
    assert inspection.saliency(net, x).shape == (2, 9, 7)


def test_cam_layer() -> None:
    assert inspection.cam_layer(pc.models.simple_convnet(seed=None)) == "relu1"
    assert inspection.cam_layer(pc.models.vgg16(seed=None)) == "relu5_3"
    pooled = pc.ConvNet([("pool", pc.MaxPool2d(2)), ("flat", pc.Flatten())], (1, 4, 4))
    assert inspection.cam_layer(pooled) == "pool"
    with pytest.raises(ValueError, match="net has no layer whose output is a set of maps"):
        inspection.cam_layer(pc.ConvNet([("flat", pc.Flatten())], (1, 4, 4)))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((images()[:, :1],), ValueError, r"x has shape \(3, 1, 9, 7\), but the network takes"),
        ((images()[:0],), ValueError, "at least one image"),
        ((images().astype(complex),), TypeError, "x has dtype complex128"),
        ((images(), 4), ValueError, "classes go from 4 to 4: there are 4"),
        ((images(), -1), ValueError, "classes go from -1"),
        ((images(), [1, 2]), ValueError, r"classes has shape \(2,\)"),
        ((images(), 1.0), TypeError, "classes has dtype float64"),
    ],
)
def test_bad_arguments_of_gradients(arguments, error, message) -> None:
    for function in (inspection.input_gradient, inspection.saliency, inspection.grad_cam):
        with pytest.raises(error, match=message):
            function(make_net(), *arguments)


def test_bad_layers() -> None:
    net, x = make_net(), images()
    with pytest.raises(ValueError, match="layer 'fc' has no maps"):
        inspection.grad_cam(net, x, layer="fc")
    for function in (
        lambda: inspection.grad_cam(net, x, layer="conv9"),
        lambda: inspection.top_patches(net, x, "conv9"),
        lambda: inspection.receptive_field(net, "conv9"),
    ):
        with pytest.raises(ValueError, match="layer is 'conv9': wanted one of conv1, relu1"):
            function()


# Receptive fields


@pytest.mark.parametrize(
    ("layer", "size", "stride"),
    [
        ("conv1_1", 3, 1), ("relu1_2", 5, 1), ("pool1", 6, 2), ("conv2_2", 14, 2),
        ("pool2", 16, 4), ("conv3_3", 40, 4), ("pool3", 44, 8), ("relu4_3", 92, 8),
        ("pool4", 100, 16), ("relu5_3", 196, 16), ("pool5", 212, 32),
    ],
)  # fmt: skip
def test_the_receptive_fields_of_vgg16(layer: str, size: int, stride: int) -> None:
    field = inspection.receptive_field(pc.models.vgg16(seed=None), layer)
    assert field.size == (size, size)
    assert field.stride == (stride, stride)


def test_the_receptive_field_of_a_linear_layer_is_the_image() -> None:
    net = pc.models.simple_convnet(seed=None)
    whole = ReceptiveField(size=(28, 28), stride=(0, 0), start=(0, 0))
    assert inspection.receptive_field(net, "fc1") == whole
    assert inspection.receptive_field(net, "relu2") == whole


def chains() -> dict[str, list[Layer]]:
    def conv(channels: int, *arguments, **settings) -> pc.Conv2d:
        layer = pc.Conv2d(channels, 2, *arguments, **settings)
        layer.params["weight"][...] = 1  # nothing cancels
        return layer

    def transposed(*arguments, **settings) -> pc.ConvTranspose2d:
        layer = pc.ConvTranspose2d(2, 2, *arguments, **settings)
        layer.params["weight"][...] = 1
        return layer

    residual = Sum({"a": conv(2, 3, padding=1), "b": conv(2, 3, padding=1)}, {})
    shrinking = Sum({"a": conv(2, 3, 2, 1), "b": conv(2, (5, 3), padding=(2, 1))},
                    {"c": conv(2, 1, 2)})  # fmt: skip
    return {
        "odd window": [conv(1, (3, 2), stride=(2, 1), padding=((0, 2), (1, 0)))],
        "dilation": [conv(1, 2, dilation=(3, 2)), pc.AvgPool2d((1, 2))],
        "same": [conv(1, 4, padding="same"), conv(2, 3, stride=2, padding="same")],
        "pooling": [conv(1, 3), pc.AvgPool2d(3, stride=2, padding=1), conv(2, 2)],
        "hanging over": [conv(1, 1), pc.AvgPool2d(4, stride=3, ceil_mode=True)],
        "global": [conv(1, 3), pc.GlobalAvgPool2d()],
        "padding": [pc.ZeroPad2d(((1, -2), (-1, 2))), conv(1, 3)],
        "nearest": [conv(1, 3, padding=1), pc.Upsample((2, 3)), conv(2, 3, padding=1)],
        "bilinear": [conv(1, 3), pc.Upsample((2, 1), "bilinear"), conv(2, (3, 1))],
        "transposed": [conv(1, 3), transposed((3, 4), stride=2, padding=(0, 1))],
        "doubled": [conv(1, 1), transposed(2, stride=2, padding=((1, 0), (0, 1))), conv(2, 3)],
        "normalised": [conv(1, 3), pc.GroupNorm(1, 2)],
        "residual": [conv(1, 2), residual, pc.AvgPool2d(2)],
        "shrinking residual": [conv(1, 1), shrinking, conv(2, 3)],
    }


@pytest.mark.parametrize("name", chains())
def test_receptive_fields_hold_the_pixels_that_matter(name: str) -> None:
    """Each pixel is changed, and the numbers that change with it give the exact field."""
    layers = chains()[name]
    named = [(f"layer{place}", layer) for place, layer in enumerate(layers)]
    net = pc.ConvNet(named, input_shape=(1, 12, 11), seed=None)
    field = inspection.receptive_field(net, named[-1][0])
    changed = np.eye(12 * 11).reshape(-1, 1, 12, 11)
    out = net.predict(changed) != net.predict(np.zeros((1, 1, 12, 11)))
    seen = out.any(axis=1).reshape(12, 11, *out.shape[2:])
    for row, column in np.ndindex(out.shape[2:]):
        top, left, bottom, right = field.box(row, column)
        rows, columns = np.nonzero(seen[:, :, row, column])
        assert (rows.min(), rows.max() + 1) == (max(top, 0), min(bottom, 12)), (row, column)
        assert (columns.min(), columns.max() + 1) == (max(left, 0), min(right, 11)), (row, column)


# Top patches


@pytest.mark.parametrize("layer", ["relu1", "conv2", "pool2", "fc"])
def test_top_patches_are_those_of_naive_loops(layer: str) -> None:
    net, x = make_net(), images(20)
    top = inspection.top_patches(net, x, layer, channels=[2, 0], count=4, batch_size=7)
    out = net.activations(x)[layer].reshape(20, -1, *net.activations(x)[layer].shape[2:])
    for k, channel in enumerate([2, 0]):
        best = []
        for n in range(20):
            plane = np.atleast_2d(out[n, channel])
            place = max(np.ndindex(plane.shape), key=lambda at, plane=plane: plane[at])
            best.append((plane[place], n, place))
        best.sort(key=lambda entry: -entry[0])
        assert top.images[k].tolist() == [n for _, n, _ in best[:4]]
        assert [tuple(p) for p in top.positions[k].tolist()] == [p for _, _, p in best[:4]]
        np.testing.assert_allclose(top.values[k], [value for value, _, _ in best[:4]])
    assert top.channels.tolist() == [2, 0]


def test_top_patches_do_not_depend_on_the_batches() -> None:
    net, x = make_net(), images(9)
    one, other = (inspection.top_patches(net, x, "tanh", batch_size=size) for size in (2, 9))
    np.testing.assert_array_equal(one.images, other.images)
    np.testing.assert_array_equal(one.values, other.values)
    assert one.images.shape == (4, 9)  # as many as there are images


def test_top_patches_of_a_data_set_that_is_read_in_parts() -> None:
    class Parts(pc.data.Arrays):
        largest = 0

        def batch(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            self.largest = max(self.largest, len(indices))
            return super().batch(indices)

    net, x = make_net(), images(30)
    parts = Parts(x, np.zeros(30, int))
    top = inspection.top_patches(net, parts, "relu1", channels=[1, 2], count=2, batch_size=4)
    wanted = inspection.top_patches(net, x, "relu1", channels=[1, 2], count=2)
    np.testing.assert_array_equal(top.images, wanted.images)
    np.testing.assert_array_equal(top.positions, wanted.positions)
    np.testing.assert_array_equal(top.cut(parts), wanted.cut(x))
    assert parts.largest == 4
    with pytest.raises(ValueError, match="x is a data set without samples"):
        inspection.top_patches(net, pc.data.Arrays(x[:0], []), "relu1")


def test_cut_takes_the_pixels_of_the_field() -> None:
    net, x = make_net(), images(6)
    top = inspection.top_patches(net, x, "pool1", count=3)
    patches = top.cut(x)
    height, width = top.field.size
    assert patches.shape == (3, 3, 2, height, width)
    outside = 0
    for k, n in np.ndindex(3, 3):
        first_row, first_column, _, _ = top.field.box(*top.positions[k, n])
        for row, column in np.ndindex(height, width):
            at = first_row + row, first_column + column
            if 0 <= at[0] < 9 and 0 <= at[1] < 7:
                wanted = x[top.images[k, n], :, at[0], at[1]]
                np.testing.assert_array_equal(patches[k, n, :, row, column], wanted)
            else:
                outside += 1
                assert np.isnan(patches[k, n, :, row, column]).all()
    assert outside


def test_cut_of_a_layer_without_maps_is_the_image() -> None:
    net, x = make_net(), images(6)
    top = inspection.top_patches(net, x, "fc", count=2)
    np.testing.assert_array_equal(top.cut(x), x[top.images])


def test_bad_arguments_of_top_patches() -> None:
    net, x = make_net(), images()
    for channels in ([3], [-1], []):
        with pytest.raises(ValueError, match="channels"):
            inspection.top_patches(net, x, "relu1", channels=channels)
    with pytest.raises(ValueError, match="count is 0"):
        inspection.top_patches(net, x, "relu1", count=0)


# Mistakes


def test_confusion_matrix_counts() -> None:
    rng = np.random.default_rng(1)
    scores, t = rng.random((200, 5)), rng.integers(0, 4, 200)
    counts = np.zeros((5, 5), int)
    for row, label in zip(scores, t, strict=True):
        counts[label, max(range(5), key=lambda k, row=row: row[k])] += 1
    result = inspection.confusion_matrix(scores, t)
    np.testing.assert_array_equal(result, counts)
    assert result.dtype == np.int64
    np.testing.assert_array_equal(inspection.confusion_matrix(scores, np.eye(5)[t]), counts)


def test_misclassified_are_sorted_by_confidence() -> None:
    scores = [[0, 9, 0], [5, 0, 0], [0, 0, 7], [4, 0, 0], [0, 7, 0]]
    np.testing.assert_array_equal(inspection.misclassified(scores, [0, 0, 1, 2, 0]), [0, 2, 4, 3])
    assert inspection.misclassified(scores, [1, 0, 2, 0, 1]).shape == (0,)


@pytest.mark.parametrize(
    ("scores", "t", "error", "message"),
    [
        ([1.0, 2.0], [0], ValueError, "scores has shape"),
        ([[1.0, 2.0]], [0, 1], ValueError, r"t has shape \(2,\), but scores \(1, 2\)"),
        ([[1.0, 2.0]], [2], ValueError, "t has the label 2, but scores have 2 classes"),
        ([[1.0, 2.0]], [-1], ValueError, "t has the label -1"),
        ([[1.0, 2.0]], [0.5], TypeError, "t has dtype float64"),
        ([["a", "b"]], [0], TypeError, "scores has dtype"),
        ([[1.0, 2.0], [0.0, np.nan]], [0, 1], ValueError, "scores has NaN for sample 1"),
        ([[1.0, 2.0]], [[1.0, 1.0]], ValueError, "t must be .* row 0 sums to 2"),
    ],
)
def test_bad_scores(scores, t, error, message) -> None:
    for function in (inspection.confusion_matrix, inspection.misclassified):
        with pytest.raises(error, match=message):
            function(scores, t)
