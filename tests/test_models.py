"""The named networks have the shapes and the sizes that the literature gives them."""

import math

import numpy as np
import pytest

from pocketcnn import load
from pocketcnn.data import digits
from pocketcnn.layers import BatchNorm2d, Concat, Conv2d, Dropout
from pocketcnn.models import (
    alexnet,
    compact_resnet,
    deep_convnet,
    efficientnet_lite0,
    lenet5,
    mobilenet_v2,
    resnet18,
    resnet50,
    simple_convnet,
    unet,
    vgg16,
)
from pocketcnn.optim import SGD
from pocketcnn.training.trainer import Trainer

# Name, function, parameters, multiply-adds for one image, shapes on the way.
MODELS = [
    # 30*25+30, 4320*100+100, 100*10+10.
    (simple_convnet, 433_890, 865_000, {"pool1": (30, 12, 12), "fc1": (100,)}),
    # The sum for C5 as 120 full connections, as textbooks give it; 416,520 likewise.
    (lenet5, 61_706, 416_520, {"conv1": (6, 28, 28), "pool2": (16, 5, 5), "fc2": (84,)}),
    (deep_convnet, 123_552, 8_772_340, {"conv2_2": (32, 16, 16), "pool3": (64, 4, 4)}),
    # 62.4 million in one tower, as commonly counted (the paper's two have 61 million).
    (alexnet, 62_378_344, 1_135_256_096, {"norm1": (96, 55, 55), "pool5": (256, 6, 6)}),
    # 11.7 million and 1.8 billion: the table of the paper, and of those who carry its weights.
    (resnet18, 11_689_512, 1_814_073_344, {"pool": (64, 56, 56), "layer4_1": (512, 7, 7)}),
    # 25.6 million and 4.1 billion: the same.
    (resnet50, 25_557_032, 4_089_184_256, {"layer2_0": (512, 28, 28), "layer4_2": (2048, 7, 7)}),
    # 3.4 million and 300 million: table 4 of the paper; torchvision's has as many to the last.
    (mobilenet_v2, 3_504_872, 300_774_272, {"features_6": (32, 28, 28), "avgpool": (1280, 1, 1)}),
    # 4.65 million and 385 million: the table of those who published the form for small devices.
    (efficientnet_lite0, 4_652_008, 385_187_552, {"blocks_4": (40, 28, 28), "fc": (1000,)}),
    # Conv 864 + 27,648 + 138,240, blocks 18 * (32**2 + 96**2 + 160**2), batch norm
    # 6 * (32 + 96 + 160), linear 1,610.
    (compact_resnet, 815_210, 39_519_808, {"block1": (32, 16, 16), "pool3": (160, 4, 4)}),
    # Two convolutions at each of four sizes and on the way back, 2x2 upwards, 1x1 at the end.
    (unet, 482_466, 575_406_080, {"down3_relu2": (128, 16, 16), "concat0": (32, 128, 128)}),
    # 138 million: table 2 of the paper. 15.5 billion multiply-adds is the figure usually quoted.
    (vgg16, 138_357_544, 15_470_264_320, {"pool1": (64, 112, 112), "pool5": (512, 7, 7)}),
]


@pytest.mark.parametrize(("model", "parameters", "multiply_adds", "shapes"), MODELS)
def test_sizes(model, parameters, multiply_adds, shapes):
    net = model(seed=None)
    seen, work = {"input": net.input_shape}, 0
    for name, layer in net.layers.items():
        taken = [seen[source] for source in net.inputs[name]]
        taken = taken if isinstance(layer, Concat) else taken[0]
        work += layer.multiply_adds(taken)
        seen[name] = layer.output_shape(taken)
    sizes = [math.prod(s) for layer in net.layers.values() for s in layer.param_shapes.values()]
    assert sum(sizes) == parameters
    assert work == multiply_adds
    assert net.output_shape == seen[name]
    assert {name: seen[name] for name in shapes} == shapes


@pytest.mark.parametrize("model", [simple_convnet, lenet5, deep_convnet])
def test_small_models_run(model):
    net = model(seed=5)
    x = np.random.default_rng(0).random((3, 1, 28, 28), dtype=np.float32)
    assert net.predict(x).shape == (3, 10)
    loss, grads = net.value_and_gradient(x, np.array([1, 2, 3]))
    assert math.isfinite(loss)
    assert all(np.isfinite(grad).all() and grad.any() for grad in grads.values())


EVERY = [
    *(simple_convnet, lenet5, deep_convnet, alexnet, vgg16),
    *(resnet18, resnet50, compact_resnet, mobilenet_v2, efficientnet_lite0),
]


@pytest.mark.parametrize("model", EVERY)
def test_classes_and_images_of_other_sizes(model):
    net = model(7, input_shape=(2, 84, 76), seed=None)
    assert net.input_shape == (2, 84, 76)
    assert net.output_shape == (7,)


def test_lenet5_of_the_paper_and_of_today():
    """The paper's 32x32 images need no border, and no form changes the number of weights."""
    forms = [
        lenet5(input_shape=(1, 32, 32), activation="tanh", seed=None),
        lenet5(activation="relu", pooling="max", seed=None),
    ]
    for net in forms:
        assert net.layers["conv1"].output_shape(net.input_shape) == (6, 28, 28)
        shapes = [s for layer in net.layers.values() for s in layer.param_shapes.values()]
        assert sum(map(math.prod, shapes)) == 61_706
    kinds = [type(layer).__name__ for layer in forms[1].layers.values()]
    assert kinds.count("ReLU") == 4
    assert kinds.count("MaxPool2d") == 2
    with pytest.raises(ValueError, match="activation is 'gelu', but must be one of sigmoid"):
        lenet5(activation="gelu")
    with pytest.raises(ValueError, match="pooling is 'min'"):
        lenet5(pooling="min")


def test_alexnet_in_two_groups_has_the_papers_weights():
    net = alexnet(groups=2, seed=None)
    shapes = [shape for layer in net.layers.values() for shape in layer.param_shapes.values()]
    assert sum(map(math.prod, shapes)) == 60_965_224
    assert net.layers["conv2"].param_shapes["weight"] == (256, 48, 5, 5)
    assert net.layers["conv3"].param_shapes["weight"] == (384, 256, 3, 3)


def test_resnet18_learns_and_is_saved_and_copied(tmp_path):
    net = resnet18(4, input_shape=(1, 32, 32), seed=1)
    rng = np.random.default_rng(0)
    x, t = rng.random((4, 1, 32, 32), dtype=np.float32), np.arange(4)
    trainer = Trainer(net, SGD(0.01))
    losses = [trainer.step(x, t) for _ in range(6)]
    assert losses[-1] < 0.5 * losses[0]
    assert any(buffer.any() for name, buffer in net.buffers.items() if "running_mean" in name)
    net.save(tmp_path / "net.safetensors")
    again, twin = load(tmp_path / "net.safetensors"), net.astype(np.float32)
    for copy in (again, twin):
        np.testing.assert_array_equal(copy.predict(x), net.predict(x))
        assert copy.params.keys() == net.params.keys()
    assert "layer2_0.shortcut.conv.weight" in net.params
    assert "layer2_0.body.conv1" in net.summary()


def test_models_that_are_only_looked_at_draw_no_weights():
    net = vgg16(seed=None)
    net.summary()
    repr(net)
    assert not any("params" in vars(layer) for layer in net.layers.values())


def test_efficientnet_pads_as_tensorflow_does():
    net = efficientnet_lite0(3, input_shape=(3, 33, 64), seed=None)
    strided = [net.layers[name] for name in ("conv_stem", "blocks_3_depthwise_conv")]
    assert [conv.padding for conv in strided] == ["same", "same"]
    assert strided[0].output_shape(net.input_shape) == (32, 17, 32)
    norms = [layer for layer in net.layers.values() if isinstance(layer, BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}


def test_efficientnet_begins_with_the_weights_of_a_file(tmp_path):
    net = efficientnet_lite0(3, input_shape=(3, 32, 32), seed=1)
    net.save(tmp_path / "net.safetensors")
    again = efficientnet_lite0(3, weights=tmp_path / "net.safetensors", input_shape=(3, 32, 32))
    x = np.random.default_rng(0).random((1, 3, 32, 32), dtype=np.float32)
    np.testing.assert_array_equal(again.predict(x), net.predict(x))
    with pytest.raises(ValueError, match=r"fc\.weight \(3, 1280\) instead of \(4, 1280\)"):
        efficientnet_lite0(4, weights=tmp_path / "net.safetensors")


def test_unet_gives_every_pixel_scores():
    # As widely used PyTorch code for the paper's size counts, without biases before batch norm.
    params = unet(3, 1, width=64, depth=4, seed=None).params
    assert sum(array.size for array in params.values()) == 31_037_633
    net = unet(2, classes=3, width=4, depth=2, input_shape=(2, 8, 12), seed=1).astype(np.float64)
    x = np.random.default_rng(0).random((2, 2, 8, 12))
    scores = net.predict(x)
    assert scores.shape == (2, 3, 8, 12)
    # The four convolutions of the image's size see 4 pixels aside; what was halved carries farther.
    x[0, 0, 0, 0] += 1
    changed = (net.predict(x) != scores).any(axis=1)
    assert changed[0, 0, 8]
    assert not changed[1].any()
    assert net.inputs["concat0"] == ("down0_relu2", "enlarge0")


def test_unet_learns_where_bright_pixels_are():
    net = unet(width=2, depth=1, input_shape=(1, 8, 8), seed=0)
    x = np.random.default_rng(0).random((8, 1, 8, 8), dtype=np.float32)
    t = np.int64(x[:, 0] > 0.5)
    optimizer, losses = SGD(0.5, 0.9), []
    for _ in range(30):
        scores = net.forward(x, training=True)
        share = np.exp(scores - scores.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        right = np.eye(2, dtype=np.float32)[t].transpose(0, 3, 1, 2)
        losses.append(-np.log((share * right).sum(axis=1)).mean())
        net.backward((share - right) / t.size)
        optimizer.update(net.params, net.grads)
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"input_shape": (1, 32, 36)},
            r"input_shape is \(1, 32, 36\), .* multiples of 2\*\*3",
        ),
        ({"channels": 3, "input_shape": (1, 32, 32)}, "must have 3 channels, as channels says"),
        ({"input_shape": (32, 32)}, "input_shape is"),
        ({"depth": 0}, "depth is 0"),
        ({"depth": 60}, "halved 60 times"),
        ({"depth": 10**30}, "halved 10+ times"),
        ({"width": 0}, "width is 0"),
        ({"classes": -1}, "classes is -1"),
        ({"channels": 0}, "channels is 0"),
    ],
)
def test_arguments_that_unet_does_not_take(arguments, message):
    with pytest.raises(ValueError, match=message):
        unet(**arguments, seed=None)


def test_deep_convnet_knows_digits_without_training():
    net = deep_convnet(pretrained=True)
    assert {array.dtype for array in net.params.values()} == {np.dtype(np.float32)}
    _, (x, t) = digits()
    assert net.accuracy(x / 255, t) >= 0.99
    assert net.classes == list("0123456789")
    # Weights are arrays of this network alone, and dropout is that of the seed.
    again = deep_convnet(pretrained=True, seed=5)
    assert not np.shares_memory(net.params["fc1.weight"], again.params["fc1.weight"])
    states = [it.generators["dropout1"].bit_generator.state for it in (again, deep_convnet(seed=5))]
    assert states[0] == states[1]


@pytest.mark.parametrize("arguments", [{"num_classes": 7}, {"input_shape": (1, 32, 32)}])
def test_deep_convnet_knows_nothing_but_digits(arguments):
    with pytest.raises(ValueError, match=r"the pretrained network has 10 and \(1, 28, 28\)"):
        deep_convnet(pretrained=True, **arguments)


def test_compact_resnet_learns_colours_whatever_their_scale():
    """The first normalisation undoes a change of the pixels' scale, up to its epsilon of 1e-5."""
    rng = np.random.default_rng(0)
    t = np.arange(32) % 2
    x = rng.random((32, 3, 16, 16)) + t.reshape(-1, 1, 1, 1) * [[[0.5]], [[0]], [[-0.5]]]
    losses = []
    for scale in (1, 255):
        net = compact_resnet(2, input_shape=(3, 16, 16))
        trainer = Trainer(net, SGD(0.05, 0.9))
        losses.append([trainer.step(scale * x, t) for _ in range(6)])
    assert losses[0][-1] < 0.1 * losses[0][0]
    np.testing.assert_allclose(losses[0][0], losses[1][0], rtol=0.01)


def test_vgg16_is_thirteen_equal_convolutions():
    convolutions = [
        layer for layer in vgg16(seed=None).layers.values() if isinstance(layer, Conv2d)
    ]
    assert len(convolutions) == 13
    assert {(conv.kernel_size, conv.stride, conv.padding) for conv in convolutions} == {(3, 1, 1)}


def test_deep_convnet_follows_the_book():
    net = deep_convnet(seed=None)
    widths = [layer.out_channels for layer in net.layers.values() if isinstance(layer, Conv2d)]
    paddings = [layer.padding for layer in net.layers.values() if isinstance(layer, Conv2d)]
    assert widths == [16, 16, 32, 32, 64, 64]
    assert paddings == [1, 1, 1, 2, 1, 1]
    assert [layer.p for layer in net.layers.values() if isinstance(layer, Dropout)] == [0.5, 0.5]


def test_image_that_is_too_small_names_the_layer():
    with pytest.raises(ValueError, match="layer 'pool4': kernel_size"):
        vgg16(input_shape=(3, 8, 8), seed=None)


@pytest.mark.parametrize("model", EVERY)
@pytest.mark.parametrize(
    ("shape", "error"),
    [
        ([], ValueError),
        ((1, 28), ValueError),
        ((1, 1, 28, 28), ValueError),
        ("abc", ValueError),
        ((0, 28, 28), ValueError),
        ((1, -28, 28), ValueError),
        ((1, 28, 10**20), ValueError),
        (2, TypeError),
        (None, TypeError),
        ({}, TypeError),
        ({1, 2, 3}, TypeError),
        ((1.5, 28, 28), TypeError),
        ((1, "28", 28), TypeError),
    ],
)
def test_input_shapes_that_are_none(model, shape, error):
    with pytest.raises(error, match="input_shape is "):
        model(input_shape=shape, seed=None)


@pytest.mark.parametrize("model", EVERY)
@pytest.mark.parametrize(
    ("count", "error"),
    [(0, ValueError), (-1, ValueError), (10**30, ValueError), (1.5, TypeError), ([], TypeError)],
)
def test_numbers_of_classes_that_are_none(model, count, error):
    with pytest.raises(error, match="num_classes is "):
        model(count, seed=None)


def test_sizes_may_be_numbers_of_numpy():
    net = simple_convnet(np.int64(3), input_shape=np.array([1, 12, 12]), seed=None)
    assert (net.input_shape, net.output_shape) == ((1, 12, 12), (3,))


@pytest.mark.parametrize("value", ["max", [], 2, None])
def test_activations_of_lenet5_that_are_none(value):
    with pytest.raises(ValueError, match=r"activation is .* one of sigmoid, tanh, relu"):
        lenet5(activation=value)
