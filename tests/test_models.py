"""The named networks have the shapes and the sizes that the literature gives them."""

import math

import numpy as np
import pytest

from pocketcnn.layers import Conv2d, Dropout
from pocketcnn.models import deep_convnet, lenet5, simple_convnet, vgg16

# Name, function, parameters, multiply-adds for one image, shapes on the way.
MODELS = [
    # 30*25+30, 4320*100+100, 100*10+10.
    (simple_convnet, 433_890, 865_000, {"pool1": (30, 12, 12), "fc1": (100,)}),
    # The sum for C5 as 120 full connections, as textbooks give it; 416,520 likewise.
    (lenet5, 61_706, 416_520, {"conv1": (6, 28, 28), "pool2": (16, 5, 5), "fc2": (84,)}),
    (deep_convnet, 123_552, 8_772_340, {"conv2_2": (32, 16, 16), "pool3": (64, 4, 4)}),
    # 138 million: table 2 of the paper. 15.5 billion multiply-adds is the figure usually quoted.
    (vgg16, 138_357_544, 15_470_264_320, {"pool1": (64, 112, 112), "pool5": (512, 7, 7)}),
]


@pytest.mark.parametrize(("model", "parameters", "multiply_adds", "shapes"), MODELS)
def test_sizes(model, parameters, multiply_adds, shapes):
    net = model(seed=None)
    shape, work = net.input_shape, 0
    seen = {}
    for name, layer in net.layers.items():
        work += layer.multiply_adds(shape)
        seen[name] = shape = layer.output_shape(shape)
    sizes = [math.prod(s) for layer in net.layers.values() for s in layer.param_shapes.values()]
    assert sum(sizes) == parameters
    assert work == multiply_adds
    assert net.output_shape == shape
    assert {name: seen[name] for name in shapes} == shapes


@pytest.mark.parametrize("model", [simple_convnet, lenet5, deep_convnet])
def test_small_models_run(model):
    net = model(seed=5)
    x = np.random.default_rng(0).random((3, 1, 28, 28), dtype=np.float32)
    assert net.predict(x).shape == (3, 10)
    loss, grads = net.value_and_gradient(x, np.array([1, 2, 3]))
    assert math.isfinite(loss)
    assert all(np.isfinite(grad).all() and grad.any() for grad in grads.values())


@pytest.mark.parametrize("model", [simple_convnet, lenet5, deep_convnet, vgg16])
def test_classes_and_images_of_other_sizes(model):
    net = model(7, input_shape=(2, 44, 36), seed=None)
    assert net.input_shape == (2, 44, 36)
    assert net.output_shape == (7,)


def test_models_that_are_only_looked_at_draw_no_weights():
    net = vgg16(seed=None)
    net.summary()
    repr(net)
    assert not any("params" in vars(layer) for layer in net.layers.values())


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
