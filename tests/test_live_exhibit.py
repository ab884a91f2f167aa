"""What the page shows of a network: every number is that of a naive computation."""

from __future__ import annotations

import json

import numpy as np
import pytest

import pocketcnn as pc
import reference
from live_server import CLASSES, SHAPE, collection, graph_net, images
from pocketcnn.live import wire
from pocketcnn.live.exhibit import Exhibit
from pocketcnn.live.neighbours import Neighbours
from pocketcnn.live.strips import LARGEST_SIDE, strip
from pocketcnn.live.unfolding import fresh_copy, unfold
from pocketcnn.training.checkpoint import network_arrays


@pytest.fixture
def net() -> pc.ConvNet:
    """A network whose batch normalisation has seen something."""
    net = graph_net()
    pc.Trainer(net, pc.optim.Adam(0.01)).step(images(20) / 255, np.arange(20) % 4)
    return net


@pytest.fixture
def exhibit(net: pc.ConvNet) -> Exhibit:
    return Exhibit(net, CLASSES)


def test_unfolded_network_computes_the_same_and_shares_nothing(net: pc.ConvNet) -> None:
    unfolded = unfold(net)
    x = images(3) / 255
    np.testing.assert_allclose(unfolded.predict(x), net.predict(x), rtol=1e-5, atol=1e-5)
    assert {"block/body/conv", "block/body/norm", "block/shortcut/conv", "block"} <= {
        *unfolded.layers
    }
    before = net.predict(x)
    for array in network_arrays(unfolded).values():
        array[...] = 7
    np.testing.assert_array_equal(net.predict(x), before)


def test_blocks_within_blocks_are_unfolded_too() -> None:
    inner = pc.Residual([("conv", pc.Conv2d(2, 2, 3, padding=1))])
    outer = pc.Residual([("first", pc.ReLU()), ("inner", inner)])
    net = pc.ConvNet([("outer", outer), ("pool", pc.MaxPool2d(2))], input_shape=(2, 4, 4))
    x = np.random.default_rng(0).standard_normal((2, 2, 4, 4))
    unfolded = unfold(net)
    assert "outer/body/inner/body/conv" in unfolded.layers
    np.testing.assert_allclose(unfolded.predict(x), net.predict(x), rtol=1e-5, atol=1e-6)


def test_fresh_copy_has_the_layers_and_other_weights(net: pc.ConvNet) -> None:
    unfolded = unfold(net)
    fresh = fresh_copy(unfolded)
    assert {name: a.shape for name, a in fresh.params.items()} == {
        name: a.shape for name, a in unfolded.params.items()
    }
    assert not np.array_equal(fresh.params["fc.weight"], unfolded.params["fc.weight"])


@pytest.mark.parametrize("place", [(0, 0, 0), (5, 8, 3), (3, 4, 6)])
def test_a_convolution_is_explained_number_by_number(
    net: pc.ConvNet, exhibit: Exhibit, place: tuple[int, int, int]
) -> None:
    image = images(1)[0]
    layer = net.layers["conv1"]
    assert isinstance(layer, pc.Conv2d)
    about, arrays = exhibit.explain(image, "conv1", place)
    settings = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    columns = reference.im2col(image[np.newaxis] / 255, *settings)
    size = reference.conv2d(image[np.newaxis] / 255, layer.params["weight"], None, *settings[1:])
    row = columns[place[1] * size.shape[3] + place[2]]
    np.testing.assert_allclose(arrays["patch"].ravel(), row, rtol=1e-6)
    np.testing.assert_array_equal(arrays["weight"], layer.params["weight"][place[0]])
    total = row @ layer.params["weight"][place[0]].ravel() + layer.params["bias"][place[0]]
    assert about["value"] == pytest.approx(total, rel=1e-4, abs=1e-5)
    assert about["bias"] == layer.params["bias"][place[0]]


def test_padding_is_marked(exhibit: Exhibit) -> None:
    about, arrays = exhibit.explain(np.full(SHAPE, 255, np.uint8), "conv1", (0, 0, 0))
    assert about["corner"] == (-1, -2)
    # Only the taps at row -1 or column -2 lie in the padding.
    assert arrays["inside"].tolist() == [[0, 0], [0, 1], [0, 1]]
    np.testing.assert_array_equal(arrays["patch"][0], arrays["inside"])


def test_a_grouped_convolution_takes_its_group_alone(exhibit: Exhibit) -> None:
    image = images(1)[0]
    about, arrays = exhibit.explain(image, "block/body/conv", (4, 2, 2))
    assert about["first"] == 3
    assert arrays["patch"].shape == arrays["weight"].shape == (3, 3, 3)
    total = np.sum(arrays["patch"].astype(np.float64) * arrays["weight"]) + about["bias"]
    assert about["value"] == pytest.approx(total, rel=1e-4, abs=1e-5)


def test_poolings_and_connections_are_explained(net: pc.ConvNet, exhibit: Exhibit) -> None:
    image = images(1)[0]
    outputs = {name: out[0] for name, out in net.activations(image[np.newaxis] / 255).items()}

    about, arrays = exhibit.explain(image, "pool", (1, 4, 3))
    seen = arrays["patch"][0][arrays["inside"].astype(bool)]
    assert about["kind"] == "largest"
    assert about["value"] == seen.max() == pytest.approx(outputs["pool"][1, 4, 3], rel=1e-5)
    assert arrays["inside"].sum() == 1  # ceil mode reaches past the edges

    about, arrays = exhibit.explain(image, "mean", (2, 1, 0))
    np.testing.assert_allclose(arrays["patch"][0], outputs["pool"][2, 1:3, 0:2], rtol=1e-4)
    assert about["value"] == pytest.approx(arrays["patch"].mean(), rel=1e-5)

    about, arrays = exhibit.explain(image, "squeeze", (3, 0, 0))
    assert about["value"] == pytest.approx(outputs["mean"][3].mean(), rel=1e-4)

    about, arrays = exhibit.explain(image, "fc", (2,))
    np.testing.assert_allclose(arrays["patch"], outputs["join"], rtol=1e-4, atol=1e-6)
    total = np.sum(arrays["patch"].astype(np.float64) * arrays["weight"]) + about["bias"]
    assert about["value"] == pytest.approx(total, rel=1e-4)

    about, _ = exhibit.explain(image, "scale", (2, 1, 1))
    product = about["parts"][0]["value"] * about["parts"][1]["value"]
    assert [part["name"] for part in about["parts"]] == ["mean", "gate"]
    assert about["value"] == pytest.approx(product, rel=1e-5)

    about, _ = exhibit.explain(image, "join", (7, 1, 1))
    assert [part["name"] for part in about["parts"]] == ["mean"]
    assert about["value"] == pytest.approx(outputs["mean"][1, 1, 1], rel=1e-4)

    about, _ = exhibit.explain(image, "relu1", (0, 1, 1))
    assert about["value"] == max(0, about["before"])


def test_numbers_of_several_are_not_told_as_a_function_of_one() -> None:
    layers = [("shuffle", pc.ChannelShuffle(2)), ("flatten", pc.Flatten()), ("end", pc.Softmax())]
    exhibit = Exhibit(pc.ConvNet(layers, input_shape=(4, 2, 2)), list("abcdefghijklmnop"))
    image = np.arange(16, dtype=np.uint8).reshape(4, 2, 2)
    about, _ = exhibit.explain(image, "shuffle", (1, 0, 0))
    assert about["kind"] == "other"
    assert exhibit.explain(image, "end", (3,))[0]["kind"] == "other"


def test_field_is_where_the_image_matters(exhibit: Exhibit) -> None:
    """Pixels outside the box change nothing; some inside do."""
    image = images(1)[0]
    about, _ = exhibit.explain(image, "block", (1, 4, 3))
    top, left, bottom, right = about["field"]
    outside = np.ones(SHAPE[1:], bool)
    outside[max(0, top) : bottom, max(0, left) : right] = False
    changed = image.copy()
    changed[:, outside] ^= 255
    assert outside.any()
    assert exhibit.explain(changed, "block", (1, 4, 3))[0]["value"] == about["value"]
    changed[:, ~outside] ^= 255
    assert exhibit.explain(changed, "block", (1, 4, 3))[0]["value"] != about["value"]


def test_look_gives_the_scores_and_the_maps(net: pc.ConvNet, exhibit: Exhibit) -> None:
    image = images(1)[0]
    about, arrays = exhibit.look(image, ["input", "relu1", "fc"], 4)
    scores = net.predict(image[np.newaxis] / 255)[0].astype(np.float64)
    expected = np.exp(scores - scores.max())
    np.testing.assert_allclose(about["probabilities"], expected / expected.sum(), rtol=1e-4)
    relu = net.activations(image[np.newaxis] / 255)["relu1"][0]
    assert arrays["relu1"].shape == (4, *relu.shape[1:])
    np.testing.assert_allclose(arrays["relu1"] / 255 * relu.max(), relu[:4], atol=relu.max() / 500)
    np.testing.assert_array_equal(arrays["input"], image)
    assert about["strips"]["fc"]["signed"]
    assert arrays["fc"].shape == (4, 1, 1)
    np.testing.assert_allclose(exhibit.predict(image[np.newaxis])[0], about["probabilities"], 1e-4)


def test_probabilities_of_a_network_with_softmax_are_its_own() -> None:
    layers = [("flatten", pc.Flatten()), ("fc", pc.Linear(4, 3)), ("softmax", pc.Softmax())]
    net = pc.ConvNet(layers, input_shape=(1, 2, 2))
    image = np.array([[[0, 100], [200, 255]]], np.uint8)
    about, _ = Exhibit(net, ["a", "b", "c"]).look(image, [], 0)
    np.testing.assert_allclose(about["probabilities"], net.predict(image[np.newaxis] / 255)[0])


def test_large_maps_are_averaged_and_bad_numbers_are_marked() -> None:
    maps = np.zeros((1, 130, 100), np.float32)
    maps[0, :2, :2] = [[1, 2], [3, np.nan]]
    about, shades = strip(maps, 1)
    assert max(shades.shape[1:]) <= LARGEST_SIDE
    assert not about["finite"]
    assert about["high"] == 3
    maps[...] = 0
    maps[0, :3, :3] = 2
    maps[0, 5, 5] = 4
    about, shades = strip(maps, 1)
    assert (shades[0, 0, 0], shades[0, 1, 1]) == (128, round(4 / 9 / 4 * 255))


def test_attribution_is_that_of_inspection(net: pc.ConvNet, exhibit: Exhibit) -> None:
    image = images(1)[0]
    x = image[np.newaxis] / 255
    for kind, function in (("saliency", pc.inspection.saliency), ("cam", pc.inspection.grad_cam)):
        expected = function(net, x, 2)[0]
        found = exhibit.attribute(image, 2, kind) / 255 * expected.max()
        np.testing.assert_allclose(found, expected, atol=expected.max() / 250)
    with pytest.raises(LookupError, match="class is 4, but there are 4"):
        exhibit.attribute(image, 4, "cam")
    with pytest.raises(LookupError, match="kind is 'magic': wanted one of cam, saliency"):
        exhibit.attribute(image, 0, "magic")


def test_what_excites_a_map_most_is_found(net: pc.ConvNet, exhibit: Exhibit) -> None:
    pool = collection().x_test
    about, patches = exhibit.excite("relu1", 3, pool)
    relu = net.activations(pool / 255)["relu1"][:, 3]
    peaks = relu.reshape(len(pool), -1).max(axis=1)
    order = np.argsort(-peaks, kind="stable")[:9]
    assert about["images"] == order.tolist()
    np.testing.assert_allclose(
        about["values"], relu.reshape(len(pool), -1).max(axis=1)[order], 1e-4
    )
    assert patches.shape[:2] == (9, 2)


def test_exchanged_weights_are_what_is_seen(exhibit: Exhibit) -> None:
    image = images(1)[0]
    first = exhibit.predict(image[np.newaxis])
    exhibit.look(image, ["conv1"], 1)
    exhibit.excite("relu1", 0, collection().x_test)
    other = unfold(graph_net(seed=3))
    exhibit.load(network_arrays(other))
    about, _ = exhibit.look(image, ["conv1"], 1)
    np.testing.assert_allclose(exhibit.predict(image[np.newaxis])[0], about["probabilities"], 1e-4)
    assert not np.allclose(first[0], about["probabilities"])
    relu = other.activations(collection().x_test / 255)["relu1"][:, 0]
    found, _ = exhibit.excite("relu1", 0, collection().x_test)
    assert found["values"][0] == pytest.approx(relu.max(), rel=1e-4)


def test_an_image_is_its_own_nearest_neighbour(exhibit: Exhibit) -> None:
    pool = images(30, 5)
    near = Neighbours(exhibit, pool).nearest(pool[17], 4)
    assert near[0][0] == 17
    assert near[0][1] == pytest.approx(1, abs=1e-5)
    assert [cosine for _, cosine in near] == sorted((c for _, c in near), reverse=True)


def test_wrong_names_and_places_are_named(exhibit: Exhibit) -> None:
    image = images(1)[0]
    for bad in ((6, 0, 0), (0, 12, 0), (0, 0), (0, 0, -1)):
        with pytest.raises(LookupError, match="place is"):
            exhibit.explain(image, "conv1", bad)
    with pytest.raises(LookupError, match="layer is 'conv9'"):
        exhibit.explain(image, "conv9", (0, 0, 0))
    with pytest.raises(LookupError, match="layer is 'conv9'"):
        exhibit.look(image, ["conv9"], 1)
    with pytest.raises(LookupError, match="channel is 6"):
        exhibit.plane(image, "conv1", 6)
    with pytest.raises(LookupError, match="channel is 9"):
        exhibit.excite("conv1", 9, collection().x_test)


def test_a_network_without_classes_is_looked_at_too() -> None:
    net = pc.models.unet(channels=1, classes=2, width=4, depth=2, input_shape=(1, 16, 16))
    exhibit = Exhibit(net, None)
    image = np.zeros((1, 16, 16), np.uint8)
    last = exhibit.describe()["layers"][-1]["name"]
    about, arrays = exhibit.look(image, [last], 3)
    assert about["probabilities"] is None
    assert arrays[last].shape == (2, 16, 16)
    with pytest.raises(ValueError, match="no scores of classes"):
        exhibit.attribute(image, 0, "saliency")


def test_numbers_that_json_lacks_become_null() -> None:
    text = wire.to_json({"a": [np.float32("nan"), np.inf, np.int64(3)], "b": (1.5, None)})
    assert json.loads(text) == {"a": [None, None, 3], "b": [1.5, None]}
