"""Model files: saved networks load with the same bits, and other files are refused."""

import json
import os
import stat
import struct

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from pocketcnn.layers import (
    LAYERS,
    AvgPool2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
)
from pocketcnn.models import deep_convnet, lenet5, simple_convnet
from pocketcnn.network import serialization
from pocketcnn.network.load import load
from pocketcnn.network.net import ConvNet
from pocketcnn.network.preprocessing import Preprocessing


def every_layer(dtype=np.float32):
    layers = [
        ("conv1", Conv2d(2, 4, (3, 2), padding=((1, 1), (0, 1)), dilation=(1, 2), bias=False)),
        ("tanh", Tanh()),
        ("conv2", Conv2d(4, 4, 3, padding="same", groups=2, init="he")),
        ("relu", ReLU()),
        ("max", MaxPool2d(3, stride=2, padding=1, ceil_mode=True)),
        ("sigmoid", Sigmoid()),
        ("avg", AvgPool2d((2, 1), count_include_pad=False)),
        ("drop", Dropout(0.1)),
        ("gap", GlobalAvgPool2d()),
        ("flat", Flatten()),
        ("fc", Linear(4, 3, init=0.5)),
        ("softmax", Softmax()),
    ]
    return ConvNet(layers, (2, 9, 8), seed=4, dtype=dtype)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "net.safetensors"
    simple_convnet(input_shape=(1, 8, 8)).save(path)
    return path


def rewrite(path, *, tensors=None, **metadata):
    """Save the file again with other tensors, or other metadata; None takes an entry away."""
    old_tensors, old_metadata = serialization.read_tensors(path)
    merged = {**old_metadata, **metadata}
    save_file(
        old_tensors if tensors is None else tensors,
        path,
        {key: value for key, value in merged.items() if value is not None},
    )


def refused(path, message):
    with pytest.raises(ValueError, match=message) as caught:
        load(path)
    text = str(caught.value)
    assert str(path) in text
    assert text.isprintable()
    assert len(text) < len(str(path)) + 300


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_everything_comes_back(tmp_path, dtype):
    net = every_layer(dtype)
    path = tmp_path / "net.safetensors"
    net.save(path)
    again = load(path)
    assert repr(again) == repr(net)
    assert again.summary() == net.summary()
    assert again.dtype == net.dtype
    assert again.params.keys() == net.params.keys()
    for name, array in net.params.items():
        assert again.params[name].dtype == dtype
        np.testing.assert_array_equal(again.params[name], array)
    x = np.random.default_rng(0).random((3, 2, 9, 8))
    np.testing.assert_array_equal(again.predict(x), net.predict(x))


@pytest.mark.parametrize("model", [simple_convnet, lenet5, deep_convnet])
def test_loaded_network_can_be_trained(tmp_path, model):
    path = tmp_path / "net.safetensors"
    model().save(path)
    net = load(path)
    x, t = np.ones((2, 1, 28, 28), np.float32), np.array([3, 5])
    before = net.loss(x, t)
    for array, grad in zip(net.params.values(), net.gradient(x, t).values(), strict=True):
        assert array.flags.writeable
        assert array.flags.c_contiguous
        array -= 0.01 * grad
    assert net.loss(x, t) != before


def test_path_may_be_a_string(tmp_path):
    path = str(tmp_path / "net.safetensors")
    every_layer().save(path)
    assert load(path).input_shape == (2, 9, 8)


def test_file_is_readable_by_anyone_with_safetensors(saved):
    tensors = load_file(saved)
    assert tensors["conv1.weight"].shape == (30, 1, 5, 5)
    _, metadata = serialization.read_tensors(saved)
    assert metadata["format"] == "pocketcnn"
    assert json.loads(metadata["architecture"])["layers"][0]["config"]["out_channels"] == 30


def test_loading_draws_no_weights(saved, monkeypatch):
    def draw(*_):
        raise AssertionError("weights were drawn")

    monkeypatch.setattr("pocketcnn.layers.weight_layer.normal", draw)
    load(saved)


def test_arrays_in_another_order_are_saved_by_value(tmp_path):
    path = tmp_path / "net.safetensors"
    net = ConvNet([("fc", Linear(3, 2))], (3,))
    net.layers["fc"].params["weight"] = np.asfortranarray(net.layers["fc"].weight)
    net.save(path)
    np.testing.assert_array_equal(load(path).params["fc.weight"], net.params["fc.weight"])


class Double(ReLU):
    def forward(self, x, training=False):
        return 2 * x


def test_layer_class_of_the_users_own(tmp_path):
    path = tmp_path / "net.safetensors"
    ConvNet([("double", Double())], (3,)).save(path)
    assert type(load(path).layers["double"]) is Double


def test_a_layer_class_that_is_defined_anew_replaces_its_elder(tmp_path):
    path = tmp_path / "net.safetensors"
    elder = type("Anew", (ReLU,), {})
    younger = type("Anew", (ReLU,), {})
    try:
        ConvNet([("anew", younger())], (3,)).save(path)
        assert type(load(path).layers["anew"]) is younger
        with pytest.raises(ValueError, match="layer class Anew is not the one"):
            ConvNet([("anew", elder())], (3,)).save(path)
    finally:
        del LAYERS["Anew"]
    with pytest.raises(ValueError, match="'Anew': a class of your own must be defined before"):
        load(path)


def test_no_class_takes_the_place_of_ours(tmp_path):
    path = tmp_path / "net.safetensors"
    named_alike = type("Sigmoid", (ReLU,), {})
    assert LAYERS["Sigmoid"] is Sigmoid
    with pytest.raises(ValueError, match="layer class Sigmoid is not the one"):
        ConvNet([("act", named_alike())], (3,)).save(path)
    assert not path.exists()


def test_what_is_abstract_is_no_layer_class_of_a_file():
    half = type("Half", (Layer,), {"forward": ReLU.forward, "backward": ReLU.backward})
    assert not {"Layer", "WeightLayer", half.__name__} & LAYERS.keys()


def test_a_setting_that_a_layer_does_not_keep_is_named(tmp_path):
    class Forgetful(ReLU):
        def __init__(self, slope):
            super().__init__()

    with pytest.raises(AttributeError, match="Forgetful has no attribute 'slope'"):
        ConvNet([("act", Forgetful(0.1))], (3,)).save(tmp_path / "net.safetensors")
    del LAYERS["Forgetful"]


# Writing


def test_existing_file_is_replaced_and_nothing_else_is_left(saved):
    every_layer().save(saved)
    assert load(saved).input_shape == (2, 9, 8)
    assert list(saved.parent.iterdir()) == [saved]


@pytest.mark.parametrize("victim", ["os.fsync", "pathlib.Path.replace", "pathlib.Path.open"])
def test_failed_write_leaves_the_old_file(saved, monkeypatch, victim):
    def fail(*_):
        raise OSError("disk full")

    before = saved.read_bytes()
    net = every_layer()
    monkeypatch.setattr(victim, fail)
    with pytest.raises(OSError, match="disk full"):
        net.save(saved)
    monkeypatch.undo()
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_bytes_are_on_the_disk_before_they_get_the_name(saved, monkeypatch):
    events = []
    replace, fsync = type(saved).replace, os.fsync

    def synced(descriptor):
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        events.append("folder" if is_folder else "file")
        fsync(descriptor)

    def recorded(source, target):
        events.append("replace")
        return replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(type(saved), "replace", recorded)
    every_layer().save(saved)
    assert events == ["file", "replace", "folder"]


def test_rest_of_a_killed_write_is_no_obstacle(saved):
    rest = saved.parent / ".0123456789abcdef.tmp"
    rest.write_bytes(b"half a file")
    every_layer().save(saved)
    assert sorted(saved.parent.iterdir()) == [rest, saved]


def test_permissions_are_those_of_new_files(saved):
    plain = saved.with_name("plain")
    plain.touch()
    assert stat.S_IMODE(saved.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        every_layer().save(tmp_path / "nowhere" / "net.safetensors")


# Reading what is wrong


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.safetensors"):
        load(tmp_path / "nothing.safetensors")


def test_folder_is_no_file(tmp_path):
    with pytest.raises(OSError, match=tmp_path.name):
        load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x05]q\x00.", bytes(1000)])
def test_other_files(tmp_path, content):
    path = tmp_path / "other"
    path.write_bytes(content)
    refused(path, r"not a whole \.safetensors file")


def test_header_that_claims_more_than_there_is(tmp_path):
    path = tmp_path / "other"
    path.write_bytes(struct.pack("<Q", 2**40) + b"{}")
    refused(path, r"not a whole \.safetensors file")


@pytest.mark.parametrize("part", [0.001, 0.1, 0.5, 0.999])
def test_truncated_file(saved, part):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(part * len(content))])
    refused(saved, r"not a whole \.safetensors file")


def test_file_with_bytes_too_many(saved):
    saved.write_bytes(saved.read_bytes() + b"more")
    refused(saved, r"not a whole \.safetensors file")


def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe is a pipe or a device"):
        load(tmp_path / "pipe")  # and does not wait for a writer


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused_on_request(saved, bad):
    net = load(saved, check_finite=True)
    net.params["fc1.bias"][3] = bad
    net.save(saved)
    assert not np.isfinite(load(saved).params["fc1.bias"][3])
    with pytest.raises(ValueError, match=r"numbers in fc1\.bias that are not finite") as caught:
        load(saved, check_finite=True)
    assert str(saved) in str(caught.value)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"format": "pocketcnn"}])
def test_safetensors_of_others(tmp_path, metadata):
    path = tmp_path / "other.safetensors"
    save_file({"weight": np.ones(3)}, path, metadata)
    refused(path, "is a safetensors file, but not a pocketcnn model")


@pytest.mark.parametrize("version", ["3", "17"])
def test_newer_version(saved, version):
    rewrite(saved, format_version=version)
    refused(saved, f"newer pocketcnn: its format version is {version}, .* reads up to 2")


@pytest.mark.parametrize("version", [None, "", "0", "-1", "1.0", "one"])
def test_version_that_is_none(saved, version):
    rewrite(saved, format_version=version)
    refused(saved, "format version")


def test_missing_tensors(saved):
    tensors, _ = serialization.read_tensors(saved)
    del tensors["fc1.bias"], tensors["conv1.weight"]
    rewrite(saved, tensors=tensors)
    refused(saved, r"tensors are missing: conv1\.weight, fc1\.bias")


def test_surplus_tensors(saved):
    tensors, _ = serialization.read_tensors(saved)
    rewrite(saved, tensors={**tensors, "fc9.weight": np.ones(3, np.float32)})
    refused(saved, r"no layer has the tensors: fc9\.weight")


def test_wrong_shape(saved):
    tensors, _ = serialization.read_tensors(saved)
    tensors["fc2.weight"] = tensors["fc2.weight"].T.copy()
    rewrite(saved, tensors=tensors)
    refused(saved, r"fc2\.weight is float32 \(100, 10\), but must be float32 \(10, 100\)")


def test_wrong_dtype(saved):
    tensors, _ = serialization.read_tensors(saved)
    tensors["fc2.bias"] = tensors["fc2.bias"].astype(np.float16)
    rewrite(saved, tensors=tensors)
    refused(saved, r"fc2\.bias is float16 \(10,\), but must be float32")


def first_layer(**changes):
    """Architecture of the saved network with changes in the entry of its first layer."""

    def change(content):
        content["layers"][0].update(changes)

    return change


def in_config(**changes):
    def change(content):
        content["layers"][0]["config"].update(changes)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (first_layer(kind="Deconv2d"), "layer 'conv1' is of the unknown kind 'Deconv2d'"),
        (first_layer(kind="__class__"), "unknown kind"),
        (first_layer(kind=["Conv2d"]), "not a valid model"),
        (first_layer(config=None), "layer 'conv1'"),
        (first_layer(name="a.b"), "a string without a dot"),
        (first_layer(name="fc1"), "two layers are named 'fc1'"),
        (in_config(kernel=5), "layer 'conv1': .*'kernel'"),
        (in_config(kernel_size=-5), "layer 'conv1': kernel_size is -5"),
        (in_config(in_channels="1"), "layer 'conv1': in_channels is '1'"),
        (in_config(stride={}), "layer 'conv1': stride"),
        (
            in_config(out_channels=10**30),
            "layer 'pool1': input_shape is .*, larger than any memory",
        ),
        (lambda content: content.update(layers=[]), "at least one layer"),
        (lambda content: content.update(layers=3), "not a valid model"),
        (lambda content: content.update(input_shape="big"), "input_shape"),
        (lambda content: content.update(input_shape=[1, 8]), "conv1"),
        (lambda content: content.update(dtype="float16"), "must be float32 or float64"),
        (lambda content: content.update(dtype="floa,32"), "must be float32 or float64"),
        (lambda content: content.update(dtype=["f4"]), "must be float32 or float64"),
        (lambda content: content.pop("layers"), "the architecture lacks 'layers'"),
        (lambda content: content.update(input_shape=5), "input_shape is 5"),
        (lambda content: content["layers"].append("x"), "not a valid model"),
        (first_layer(kind="x" * 10_000), r"unknown kind 'xxx.* \.\.\. "),
        (first_layer(name="\x1b[2J\n"), "not a valid model"),
        (in_config(kernel_size=[5] * 10_000), r"but must be an int or \(h, w\)"),
        (first_layer(kind="Dropout", config={"p": 10**400}), "layer 'conv1': p is"),
        (first_layer(kind="Dropout", config={"p": 10**30}), "layer 'conv1': p is"),
        (first_layer(kind="Residual", config={"body": [3]}), "not a valid model"),
    ],
)
def test_architecture_that_is_none(saved, change, message):
    _, metadata = serialization.read_tensors(saved)
    content = json.loads(metadata["architecture"])
    change(content)
    rewrite(saved, architecture=json.dumps(content))
    refused(saved, message)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", "[" * 100_000])
def test_architecture_that_is_no_architecture(saved, text):
    rewrite(saved, architecture=text)
    refused(saved, "not a valid model")


@pytest.mark.parametrize("seed", range(300))
def test_damaged_header_is_refused_or_still_a_model(saved, seed):
    rng = np.random.default_rng(seed)
    content = bytearray(saved.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    for place in rng.integers(0, header, rng.integers(1, 4)):
        content[place] = rng.choice([*b'"09{},:', rng.integers(0, 256)])
    saved.write_bytes(content)
    try:
        net = load(saved)
    except ValueError as error:
        assert str(saved) in str(error)  # noqa: PT017 (either way is right)
    else:
        net.predict(np.zeros((1, *net.input_shape)))


def test_memory_that_a_layer_asks_for_and_does_not_get(saved, monkeypatch):
    class Greedy(ReLU):
        def __init__(self):
            raise MemoryError

    monkeypatch.setitem(LAYERS, "ReLU", Greedy)
    refused(saved, "not a valid model: MemoryError")


def test_many_layers_are_compared_in_time(saved):
    """Not compared pair by pair: that took minutes for a megabyte of them."""
    relu = {"kind": "ReLU", "config": {}}
    layers = [{"name": f"relu{place}", **relu} for place in range(20_000)]
    text = json.dumps({"input_shape": [1, 8, 8], "dtype": "float32", "layers": layers})
    rewrite(saved, tensors={}, architecture=text)
    assert len(load(saved).layers) == 20_000


@pytest.mark.parametrize("name", ["\x1b[2J", "two\nlines", "x" * 1000, "\u202eleft", "\ud800"])
def test_names_from_a_file_are_shown_in_one_line_each(tmp_path, name):
    path = tmp_path / "net.safetensors"
    ConvNet([(name, ReLU())], (3,)).save(path)
    net = load(path)
    assert list(net.layers) == [name]
    for text in (net.summary(), str(net.check_gradients(np.ones((1, 3)), [0], verbose=False))):
        assert all(line.isprintable() for line in text.split("\n"))
        assert max(map(len, text.split("\n"))) < 400
    assert net.summary().count("\n") == ConvNet([("r", ReLU())], (3,)).summary().count("\n")
    assert repr(net).isprintable()


def test_absurd_sizes_take_no_memory(saved):
    _, metadata = serialization.read_tensors(saved)
    content = json.loads(metadata["architecture"])
    content["layers"] = [
        {"name": "fc", "kind": "Linear", "config": {"in_features": 10**15, "out_features": 10**15}}
    ]
    content["input_shape"] = [10**15]
    rewrite(saved, architecture=json.dumps(content))
    refused(saved, "tensors are missing: fc.bias, fc.weight")


def test_long_words_of_a_file_are_cut_in_messages(tmp_path):
    path = tmp_path / "m.safetensors"
    ConvNet([("first", Linear(4, 2))], input_shape=(4,)).save(path)
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    metadata = {k: v for k, v in header["__metadata__"].items() if "crc32" not in k}
    for word in ("first", "Linear", "float32"):
        changed = {k: v.replace(word, "x" * 10_000) for k, v in metadata.items()}
        assert changed != metadata
        text = json.dumps(header | {"__metadata__": changed}).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + size :])
        with pytest.raises(ValueError, match=r"m\.safetensors") as told:
            load(path)
        assert len(str(told.value)) < 1000


def test_classes_are_saved(tmp_path):
    net = simple_convnet()
    names = [f"digit {n}" for n in range(9)] + ["\u5341, \uc2ed"]
    assert net.classes is None
    net.classes = tuple(names)
    net.save(tmp_path / "net.safetensors")
    assert load(tmp_path / "net.safetensors").classes == names == net.astype("float64").classes
    net.classes = None
    net.save(tmp_path / "net.safetensors")
    assert load(tmp_path / "net.safetensors").classes is None


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        (["a"] * 9, ValueError, "classes has 9 names, but the network has 10 classes"),
        ("abcdefghij", TypeError, "classes is 'abcdefghij', but must be a list of str"),
        ({"a": 1}, TypeError, "must be a list of str"),
        (["a"] * 9 + [3], TypeError, r"classes\[9\] is 3"),
        ([""] * 10, TypeError, r"classes\[0\] is ''"),
    ],
)
def test_what_are_no_classes(names, error, message, saved):
    net = simple_convnet()
    with pytest.raises(error, match=message):
        net.classes = names
    assert net.classes is None
    architecture = json.loads(serialization.read_tensors(saved)[1]["architecture"])
    rewrite(saved, architecture=json.dumps({**architecture, "classes": names}))
    refused(saved, "is not a valid model: classes")


def test_preprocessing_is_saved_and_travels(tmp_path):
    net = simple_convnet()
    assert net.preprocessing is None
    net.preprocessing = Preprocessing("raw", "crop")
    assert net.replace_head(3).preprocessing == Preprocessing("raw", "crop")
    net.save(tmp_path / "net.safetensors")
    for copy in (load(tmp_path / "net.safetensors"), net.astype("float64")):
        assert copy.preprocessing == Preprocessing(scale="raw", resize="crop")
    net.preprocessing = None
    net.save(tmp_path / "net.safetensors")
    assert load(tmp_path / "net.safetensors").preprocessing is None
    with pytest.raises(TypeError, match="preprocessing is 'raw', but must be a Preprocessing"):
        net.preprocessing = "raw"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"scale": "half"}, "scale is 'half': wanted one of 'unit', 'raw'"),
        ({"scale": ["raw"]}, r"scale is \['raw'\]: wanted"),
        ({"resize": None}, "resize is None: wanted one of 'stretch', 'crop', 'pad'"),
        ({"mean": 3}, "preprocessing is {'mean': 3}: wanted scale and resize"),
        ("unit", "preprocessing is 'unit': wanted scale and resize"),
    ],
)
def test_what_is_no_preprocessing(value, message, saved):
    architecture = json.loads(serialization.read_tensors(saved)[1]["architecture"])
    rewrite(saved, architecture=json.dumps({**architecture, "preprocessing": value}))
    refused(saved, f"is not a valid model: {message}")


def test_pixels_are_scaled_as_the_preprocessing_says():
    pixels = np.array([[0, 51, 255]], np.uint8)
    np.testing.assert_array_equal(Preprocessing().scaled(pixels), np.float32([[0, 0.2, 1]]))
    np.testing.assert_array_equal(Preprocessing("raw").scaled(pixels), np.float32([[0, 51, 255]]))
    deep = np.array([0, 257, 65535], np.uint16)
    np.testing.assert_allclose(Preprocessing().scaled(deep, 65535), [0, 1 / 255, 1], rtol=1e-6)
    np.testing.assert_allclose(Preprocessing("raw").scaled(deep, 65535), [0, 1, 255], rtol=1e-6)
