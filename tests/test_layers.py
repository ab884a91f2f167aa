"""One contract for every layer: what holds for one of them holds for all.

A new layer is one row in CASES, or one per mode. Those of several inputs are in test_graph.py.
"""

import json
import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketcnn.layers import (
    ELU,
    GELU,
    LAYERS,
    AvgPool2d,
    BatchNorm2d,
    ChannelShuffle,
    Clip,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    GlobalMaxPool2d,
    GroupNorm,
    HardSigmoid,
    HardSwish,
    Layer,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    LogSoftmax,
    MaxPool2d,
    Normalize,
    Permute,
    PReLU,
    ReLU,
    ReLU6,
    Reshape,
    Residual,
    ScaleShift,
    Sigmoid,
    SiLU,
    Slice,
    Softmax,
    Tanh,
    Upsample,
    ZeroPad2d,
)
from pocketcnn.layers.chain import every_layer
from pocketcnn.layers.merge import Merge
from pocketcnn.network.gradient_check import central_differences

SEED = 20


@dataclass(frozen=True)
class Case:
    layer: Layer
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]

    def fresh(self, dtype=np.float64):
        """A layer of the same settings, with random parameters: biases of zero hide errors."""
        layer = type(self.layer)(**self.layer.config())
        rng = np.random.default_rng(SEED)
        layer.initialize(rng, dtype=dtype)
        for array in layer.params.values():
            array[...] = rng.standard_normal(array.shape)
        return layer

    def batch(self, dtype=np.float64, samples=2):
        """Distinct numbers at least 0.01 apart and from zero.

        So a step of the differences crosses no kink of ReLU and changes no maximum of a pool.
        """
        size = samples * math.prod(self.input_shape)
        values = 0.01 * (np.random.default_rng(SEED).permutation(size) - size // 2) + 0.005
        return values.reshape(samples, *self.input_shape).astype(dtype)


CASES = [
    Case(Conv2d(2, 3, 3), (2, 6, 5), (3, 4, 3)),
    Case(Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 0)), (2, 6, 5), (3, 3, 4)),
    Case(Conv2d(2, 3, 3, padding=((0, 2), (1, 0)), dilation=(2, 1)), (2, 6, 5), (3, 4, 4)),
    Case(Conv2d(2, 3, 3, padding="same"), (2, 6, 5), (3, 6, 5)),
    Case(Conv2d(2, 3, 4, stride=2, padding="same"), (2, 6, 5), (3, 3, 3)),
    Case(Conv2d(2, 3, 3, padding="valid", bias=False), (2, 6, 5), (3, 4, 3)),
    Case(Conv2d(4, 6, 3, groups=2, padding=1), (4, 4, 5), (6, 4, 5)),
    Case(Conv2d(3, 3, 3, groups=3, init="xavier"), (3, 5, 5), (3, 3, 3)),
    Case(Conv2d(3, 4, 1), (3, 3, 2), (4, 3, 2)),
    Case(ConvTranspose2d(2, 3, 3), (2, 3, 4), (3, 5, 6)),
    Case(ConvTranspose2d(3, 2, 2, stride=2), (3, 3, 2), (2, 6, 4)),
    Case(ConvTranspose2d(2, 3, (3, 2), stride=(1, 3)), (2, 3, 4), (3, 5, 11)),
    Case(ConvTranspose2d(2, 3, 4, stride=(2, 1), padding=(1, 0)), (2, 3, 3), (3, 6, 6)),
    Case(ConvTranspose2d(2, 3, 3, padding=((0, 2), (1, 0))), (2, 3, 4), (3, 3, 5)),
    Case(
        ConvTranspose2d(2, 3, 3, stride=2, padding=1, output_padding=(1, 0)), (2, 3, 4), (3, 6, 7)
    ),
    Case(ConvTranspose2d(2, 1, 2, output_padding=(2, 0), dilation=(3, 1)), (2, 3, 2), (1, 8, 3)),
    Case(ConvTranspose2d(2, 3, 3, stride=2, padding="same"), (2, 3, 4), (3, 6, 8)),
    Case(ConvTranspose2d(2, 3, 2, stride=3, padding="same", bias=False), (2, 2, 3), (3, 6, 9)),
    Case(ConvTranspose2d(4, 6, 3, groups=2, padding="valid"), (4, 2, 3), (6, 4, 5)),
    Case(Linear(7, 4), (7,), (4,)),
    Case(Linear(7, 4, bias=False, init=0.01), (7,), (4,)),
    Case(MaxPool2d(2), (3, 6, 4), (3, 3, 2)),
    Case(MaxPool2d(3, stride=2, padding=1), (3, 6, 5), (3, 3, 3)),
    Case(MaxPool2d((2, 3), stride=(1, 2), padding=((0, 1), (1, 0))), (3, 6, 5), (3, 6, 2)),
    Case(MaxPool2d(2, ceil_mode=True), (3, 5, 5), (3, 3, 3)),
    Case(MaxPool2d(3, stride=2, ceil_mode=True), (3, 2, 2), (3, 1, 1)),
    Case(MaxPool2d(2, stride=2, padding=1, ceil_mode=True), (3, 5, 6), (3, 3, 4)),
    Case(AvgPool2d(2), (3, 6, 4), (3, 3, 2)),
    Case(AvgPool2d(3, stride=2, padding=1), (3, 6, 5), (3, 3, 3)),
    Case(AvgPool2d(3, stride=2, padding=1, count_include_pad=False), (3, 6, 5), (3, 3, 3)),
    Case(AvgPool2d(2, ceil_mode=True), (3, 5, 5), (3, 3, 3)),
    Case(AvgPool2d(2, ceil_mode=True), (3, 1, 1), (3, 1, 1)),
    Case(GlobalAvgPool2d(), (3, 4, 5), (3, 1, 1)),
    Case(GlobalMaxPool2d(), (3, 4, 5), (3, 1, 1)),
    Case(Reshape((5, 1, 12)), (3, 4, 5), (5, 1, 12)),
    Case(Reshape([60]), (3, 4, 5), (60,)),
    Case(Permute((2, 0, 1)), (3, 4, 5), (5, 3, 4)),
    Case(Permute([1, 0]), (3, 4), (4, 3)),
    Case(Slice(1, 3), (4, 3, 5), (2, 3, 5)),
    Case(Slice(0, 5, axis=3, step=2), (4, 3, 5), (4, 3, 3)),
    Case(Clip(-0.2, 0.1), (3, 4, 5), (3, 4, 5)),
    Case(Clip(low=-0.3), (6,), (6,)),
    Case(Clip(high=0.2), (3, 4), (3, 4)),
    Case(LogSoftmax(), (6,), (6,)),
    Case(LogSoftmax(axis=-1), (3, 4, 5), (3, 4, 5)),
    Case(ScaleShift(-0.5, 2), (3, 4, 5), (3, 4, 5)),
    Case(ScaleShift(3.0), (6,), (6,)),
    Case(ZeroPad2d(2), (3, 4, 5), (3, 8, 9)),
    Case(ZeroPad2d((1, 0)), (3, 4, 5), (3, 6, 5)),
    Case(ZeroPad2d(((1, 2), (0, 3))), (3, 4, 5), (3, 7, 8)),
    Case(ZeroPad2d(((-1, 2), (0, -3))), (3, 4, 5), (3, 5, 2)),
    Case(ChannelShuffle(2), (6, 2, 3), (6, 2, 3)),
    Case(ChannelShuffle(3), (6, 2, 3), (6, 2, 3)),
    Case(Normalize((0.5, -2.0), (0.25, 3.0)), (2, 4, 5), (2, 4, 5)),
    Case(Upsample(2), (3, 2, 3), (3, 4, 6)),
    Case(Upsample((3, 1)), (3, 2, 3), (3, 6, 3)),
    Case(Upsample((1, 1.7)), (3, 2, 4), (3, 2, 6)),
    Case(Upsample(0.6), (2, 5, 4), (2, 3, 2)),
    Case(Upsample(2, "bilinear"), (3, 2, 3), (3, 4, 6)),
    Case(Upsample((2.5, 0.6), "bilinear"), (2, 2, 4), (2, 5, 2)),
    Case(Upsample((1, 3), "bilinear", align_corners=True), (2, 2, 3), (2, 2, 9)),
    Case(GroupNorm(2, 6), (6, 3, 4), (6, 3, 4)),
    Case(GroupNorm(1, 4, eps=0.1), (4, 3, 2), (4, 3, 2)),
    Case(GroupNorm(3, 3), (3, 4, 5), (3, 4, 5)),
    Case(BatchNorm2d(3), (3, 4, 5), (3, 4, 5)),
    Case(BatchNorm2d(2, eps=0.1, momentum=0.5), (2, 1, 1), (2, 1, 1)),
    Case(LocalResponseNorm(3, alpha=0.5), (4, 3, 5), (4, 3, 5)),
    Case(LocalResponseNorm(4, alpha=2.0, beta=0.6, k=2.0), (3, 4, 5), (3, 4, 5)),
    Case(Residual([Conv2d(2, 2, 3, padding=1), Tanh()]), (2, 4, 5), (2, 4, 5)),
    Case(
        Residual(
            [
                ("conv1", Conv2d(2, 3, 3, stride=2, padding=1, bias=False)),
                ("bn1", BatchNorm2d(3)),
                ("tanh", Tanh()),
                ("dropout", Dropout(0.3)),
                ("inner", Residual([("bn", BatchNorm2d(3))])),
            ],
            shortcut=[("conv", Conv2d(2, 3, 1, stride=2)), ("bn", BatchNorm2d(3))],
        ),
        (2, 4, 5),
        (3, 2, 3),
    ),
    Case(Dropout(0.4), (3, 4, 5), (3, 4, 5)),
    Case(Dropout(0), (6,), (6,)),
    Case(ReLU(), (3, 4, 5), (3, 4, 5)),
    Case(Sigmoid(), (3, 4, 5), (3, 4, 5)),
    Case(Tanh(), (6,), (6,)),
    Case(LeakyReLU(), (3, 4, 5), (3, 4, 5)),
    Case(LeakyReLU(0.3), (6,), (6,)),
    Case(PReLU(), (3, 4, 5), (3, 4, 5)),
    Case(PReLU(3), (3, 4, 5), (3, 4, 5)),
    Case(PReLU(6), (6,), (6,)),
    Case(ELU(), (3, 4, 5), (3, 4, 5)),
    Case(ELU(0.5), (6,), (6,)),
    Case(ReLU6(), (14, 10, 10), (14, 10, 10)),
    Case(SiLU(), (3, 4, 5), (3, 4, 5)),
    Case(GELU(), (3, 4, 5), (3, 4, 5)),
    Case(GELU("tanh"), (3, 4, 5), (3, 4, 5)),
    Case(HardSigmoid(), (7, 10, 10), (7, 10, 10)),
    Case(HardSwish(), (7, 10, 10), (7, 10, 10)),
    Case(Flatten(), (3, 4, 5), (60,)),
    Case(Softmax(), (6,), (6,)),
    Case(Softmax(axis=-1), (3, 4, 5), (3, 4, 5)),
]


@pytest.fixture(params=CASES, ids=lambda case: f"{case.layer!r}".replace(" ", ""))
def case(request):
    return request.param


def test_every_layer_class_has_a_case():
    ours = {cls for cls in LAYERS.values() if cls.__module__.startswith("pocketcnn.")}
    assert {type(case.layer) for case in CASES} == ours - set(Merge.__subclasses__())
    assert all(name == cls.__name__ for name, cls in LAYERS.items())


@pytest.mark.parametrize("training", [False, True])
def test_shapes(case, training):
    layer, x = case.fresh(), case.batch()
    out = layer.forward(x, training)
    assert out.shape[1:] == layer.output_shape(case.input_shape) == case.output_shape
    assert len(out) == len(x)
    assert out.flags.c_contiguous
    assert layer.backward(np.ones_like(out)).shape == x.shape
    assert {key: array.shape for key, array in layer.params.items()} == layer.param_shapes
    assert {key: array.shape for key, array in layer.grads.items()} == layer.param_shapes


def generators(layer):
    return [inner.rng for _, inner in every_layer({"": layer}) if inner.rng is not None]


def test_gradients_are_the_central_differences(case):
    layer, x = case.fresh(), case.batch()
    weights = np.random.default_rng(SEED + 1).standard_normal((len(x), *case.output_shape))
    states = [rng.bit_generator.state for rng in generators(layer)]

    def loss():
        for rng, state in zip(generators(layer), states, strict=True):
            rng.bit_generator.state = state  # the same mask each time
        return float((weights * layer.forward(x, training=True)).sum())

    numerical = central_differences(loss, {"x": x, **layer.params}, step=1e-4)
    loss()
    analytical = {"x": layer.backward(weights), **layer.grads}
    assert analytical.keys() == numerical.keys()
    for name, expected in numerical.items():
        # Differences are off by step**2 times a third derivative of order 1, which is below 1e-8.
        error = np.abs(analytical[name] - expected).max() / max(1e-3, np.abs(expected).max())
        assert error < 1e-6, name


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("training", [False, True])
def test_dtype_stays(case, dtype, training):
    layer, x = case.fresh(dtype), case.batch(dtype)
    out = layer.forward(x, training)
    dx = layer.backward(np.ones_like(out))
    arrays = [out, dx, *layer.params.values(), *layer.grads.values()]
    assert {array.dtype for array in arrays} == {np.dtype(dtype)}


def test_input_and_gradient_are_not_changed(case):
    layer, x = case.fresh(), case.batch()
    before = x.copy()
    x.flags.writeable = False
    out = layer.forward(x, training=True)
    grad = np.random.default_rng(SEED).standard_normal(out.shape)
    grad_before = grad.copy()
    grad.flags.writeable = False
    layer.backward(grad)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(grad, grad_before)


def test_parameters_keep_their_identity_and_are_used_as_they_are_now(case):
    layer, x = case.fresh(), case.batch()
    if not layer.params:
        assert layer.grads == {}
        return
    params, arrays = layer.params, dict(layer.params)
    out = layer.forward(x, training=True)
    layer.backward(np.ones_like(out))
    for key, array in params.items():
        array -= 0.5 * layer.grads[key]
    assert not np.array_equal(layer.forward(x), out)
    layer.backward(np.ones_like(out))
    assert layer.params is params
    assert all(layer.params[key] is array for key, array in arrays.items())
    if not layer.children:
        assert layer.weight is arrays["weight"]
        assert getattr(layer, "bias", None) is arrays.get("bias")
    assert layer.grads.keys() == params.keys()


def test_gradients_are_there_and_zero_before_the_first_backward(case):
    layer = case.fresh()
    assert layer.grads.keys() == layer.params.keys()
    assert not any(array.any() for array in layer.grads.values())


def test_second_backward_replaces_gradients_and_does_not_add(case):
    layer, x = case.fresh(), case.batch()
    grad = np.ones_like(layer.forward(x, training=True))
    first_dx = layer.backward(grad)
    first = {key: array.copy() for key, array in layer.grads.items()}
    np.testing.assert_array_equal(layer.backward(grad), first_dx)
    for key, array in layer.grads.items():
        np.testing.assert_array_equal(array, first[key])


def test_config_makes_the_same_layer_again(case):
    config = json.loads(json.dumps(case.layer.config()))
    again = type(case.layer)(**config)
    assert again.config() == case.layer.config()
    assert repr(again) == repr(case.layer)
    assert again.output_shape(case.input_shape) == case.output_shape
    x = case.batch(np.float32)
    np.testing.assert_array_equal(again.forward(x), type(again)(**config).forward(x))


def test_repr_is_an_expression_that_makes_the_layer(case):
    assert eval(repr(case.layer), dict(LAYERS)).config() == case.layer.config()


def test_copy_is_independent(case):
    layer, x = case.fresh(), case.batch(np.float32)
    twin = layer.astype(np.float32)
    assert all(array.dtype == np.float32 for array in twin.params.values())
    expected = twin.forward(x, training=True)
    for array in layer.params.values():
        array[...] = 0
    twin = twin.astype(np.float32)
    if not generators(layer):
        np.testing.assert_array_equal(twin.forward(x, training=True), expected)


def test_only_dropout_and_batch_norm_heed_training(case):
    x = case.batch()
    same = np.array_equal(case.fresh().forward(x, training=True), case.fresh().forward(x))
    heedful = [
        layer
        for _, layer in every_layer({"": case.layer})
        if isinstance(layer, BatchNorm2d) or (isinstance(layer, Dropout) and layer.p > 0)
    ]
    assert same is not bool(heedful)


def test_seed_repeats_to_the_bit(case):
    x = case.batch()
    first, second = case.fresh(), case.fresh()
    out = first.forward(x, training=True)
    np.testing.assert_array_equal(second.forward(x, training=True), out)
    np.testing.assert_array_equal(
        second.backward(np.ones_like(out)), first.backward(np.ones_like(out))
    )


def test_backward_needs_a_forward(case):
    layer = case.fresh()
    grad = np.ones((2, *case.output_shape))
    with pytest.raises(RuntimeError, match=f"{type(layer).__name__}.backward needs a forward"):
        layer.backward(grad)
    layer.forward(case.batch())
    layer.clear()
    with pytest.raises(RuntimeError, match="needs a forward"):
        layer.backward(grad)


def test_empty_batch(case):
    layer = case.fresh()
    out = layer.forward(np.empty((0, *case.input_shape)), training=True)
    assert out.shape == (0, *case.output_shape)
    assert layer.backward(out).shape == (0, *case.input_shape)
    assert not any(array.any() for array in layer.grads.values())


# What only some layers do


@pytest.mark.parametrize(
    "layer", [Conv2d(2, 3, 3), ConvTranspose2d(2, 3, 3), Linear(4, 3)], ids=repr
)
def test_input_gradient_can_be_left_out(layer):
    case = next(c for c in CASES if type(c.layer) is type(layer))
    full, frugal = case.fresh(), case.fresh()
    frugal.needs_input_grad = False
    grad = np.ones_like(full.forward(case.batch()))
    frugal.forward(case.batch())
    full.backward(grad)
    assert frugal.backward(grad) is None
    for key, expected in full.grads.items():
        np.testing.assert_array_equal(frugal.grads[key], expected)


def test_dropout_drops_a_part_and_keeps_the_mean():
    p, size = 0.3, 100_000
    layer = Dropout(p)
    out = layer.forward(np.ones((1, size), np.float32), training=True)
    kept = np.count_nonzero(out)
    # The count is binomial: five standard deviations leave one failure in two million seeds, and
    # the seed is fixed.
    assert abs(kept - (1 - p) * size) < 5 * math.sqrt(p * (1 - p) * size)
    np.testing.assert_allclose(out[out != 0], 1 / (1 - p), rtol=np.finfo(np.float32).eps)
    np.testing.assert_array_equal(layer.backward(np.ones_like(out)), out)


def test_dropout_in_inference_passes_everything():
    layer, x = Dropout(0.9), np.ones((2, 5), np.float32)
    assert layer.forward(x) is x
    np.testing.assert_array_equal(layer.backward(x), x)


SIZES = st.integers(1, 4)
INT_OR_PAIR = st.one_of(SIZES, st.tuples(SIZES, SIZES))
BORDER = st.integers(0, 3)
PADDING = st.one_of(
    st.sampled_from(["same", "valid"]),
    BORDER,
    st.tuples(BORDER, BORDER),
    st.tuples(st.tuples(BORDER, BORDER), st.tuples(BORDER, BORDER)),
)


def agrees_with_forward(layer, image):
    """`output_shape` is the shape of the output, or the layer refuses both."""
    x = np.ones((1, *image), np.float32)
    try:
        told = layer.output_shape(image)
    except ValueError:
        with pytest.raises(ValueError, match=r"kernel|window"):
            layer.forward(x)
        return
    assert layer.forward(x).shape[1:] == told


@given(INT_OR_PAIR, INT_OR_PAIR, PADDING, INT_OR_PAIR, st.integers(1, 9), st.integers(1, 9))
def test_output_shape_of_any_convolution(kernel, stride, padding, dilation, height, width):
    agrees_with_forward(Conv2d(2, 1, kernel, stride, padding, dilation), (2, height, width))


@pytest.mark.parametrize("cls", [MaxPool2d, AvgPool2d])
@given(
    kernel=st.tuples(st.integers(4, 5), st.integers(4, 5)),  # more than any padding
    stride=st.one_of(st.none(), INT_OR_PAIR),
    padding=PADDING,
    ceil_mode=st.booleans(),
    height=st.integers(5, 12),
    width=st.integers(5, 12),
)
def test_output_shape_of_any_pooling(cls, kernel, stride, padding, ceil_mode, height, width):
    layer = cls(kernel, stride, padding, ceil_mode)
    agrees_with_forward(layer, (2, height, width))


def test_multiply_adds_are_the_terms_of_the_sums():
    assert Conv2d(4, 6, 3, groups=2, padding=1).multiply_adds((4, 4, 5)) == 6 * 4 * 5 * 2 * 9
    up = ConvTranspose2d(4, 6, 3, stride=2, groups=2)
    assert up.multiply_adds((4, 4, 5)) == 4 * 4 * 5 * 3 * 9
    assert Linear(7, 4).multiply_adds((7,)) == 28
    assert ReLU().multiply_adds((3, 4, 5)) == 0


def test_settings_may_be_lists_and_numpy_integers():
    layer = Conv2d(2, 3, [np.int64(3), 2], stride=[2, 1], padding=[[0, 1], [1, 0]])
    assert layer.weight.shape == (3, 2, 3, 2)
    assert layer.output_shape((2, 6, 5)) == (3, 3, 5)
    assert layer.config()["kernel_size"] == (3, 2)
    json.dumps(layer.config())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv2d(0, 3, 3), "in_channels is 0, but must be at least 1"),
        (lambda: Conv2d(2, 3, 0), "kernel_size is 0, but must be at least 1"),
        (
            lambda: Conv2d(2, 3, (3, 3, 3)),
            r"kernel_size is \(3, 3, 3\), but must be an int or",
        ),
        (lambda: Conv2d(2, 3, 3, stride=(1, 0)), "stride is 0"),
        (lambda: Conv2d(2, 3, 3, padding=-1), "padding is -1, but must be at least 0"),
        (lambda: Conv2d(2, 3, 3, padding="full"), "padding is 'full', but a name must be \"same\""),
        (lambda: Conv2d(2, 3, 3, padding=((0, 1), (2, -1))), "padding is -1"),
        (lambda: Conv2d(2, 3, 3, padding=((0, 1), 2)), r"padding is \(\(0, 1\), 2\)"),
        (lambda: Conv2d(2, 3, 3, padding=((0, 1), (2, 3), (4, 5))), "padding is "),
        (lambda: Conv2d(2, 3, 3, padding=((0, 1, 2), (2, 3, 4))), r"padding is \(\(0, 1, 2\), "),
        (lambda: Conv2d(4, 6, 3, groups=3), "groups is 3, but must divide in_channels"),
        (lambda: Conv2d(2, 3, 3, init="glorot"), "init is 'glorot', but must be"),
        (lambda: ConvTranspose2d(4, 6, 3, groups=3), "groups is 3, but must divide in_channels"),
        (
            lambda: ConvTranspose2d(4, 6, 3, stride=2, output_padding=(1, 2)),
            r"output_padding is \(1, 2\), but must be smaller than the stride \(2, 2\) or the d",
        ),
        (
            lambda: ConvTranspose2d(2, 3, 2, padding=2).output_shape((2, 4, 2)),
            r"padding is 2, which leaves \(1, -1\) of the output",
        ),
        (lambda: ConvTranspose2d(2, 3, 3).output_shape((3, 6, 6)), "takes 2 channels, but gets 3"),
        (lambda: Linear(7, 4, init=-0.1), "init is -0.1"),
        (lambda: Linear(7, -4), "out_features is -4"),
        (lambda: MaxPool2d(2, stride=0), "stride is 0"),
        (lambda: MaxPool2d(2, padding=2), r"padding is 2, but must be smaller than kernel_size"),
        (lambda: AvgPool2d((3, 2), padding=((0, 0), (0, 2))), r"smaller than kernel_size \(3, 2\)"),
        (lambda: Upsample(0), "scale_factor is 0, but must be finite and greater than 0"),
        (lambda: Upsample((1, 2, 3)), r"scale_factor is \(1, 2, 3\), but must be a number or"),
        (lambda: Upsample(2, "cubic"), "mode is 'cubic', but must be one of"),
        (lambda: Upsample(2, align_corners=True), "align_corners is True, but mode is"),
        (lambda: Upsample((1, 0.2)).output_shape((3, 4, 4)), r"scale_factor is .* leaves \(4, 0\)"),
        (lambda: GroupNorm(3, 4), "groups is 3, but must divide the 4 channels"),
        (lambda: GroupNorm(2, 4, eps=-1), "eps is -1"),
        (lambda: GroupNorm(2, 4).output_shape((6, 2, 2)), "takes 4 channels, but gets 6"),
        (lambda: Reshape((2, 0)), "shape is 0, but must be at least 1"),
        (lambda: Reshape((5, 2)).output_shape((3, 4)), r"takes samples of 10 numbers, but gets"),
        (lambda: Permute((1, 2)), r"axes is \(1, 2\), but must have each of 0 to n - 1 once"),
        (lambda: Permute((1, 0)).output_shape((3, 4, 5)), "takes 2 axes"),
        (lambda: Slice(2, 2), "stop is 2, but must be at least 3"),
        (lambda: Slice(-1, 2), "start is -1"),
        (lambda: Slice(0, 2, axis=0), "axis is 0"),
        (lambda: Slice(0, 5).output_shape((4, 9, 9)), "takes more places than an input"),
        (lambda: Slice(0, 2, axis=3).output_shape((4, 9)), "takes more places than an input"),
        (lambda: Clip(1, -1), "low is 1 and high is -1"),
        (lambda: Clip(math.nan), "low is nan"),
        (lambda: ScaleShift(math.inf), "scale is inf"),
        (lambda: ZeroPad2d("same"), "padding is 'same', but must be an int"),
        (lambda: ZeroPad2d((1, 1, 2, 2)), r"padding is \(1, 1, 2, 2\)"),
        (
            lambda: ZeroPad2d((-2, 0)).output_shape((3, 4, 5)),
            r"padding is \(-2, 0\), which leaves \(0, 5\) of an image \(4, 5\)",
        ),
        (
            lambda: ZeroPad2d(((-8, 9), (0, 0))).output_shape((3, 7, 4)),
            r"padding is \(\(-8, 9\), \(0, 0\)\), which cuts",
        ),
        (lambda: ChannelShuffle(0), "groups is 0, but must be at least 1"),
        (
            lambda: ChannelShuffle(4).output_shape((6, 2, 3)),
            "groups is 4, but must divide the 6 channels",
        ),
        (
            lambda: Normalize((), ()),
            r"mean is \(\), but must be a sequence of a number per channel",
        ),
        (lambda: Normalize(0.5, 0.5), "mean is 0.5, but must be a sequence"),
        (lambda: Normalize((0, 1), (1,)), "std has 1 numbers, but mean has 2"),
        (
            lambda: Normalize((0, 1), (1, 0)),
            r"std is \(1, 0\), but its numbers must be finite and g",
        ),
        (
            lambda: Normalize((math.inf,), (1,)),
            r"mean is \(inf,\), but its numbers must be finite$",
        ),
        (lambda: Normalize((math.nan,), (1,)), "mean is nan"),
        (lambda: Normalize((0,), (1,)).output_shape((3, 4, 5)), "takes 1 channels, but gets 3"),
        (lambda: Dropout(1.0), "p is 1.0, but must be a probability"),
        (lambda: Dropout(math.nan), "p is nan"),
        (lambda: LeakyReLU(-0.1), "negative_slope is -0.1, but must lie in 0 to"),
        (lambda: ELU(math.inf), "alpha is inf, but must lie in 0 to"),
        (lambda: PReLU(0), "channels is 0, but must be at least 1"),
        (lambda: PReLU(3).output_shape((4, 5, 5)), r"PReLU\(.*3\) takes 3 channels, but gets"),
        (lambda: GELU("erf"), 'approximate is \'erf\', but must be "none" or "tanh"'),
        (lambda: Conv2d(2, 3, 3).output_shape((3, 6, 6)), "takes 2 channels, but gets 3"),
        (
            lambda: Conv2d(2, 3, 3).output_shape((60,)),
            r"takes inputs \(C, H, W\), but gets \(60,\)",
        ),
        (lambda: Conv2d(2, 3, 5).output_shape((2, 4, 9)), r"\(5, 5\) .* but x with padding has 4"),
        (
            lambda: Conv2d(2, 3, 3, dilation=4).output_shape((2, 9, 8)),
            r"spans 9 along axis 3, but x with padding has 8",
        ),
        (lambda: MaxPool2d(3).output_shape((2, 2, 2)), "x with padding has 2"),
        *(
            (lambda layer=layer: layer.output_shape((3, 2**70, 5)), "input_shape .* any memory$")
            for layer in (Conv2d(3, 4, 1), MaxPool2d(1), AvgPool2d(1))
        ),
        (lambda: Linear(7, 4).output_shape((8,)), r"takes inputs \(7,\), but gets \(8,\)$"),
        (lambda: Linear(7, 4).output_shape((7, 1, 1)), r"gets \(7, 1, 1\); a Flatten"),
    ],
)
def test_wrong_settings_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv2d(2, 3.0, 3), "out_channels is 3.0, but must be an int"),
        (lambda: Conv2d(2, 3, 3, dilation="1"), "dilation is '1'"),
        (lambda: Conv2d(2, 3, (3, 1.5)), "kernel_size is 1.5"),
        (lambda: Conv2d(2, 3, 3, padding=0.5), "padding is 0.5"),
        (lambda: Conv2d(2, 3, 3, padding=((0, 1), (None, 1))), "padding is None"),
        (lambda: ConvTranspose2d(2, 3, 2, output_padding=0.5), "output_padding is 0.5"),
        (lambda: MaxPool2d(None), "kernel_size is None"),
        (lambda: AvgPool2d("2"), "kernel_size is '2'"),
        (lambda: Linear("7", 4), "in_features is '7'"),
        (lambda: Linear(7, 4, init=None), "init is None"),
        (lambda: Upsample("2"), "scale_factor is '2', but must be a number"),
        (lambda: GroupNorm(2, 4.0), "channels is 4.0"),
        (lambda: ZeroPad2d(1.5), "padding is 1.5"),
        (lambda: ChannelShuffle("2"), "groups is '2'"),
        (lambda: Normalize(("0.5",), (1,)), "mean is '0.5', but must be a number"),
        (lambda: Normalize((0, [1]), (1, 1)), r"mean is \[1\], but must be a number"),
        (lambda: Dropout("0.5"), "p is '0.5'"),
        (lambda: LeakyReLU("0.5"), "negative_slope is '0.5'"),
        (lambda: PReLU(1.5), "channels is 1.5, but must be an int"),
        (lambda: Softmax(axis=1.5), "axis is 1.5"),
    ],
)
def test_settings_of_the_wrong_kind_are_refused_by_name(make, message):
    with pytest.raises(TypeError, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "x", "message"),
    [
        (Conv2d(2, 3, 3), np.ones((1, 3, 6, 6)), "x has 3 channels"),
        (Conv2d(2, 3, 3), np.ones((2, 6, 6)), "x "),
        (ConvTranspose2d(2, 3, 3), np.ones((1, 3, 6, 6)), "x has 3 channels"),
        (Linear(7, 4), np.ones((2, 8)), "x "),
        (MaxPool2d(2), np.ones((4, 4)), "x "),
        (GlobalMaxPool2d(), np.ones((4, 4)), "x "),
        (Upsample(2), np.ones((4, 4)), "x "),
        (GroupNorm(2, 4), np.ones((1, 6, 2, 2)), "gamma has shape"),
        (ZeroPad2d(1), np.ones((4, 4)), "x "),
        (ZeroPad2d(-2), np.ones((1, 2, 6, 4)), "padding is -2, which leaves"),
        (ChannelShuffle(3), np.ones((1, 4, 2, 2)), "groups is 3"),
        (Normalize((0, 0), (1, 1)), np.ones((1, 3, 2, 2)), "x has 3 channels, but mean has 2"),
        (PReLU(3), np.ones((2, 4)), r"weight has shape \(3,\), but x of shape \(2, 4\)"),
    ],
    ids=repr,
)
def test_wrong_arrays_are_refused_by_name(layer, x, message):
    with pytest.raises(ValueError, match=message):
        layer.forward(x)
