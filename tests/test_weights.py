"""Weights of others: found by name, turned to our layout, and all written or none."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
from torch_pickles import entries, pickled, storage, tensor, zipped

FILES = Path(__file__).parent / "torch_files"
rng = np.random.default_rng(0)


def small(seed: int = 0, dtype: str = "float32") -> pc.ConvNet:
    return pc.ConvNet(
        [
            ("conv", pc.Conv2d(1, 2, 3)),
            ("bn", pc.BatchNorm2d(2)),
            ("flatten", pc.Flatten()),
            ("fc", pc.Linear(8, 3)),
        ],
        (1, 4, 4),
        seed=seed,
        dtype=dtype,
    )


def state(net: pc.ConvNet) -> dict[str, np.ndarray]:
    return {**net.params, **net.buffers}


def copied(net: pc.ConvNet) -> dict[str, np.ndarray]:
    return {name: array.copy() for name, array in state(net).items()}


def drawn(net: pc.ConvNet) -> dict[str, np.ndarray]:
    """Other numbers for each array of a network."""
    return {name: rng.standard_normal(a.shape).astype(np.float32) for name, a in state(net).items()}


def require_equal(net: pc.ConvNet, expected: Mapping[str, np.ndarray]) -> None:
    assert state(net).keys() == expected.keys()
    for name, array in state(net).items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


def renamed(weights: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """With the beginning of each name changed."""
    changed = {}
    for name, array in weights.items():
        layer = next(it for it in names if name.startswith(f"{it}."))
        changed[names[layer] + name.removeprefix(layer)] = array
    return changed


def test_arrays_by_our_names_are_written_in_place() -> None:
    net = small()
    before, weights = state(net), drawn(net)
    report = pc.load_weights(net, weights)
    assert sorted(report.loaded) == sorted(weights)
    assert report.missing == report.unexpected == report.misshapen == []
    assert str(report) == "loaded 8"
    require_equal(net, weights)
    assert all(array is before[name] for name, array in state(net).items())


def test_the_dtype_of_the_network_is_kept() -> None:
    net = small(dtype="float64")
    weights: dict[str, Any] = {name: a.astype("float16") for name, a in drawn(net).items()}
    weights["fc.bias"] = [1, 2, 3]
    weights["bn.weight"] = np.array([1, 2], ">i4")
    pc.load_weights(net, weights)
    assert {array.dtype.name for array in state(net).values()} == {"float64"}
    require_equal(net, {name: np.asarray(a, np.float64) for name, a in weights.items()})


def test_strict_loading_lists_what_does_not_fit_and_changes_nothing() -> None:
    net = small()
    before = copied(net)
    weights = drawn(net)
    del weights["bn.bias"]
    weights["fc.weight"] = np.zeros((4, 8))
    weights["extra"] = np.zeros(1)
    wanted = re.escape(
        "the weights do not fit the network (loaded 6; missing 1: bn.bias; unexpected 1: extra; "
        "misshapen 1: fc.weight (4, 8) instead of (3, 8)); strict=False loads what fits"
    )
    with pytest.raises(ValueError, match=wanted):
        pc.load_weights(net, weights)
    require_equal(net, before)
    with pytest.raises(ValueError, match=wanted):
        pc.load_torch_state(net, weights)
    report = pc.load_weights(net, weights, strict=False)
    assert (report.missing, report.unexpected) == (["bn.bias"], ["extra"])
    assert report.misshapen == ["fc.weight"]
    assert report.shapes == {"fc.weight": ((4, 8), (3, 8))}
    assert repr(report).startswith("WeightsReport(loaded 6; missing 1: bn.bias;")
    weights.update({"bn.bias": before["bn.bias"], "fc.weight": before["fc.weight"]})
    del weights["extra"]
    require_equal(net, weights)


def test_long_lists_are_cut() -> None:
    many = {f"x{k}": np.zeros(1) for k in range(50)}
    with pytest.raises(ValueError, match=r"unexpected 50: x0, x1, .*, x9 and 40 more"):
        pc.load_weights(small(), many)
    assert pc.load_weights(small(), {}, strict=False).loaded == []


@pytest.mark.parametrize(
    ("names", "rest"),
    [
        ({"conv": "module.conv", "bn": "module.bn", "fc": "module.fc"}, {}),
        ({"conv": "0", "bn": "1", "fc": "3"}, {"1.num_batches_tracked": np.array(3)}),
        ({"conv": "m._orig_mod.0", "bn": "m._orig_mod.1", "fc": "m._orig_mod.3"}, {}),
        ({"conv": "features.0", "bn": "features.1", "fc": "classifier.0"}, {}),
        ({"conv": "net.body.0", "bn": "net.body.1", "fc": "net.head.0"}, {}),
        ({"conv": "body.0", "bn": "body.1", "fc": "head.1"}, {}),
        ({"conv": "body.0", "bn": "body.1", "fc": "fc"}, {}),
        ({"conv": "layers.0", "bn": "layers.1", "fc": "layers.3"}, {}),
        ({"conv": "_conv", "bn": "_bn", "fc": "_fc"}, {}),
        ({"conv": "module._conv", "bn": "module._bn", "fc": "module.__fc"}, {}),
    ],
)  # fmt: skip
def test_names_of_other_libraries(names: dict[str, str], rest: dict[str, Any]) -> None:
    net = small()
    weights = drawn(net)
    report = pc.load_weights(net, {**renamed(weights, names), **rest})
    assert len(report.loaded) == 8
    require_equal(net, weights)


def test_dots_of_other_libraries_are_our_underscores() -> None:
    net = pc.ConvNet([("flatten", pc.Flatten()), ("head_0", pc.Linear(4, 2))], (1, 2, 2))
    report = pc.load_weights(net, {"head.0.weight": np.ones((2, 4)), "head.0.bias": np.zeros(2)})
    assert report.loaded == ["head_0.weight", "head_0.bias"]


def test_underscores_of_private_modules_may_tell_layers_apart() -> None:
    layers = [("flatten", pc.Flatten()), ("_a", pc.Linear(4, 4)), ("a", pc.Linear(4, 2))]
    net = pc.ConvNet(layers, (1, 2, 2))
    weights = drawn(net)
    pc.load_weights(net, {f"module.{name}": array for name, array in weights.items()})
    require_equal(net, weights)


def test_places_mean_nothing_in_another_structure() -> None:
    """torchvision's features.0 is a convolution, as is the first layer of many a network."""
    net = small()
    weights = {"features.0.weight": np.ones((2, 1, 3, 3)), "features.5.weight": np.ones((2, 2))}
    report = pc.load_weights(net, weights, strict=False)
    assert report.loaded == []
    assert report.unexpected == list(weights)


def torchvision_resnet(net: pc.ConvNet) -> dict[str, str]:
    """torchvision's name of each array of pc.models.resnet18, written out by its own rules."""
    names = {}
    for name in state(net):
        other = re.sub(r"^layer(\d)_(\d)\.body\.", r"layer\1.\2.", name)
        other = re.sub(r"^layer(\d)_(\d)\.shortcut\.conv\.", r"layer\1.\2.downsample.0.", other)
        names[name] = re.sub(r"^layer(\d)_(\d)\.shortcut\.bn\.", r"layer\1.\2.downsample.1.", other)
    return names


def test_names_of_torchvision() -> None:
    net = pc.models.resnet18(5, input_shape=(3, 32, 32))
    weights, names = drawn(net), torchvision_resnet(net)
    foreign = {names[name]: array for name, array in weights.items()}
    assert foreign["layer2.0.downsample.0.weight"].shape == (128, 64, 1, 1)
    foreign["bn1.num_batches_tracked"] = np.array(5)
    pc.load_weights(net, foreign)
    require_equal(net, weights)
    # Another head, as for other classes: the rest is loaded.
    other = pc.models.resnet18(7, input_shape=(3, 32, 32))
    report = pc.load_weights(other, foreign, strict=False)
    assert report.misshapen == ["fc.weight", "fc.bias"]
    assert len(report.loaded) == len(weights) - 2


def test_names_of_torchvision_vgg16() -> None:
    net = pc.models.vgg16(2, input_shape=(3, 32, 32), seed=None)
    places = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    convs = [name for name in net.layers if name.startswith("conv")]
    names = {name: f"features.{place}" for name, place in zip(convs, places, strict=True)}
    names |= {"fc1": "classifier.0", "fc2": "classifier.3", "fc3": "classifier.6"}
    weights = {
        name: np.broadcast_to(np.float32(k), array.shape)
        for k, (name, array) in enumerate(net.params.items())
    }
    pc.load_weights(net, renamed(weights, names))
    assert all(net.params[name].flat[-1] == array.flat[-1] for name, array in weights.items())


def test_rename_by_a_mapping_or_a_function() -> None:
    net = small()
    weights = drawn(net)
    foreign = renamed(weights, {"conv": "c", "bn": "bn", "fc": "head"})
    foreign["epoch.count"] = np.zeros(1)
    table = {"c.weight": "conv.weight", "c.bias": "conv.bias", "epoch.count": None}
    table |= {"head.weight": "fc.weight", "head.bias": "fc.bias"}
    pc.load_weights(net, foreign, rename=table)
    require_equal(net, weights)
    short = {"c": "conv", "bn": "bn", "head": "fc"}

    def rename(name: str) -> str | None:
        layer, _, key = name.partition(".")
        return f"{short[layer]}.{key}" if layer in short else None

    again = small(1)
    pc.load_torch_state(again, foreign, rename=rename)
    require_equal(again, weights)
    with pytest.raises(TypeError, match=r"rename makes 3 of 'c\.weight', but must make a str"):
        pc.load_weights(net, foreign, rename=lambda _: 3)  # type: ignore[arg-type, return-value]
    with pytest.raises(
        ValueError, match=r"tensors conv\.weight and c\.weight are both for conv\.w"
    ):
        pc.load_weights(net, {**weights, **foreign}, rename=table)


def test_renamed_layers_of_a_network_with_torchvisions_names() -> None:
    """Names that a mapping lacks are understood as ever."""
    net = small()
    weights = drawn(net)
    foreign = renamed(weights, {"conv": "module.conv", "bn": "module.bn", "fc": "module.head"})
    table = {f"module.head.{key}": f"fc.{key}" for key in ("weight", "bias")}
    pc.load_weights(net, foreign, rename=table)
    require_equal(net, weights)


def test_nested_mappings() -> None:
    net = small()
    weights = drawn(net)
    nested: dict[str, Any] = {}
    for name, array in weights.items():
        layer, key = name.split(".")
        nested.setdefault(layer, {})[key] = array
    pc.load_weights(net, nested)
    require_equal(net, weights)
    pc.load_weights(net, {"epoch": 3, "state_dict": drawn(net), "lr": 0.1})
    pc.load_weights(net, {"model": weights, "optimizer": {"state": {0: {"m": np.ones(3)}}}})
    require_equal(net, weights)


# Files


@pytest.mark.parametrize("kind", ["zip", "legacy"])
def test_files_of_pytorch(kind: str) -> None:
    net = small()
    pc.load_torch_state(net, FILES / f"checkpoint_{kind}.pt")
    for name, array in state(net).items():
        expected = np.arange(array.size).reshape(array.shape)
        np.testing.assert_array_equal(array, expected, err_msg=name)


def test_files_of_safetensors(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    net = small()
    weights = drawn(net)
    foreign = renamed(weights, {"conv": "0", "bn": "1", "fc": "3"})
    save_file(foreign, tmp_path / "w.safetensors")
    pc.load_weights(net, tmp_path / "w.safetensors")
    require_equal(net, weights)
    other = small(1)
    other.save(tmp_path / "model.safetensors")
    pc.load_weights(net, str(tmp_path / "model.safetensors"))
    require_equal(net, state(other))


def test_a_safetensors_file_that_begins_as_a_pickle(tmp_path: Path) -> None:
    net = pc.ConvNet([("fc", pc.Linear(1, 1, bias=False))], (1,))
    header = json.dumps({"fc.weight": {"dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4]}})
    text = header.ljust(0x280).encode()
    content = len(text).to_bytes(8, "little") + text + np.float32(2.5).tobytes()
    assert content.startswith(b"\x80\x02")
    (tmp_path / "w").write_bytes(content)
    pc.load_weights(net, tmp_path / "w")
    assert net.params["fc.weight"].item() == 2.5


def test_bfloat16_is_float32_exactly(tmp_path: Path) -> None:
    net = pc.ConvNet([("fc", pc.Linear(3, 2, bias=False))], (3,))
    wide = (rng.integers(0, 2**15, 6).astype(np.uint32) << 16).view(np.float32).reshape(2, 3)
    wide[0, 0] = np.inf
    bits = (wide.view(np.uint32) >> 16).astype("<u2").tobytes()
    entry = {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}
    text = json.dumps({"fc.weight": entry}).encode()
    (tmp_path / "w").write_bytes(len(text).to_bytes(8, "little") + text + bits)
    pc.load_weights(net, tmp_path / "w")
    np.testing.assert_array_equal(net.params["fc.weight"], wide)
    of_torch = entries({"fc.weight": tensor(storage(kind="BFloat16Storage"))})
    (tmp_path / "w").write_bytes(zipped(pickled(of_torch), {"data/0": bits}))
    pc.load_weights(net, {"fc.weight": np.zeros((2, 3))})
    pc.load_weights(net, tmp_path / "w")
    np.testing.assert_array_equal(net.params["fc.weight"], wide)
    with pytest.raises(ValueError, match=r"tensor fc\.weight has numbers that are not finite"):
        pc.load_weights(net, tmp_path / "w", check_finite=True)


def test_files_of_other_kinds(tmp_path: Path) -> None:
    net = small()
    before = copied(net)
    (tmp_path / "w.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(ValueError, match=r"w\.h5 is not a whole \.safetensors file"):
        pc.load_weights(net, tmp_path / "w.h5")
    with pytest.raises(ValueError, match=r"module\.pt is no file of tensors: it asks for torch"):
        pc.load_weights(net, FILES / "module.pt")
    with pytest.raises(ValueError, match=r"tensors_zip\.pt does not fit the network"):
        pc.load_weights(net, FILES / "tensors_zip.pt")
    with pytest.raises(FileNotFoundError):
        pc.load_weights(net, tmp_path / "no.pt")
    with pytest.raises(TypeError, match="path_or_dict is a Linear, but must be a path or a map"):
        pc.load_weights(net, pc.Linear(1, 1))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="path_or_dict is no mapping of names to arrays"):
        pc.load_weights(net, {"epoch": 3})
    require_equal(net, before)


# Layouts


def mixed() -> pc.ConvNet:
    """A network whose weights Keras and MLX would keep otherwise."""
    return pc.ConvNet(
        [
            ("conv", pc.Conv2d(3, 8, (3, 5), padding="same")),
            ("depth", pc.Conv2d(8, 16, 3, groups=8, bias=False)),
            ("grouped", pc.Conv2d(16, 8, 3, groups=2)),
            ("bn", pc.BatchNorm2d(8)),
            ("up", pc.ConvTranspose2d(8, 5, (3, 1), padding=(1, 0))),
            ("down", pc.ConvTranspose2d(5, 8, 1)),
            ("square", pc.Conv2d(8, 8, 1)),
            ("flatten", pc.Flatten()),
            ("drop", pc.Dropout(0.1)),
            ("fc1", pc.Linear(8 * 2 * 4, 6)),
            ("fc2", pc.Linear(6, 6)),
        ],
        (3, 6, 8),
    )


KERAS = {
    "weight": "kernel", "bias": "bias", "running_mean": "moving_mean",
    "running_var": "moving_variance",
}  # fmt: skip


def as_keras(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights as Keras has them: axes and names, and a linear layer's rows by pixel."""
    made = {}
    for name, array in weights.items():
        layer, key = name.split(".")
        if name == "depth.weight":
            array = array.reshape(8, 2, 3, 3).transpose(2, 3, 0, 1)
        elif array.ndim == 4:
            array = array.transpose(2, 3, 1, 0)
        elif name == "fc1.weight":
            array = array.reshape(6, 8, 2, 4).transpose(2, 3, 1, 0).reshape(-1, 6)
        elif array.ndim == 2:
            array = array.T
        word = {"weight": "gamma", "bias": "beta"}.get(key) if layer == "bn" else None
        word = word or ("depthwise_kernel" if layer == "depth" else KERAS[key])
        made[f"sequential/{layer}/{word}"] = array
    return made


def as_mlx(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights as MLX has them."""
    made = {}
    for name, array in weights.items():
        if name in ("up.weight", "down.weight"):
            array = array.transpose(1, 2, 3, 0)
        elif array.ndim == 4:
            array = array.transpose(0, 2, 3, 1)
        elif name == "fc1.weight":
            array = array.reshape(6, 8, 2, 4).transpose(0, 2, 3, 1).reshape(6, -1)
        made[name] = array
    return made


@pytest.mark.parametrize("convert", [as_keras, as_mlx])
def test_layouts_of_keras_and_mlx(convert: Any) -> None:
    net = mixed()
    weights = drawn(net)
    foreign = convert(weights)
    foreign["sequential/drop/seed_generator/seed_generator_state"] = np.zeros(2, np.uint32)
    if convert is as_mlx:
        del foreign["sequential/drop/seed_generator/seed_generator_state"]
    report = pc.load_weights(net, foreign, layout="NHWC")
    assert report.unexpected == []
    require_equal(net, weights)


def test_a_network_of_keras_computes_the_same() -> None:
    """By the definition of its layers, with images (N, H, W, C)."""
    net = pc.ConvNet(
        [
            ("conv", pc.Conv2d(3, 4, 3)),
            ("depth", pc.Conv2d(4, 8, 2, groups=4)),
            ("flatten", pc.Flatten()),
            ("fc", pc.Linear(8 * 2 * 3, 5)),
        ],
        (3, 5, 6),
    )
    shapes = {"conv/kernel": (3, 3, 3, 4), "conv/bias": (4,), "depth/kernel": (2, 2, 4, 2)}
    shapes |= {"depth/bias": (8,), "fc/kernel": (48, 5), "fc/bias": (5,)}
    w = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    pc.load_weights(net, w, layout="NHWC")
    x = rng.standard_normal((2, 5, 6, 3))

    def windows(a: np.ndarray, size: int) -> np.ndarray:
        return np.lib.stride_tricks.sliding_window_view(a, (size, size), axis=(1, 2))

    y = np.einsum("nijcuv,uvcf->nijf", windows(x, 3), w["conv/kernel"]) + w["conv/bias"]
    y = np.einsum("nijcuv,uvcm->nijcm", windows(y, 2), w["depth/kernel"]).reshape(2, 2, 3, 8)
    y = (y + w["depth/bias"]).reshape(2, -1) @ w["fc/kernel"] + w["fc/bias"]
    np.testing.assert_allclose(net.predict(x.transpose(0, 3, 1, 2)), y, rtol=1e-4, atol=1e-4)


def test_what_could_be_of_either_library_is_refused() -> None:
    net = pc.ConvNet([("fc", pc.Linear(3, 3, bias=False))], (3,))
    weight = np.arange(9.0).reshape(3, 3)
    with pytest.raises(ValueError, match=r"weight fc\.weight of shape \(3, 3\) could be Keras' or"):
        pc.load_weights(net, {"fc.weight": weight}, layout="NHWC")
    pc.load_weights(net, {"fc/kernel": weight}, layout="NHWC")
    assert net.params["fc.weight"].tolist() == weight.T.tolist()
    pc.load_weights(net, {"fc.weight": weight})
    assert net.params["fc.weight"].tolist() == weight.tolist()


def test_other_layouts_are_refused() -> None:
    net = small()
    with pytest.raises(ValueError, match=re.escape("layout is 'HWCN', but must be \"NCHW\" or")):
        pc.load_weights(net, drawn(net), layout="HWCN")  # type: ignore[arg-type]
    report = pc.load_weights(net, {"conv.weight": np.zeros((2, 1, 3, 3))}, False, "NHWC")
    assert report.shapes == {"conv.weight": ((2, 1, 3, 3), (3, 3, 1, 2))}


# Arrays of others


class ByDLPack:
    """An array that is nothing else."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()


class ByArray:
    """Gives its memory away, as tensors do."""

    requires_grad = False

    def __init__(self, array: np.ndarray) -> None:
        self._array = array
        self.shape = array.shape

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self._array


@pytest.mark.parametrize("wrap", [ByDLPack, ByArray])
def test_arrays_of_others_are_read_in_place(wrap: Any) -> None:
    net = small()
    weights = drawn(net)
    pc.load_weights(net, {name: wrap(array) for name, array in weights.items()})
    require_equal(net, weights)


def test_arrays_of_the_array_api() -> None:
    xp = pytest.importorskip("array_api_strict")
    net = small()
    weights = drawn(net)
    pc.load_weights(net, {name: xp.asarray(array) for name, array in weights.items()})
    require_equal(net, weights)


def test_a_tensor_that_asks_for_gradients() -> None:
    net = small()
    before = copied(net)
    weights: dict[str, Any] = drawn(net)
    weights["fc.bias"] = ByArray(weights["fc.bias"])
    weights["fc.bias"].requires_grad = True
    with pytest.raises(ValueError, match=r"tensor fc\.bias requires gradients: use module"):
        pc.load_weights(net, weights)
    require_equal(net, before)


class Elsewhere:
    """An array on another device."""

    shape = (3,)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (Elsewhere(), ValueError, r"tensor fc\.bias cannot be read as an array: can't"),
        (np.zeros(3, complex), TypeError, r"tensor fc\.bias has dtype complex128"),
        (np.array(["a", "b", "c"]), TypeError, r"tensor fc\.bias has dtype <U1"),
        (np.array([None] * 3), TypeError, r"tensor fc\.bias has dtype object"),
        ([[1], [1, 2]], ValueError, r"tensor fc\.bias cannot be read as an array"),
    ],
)  # fmt: skip
def test_what_is_no_array_of_numbers(value: Any, error: type[Exception], message: str) -> None:
    net = small()
    before = copied(net)
    with pytest.raises(error, match=message):
        pc.load_weights(net, {**drawn(net), "fc.bias": value})
    require_equal(net, before)


def test_numbers_that_are_not_finite() -> None:
    net = small()
    before, weights = copied(net), drawn(net)
    weights["fc.weight"][1, 2] = np.nan
    with pytest.raises(ValueError, match=r"tensor fc\.weight has numbers that are not finite"):
        pc.load_weights(net, weights, check_finite=True)
    require_equal(net, before)
    pc.load_weights(net, weights)
    require_equal(net, weights)
    large = {**weights, "fc.weight": np.full((3, 8), 1e300)}
    with pytest.raises(ValueError, match=r"tensor fc\.weight has numbers that are not finite"):
        pc.load_weights(net, large, check_finite=True)
    require_equal(net, weights)
    pc.load_weights(net, large)
    assert np.isinf(net.params["fc.weight"]).all()


# The network


def test_the_network_predicts_and_trains_with_them() -> None:
    net, other = small(0), small(1)
    x, t = rng.standard_normal((4, 1, 4, 4)), np.array([0, 1, 2, 0])
    net.value_and_gradient(x, t)
    pc.load_weights(net, copied(other))
    np.testing.assert_array_equal(net.predict(x), other.predict(x))
    (loss, grads), (expected, others) = (it.value_and_gradient(x, t) for it in (net, other))
    assert loss == expected
    assert all(np.array_equal(grads[name], others[name]) for name in grads)


def test_weights_that_nobody_has_looked_at_are_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(*_: Any, **__: Any) -> Any:
        raise AssertionError("drawn")

    weights = drawn(small())
    layers = [("conv", pc.Conv2d(1, 2, 3)), ("bn", pc.BatchNorm2d(2))]
    layers += [("flatten", pc.Flatten()), ("fc", pc.Linear(8, 3))]
    net = pc.ConvNet(layers, (1, 4, 4), seed=None)
    monkeypatch.setattr(type(net.layers["fc"]), "draw_params", draw)
    pc.load_weights(net, weights)
    require_equal(net, weights)
    assert not any(np.shares_memory(a, weights[name]) for name, a in state(net).items())
    with pytest.raises(ValueError, match="has weights already"):
        pc.ConvNet(list(net.layers.items()), (1, 4, 4), seed=0)


def test_a_network_in_another_thread_is_left_alone() -> None:
    net = small()
    before = copied(net)
    began, done = threading.Event(), threading.Event()

    def train() -> None:
        with net.sharing.change("a gradient"):
            began.set()
            done.wait()

    thread = threading.Thread(target=train)
    thread.start()
    began.wait()
    try:
        with pytest.raises(RuntimeError, match="the network is in a gradient of thread"):
            pc.load_weights(net, drawn(net))
    finally:
        done.set()
        thread.join()
    require_equal(net, before)


def test_nothing_is_imported_before_it_is_used() -> None:
    code = (
        "import sys, pocketcnn as pc\n"
        "new = {'pocketcnn.network.weights', 'pocketcnn._files.torch_file', 'pickletools'}\n"
        "assert not new & set(sys.modules)\n"
        "assert pc.load_weights and pc.load_torch_state and pc.read_torch\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
