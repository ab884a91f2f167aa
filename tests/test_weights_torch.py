"""Weights of PyTorch's own modules: the same logits and gradients, and no copy on the way."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pocketcnn as pc

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
nn = torch.nn
rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def settings() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)  # two that wait for each other take minutes on a busy machine


class Block(nn.Module):  # type: ignore[misc, name-defined]
    """ResNet's basic block, with torchvision's names."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride > 1 or channels != width:
            conv = nn.Conv2d(channels, width, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(width))

    def forward(self, x: Any) -> Any:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):  # type: ignore[misc, name-defined]
    """ResNet's block for 50 layers and more, with torchvision's names."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = None
        if stride > 1 or channels != 4 * width:
            conv = nn.Conv2d(channels, 4 * width, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(4 * width))

    def forward(self, x: Any) -> Any:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(torch.relu(self.bn2(self.conv2(y)))))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):  # type: ignore[misc, name-defined]
    """torchvision's structure and names."""

    def __init__(self, block: Any, counts: tuple[int, ...], growth: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = 64
        for stage, count in enumerate(counts, start=1):
            blocks = []
            for place in range(count):
                stride = 2 if stage > 1 and place == 0 else 1
                blocks.append(block(channels, 32 * 2**stage, stride))
                channels = growth * 32 * 2**stage
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Any) -> Any:
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
        return self.fc(x.mean((2, 3)))


def normalised(channels: int, width: int, kernel: int, stride: int = 1, groups: int = 1) -> Any:
    """Convolution, batch norm, ReLU6, as torchvision's Conv2dNormActivation."""
    conv = nn.Conv2d(channels, width, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU6())


class InvertedResidual(nn.Module):  # type: ignore[misc, name-defined]
    """MobileNetV2's block, with torchvision's names."""

    def __init__(self, channels: int, width: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.same = stride == 1 and channels == width
        self.conv = nn.Sequential(
            *([normalised(channels, wide, 1)] if expansion > 1 else []),
            normalised(wide, wide, 3, stride, wide),
            nn.Conv2d(wide, width, 1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Any) -> Any:
        return x + self.conv(x) if self.same else self.conv(x)


class MobileNetV2(nn.Module):  # type: ignore[misc, name-defined]
    """torchvision's structure and names."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        blocks = [normalised(3, 32, 3, 2), InvertedResidual(32, 16, 1, 1)]
        channels = 16
        for width, count, first in (
            *((24, 2, 2), (32, 3, 2), (64, 4, 2)),
            *((96, 3, 1), (160, 3, 2), (320, 1, 1)),
        ):
            for place in range(count):
                blocks.append(InvertedResidual(channels, width, 1 if place else first, 6))
                channels = width
        self.features = nn.Sequential(*blocks, normalised(320, 1280, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, x: Any) -> Any:
        return self.classifier(self.features(x).mean((2, 3)))


class VGG16(nn.Module):  # type: ignore[misc, name-defined]
    """torchvision's structure and names, for images of 32x32."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[Any] = []
        channels = 3
        for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
            for _ in range(count):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(True)]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            *(nn.Linear(512, 4096), nn.ReLU(True), nn.Dropout()),
            *(nn.Linear(4096, 4096), nn.ReLU(True), nn.Dropout()),
            nn.Linear(4096, classes),
        )

    def forward(self, x: Any) -> Any:
        return self.classifier(torch.flatten(self.features(x), 1))


def small() -> tuple[Any, pc.ConvNet]:
    """A module with a layer of each kind that has parameters, and its counterpart."""
    module = nn.Sequential(
        nn.Conv2d(2, 6, (3, 5), padding=(1, 2)),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 12, 3, stride=2, groups=6, bias=False),
        nn.Conv2d(12, 4, 3, dilation=2, groups=2),
        nn.Flatten(),
        nn.Linear(4 * 3 * 4, 5),
    )
    net = pc.ConvNet(
        [
            ("conv1", pc.Conv2d(2, 6, (3, 5), padding=(1, 2))),
            ("bn", pc.BatchNorm2d(6)),
            ("relu", pc.ReLU()),
            ("conv2", pc.Conv2d(6, 12, 3, stride=2, groups=6, bias=False)),
            ("conv3", pc.Conv2d(12, 4, 3, dilation=2, groups=2)),
            ("flatten", pc.Flatten()),
            ("fc", pc.Linear(4 * 3 * 4, 5)),
        ],
        (2, 15, 17),
    )
    return module, net


def settled(module: Any, x: np.ndarray) -> None:
    """Give batch norm other statistics than its first."""
    module.train()
    with torch.no_grad():
        module(torch.from_numpy(x))


def require_the_same(module: Any, net: pc.ConvNet, x: np.ndarray) -> None:
    """Compare logits in inference, and the gradients of a loss in training, in float64."""
    names = names_of(net, module)
    module, net, x = module.double(), net.astype(np.float64), x.astype(np.float64)
    module.eval()
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(net.predict(x), expected, rtol=1e-9, atol=1e-9)
    module.train()
    for part in (*module.modules(), *net.layers.values()):
        if isinstance(part, (nn.Dropout, pc.Dropout)):
            part.p = 0.0
    t = np.arange(len(x)) % expected.shape[1]
    loss = nn.functional.cross_entropy(module(torch.from_numpy(x)), torch.from_numpy(t))
    loss.backward()
    mine, grads = net.value_and_gradient(x, t)
    np.testing.assert_allclose(mine, loss.item(), rtol=1e-9)
    theirs = {names[name]: p.grad.numpy() for name, p in module.named_parameters()}
    assert theirs.keys() == grads.keys()
    for name, grad in theirs.items():
        assert np.abs(grads[name] - grad).max() <= 1e-8 * np.abs(grad).max() + 1e-12, name


def names_of(net: pc.ConvNet, module: Any) -> dict[str, str]:
    """Our names of a module's parameters, found by the numbers that were loaded."""
    found = {}
    for name, parameter in module.named_parameters():
        array = parameter.detach().numpy()
        (found[name],) = (
            own for own, a in net.params.items()
            if a.shape == array.shape and np.array_equal(a, array)
        )  # fmt: skip
    return found


def randomised(module: Any) -> Any:
    """Numbers of its own for every parameter, also for those that begin as zeros and ones."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn(parameter.shape))
    return module


@pytest.mark.parametrize("source", ["state", "zip", "legacy", "parallel"])
def test_a_sequential(source: str, tmp_path: Path) -> None:
    module, net = small()
    x = rng.standard_normal((4, 2, 15, 17), dtype=np.float32)
    settled(randomised(module), x)
    state: Any = module.state_dict()
    if source == "parallel":
        state = nn.DataParallel(module).state_dict()
    if source in ("zip", "legacy"):
        zipped = source == "zip"
        torch.save(state, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
        state = tmp_path / "w.pt"
    pc.load_torch_state(net, state)
    require_the_same(module, net, x)


@pytest.mark.parametrize(
    ("module", "model"),
    [
        (lambda: ResNet(Block, (2, 2, 2, 2), 1, 7), pc.models.resnet18),
        (lambda: ResNet(Bottleneck, (3, 4, 6, 3), 4, 7), pc.models.resnet50),
        (lambda: MobileNetV2(7), pc.models.mobilenet_v2),
    ],
    ids=["resnet18", "resnet50", "mobilenet_v2"],
)
def test_torchvisions_networks(module: Any, model: Any) -> None:
    module, net = randomised(module()), model(7, input_shape=(3, 64, 64), seed=None)
    x = rng.standard_normal((4, 3, 64, 64), dtype=np.float32)
    settled(module, x)
    pc.load_torch_state(net, module.state_dict())
    require_the_same(module, net, x)


def test_torchvisions_vgg16() -> None:
    module, net = VGG16(7), pc.models.vgg16(7, input_shape=(3, 32, 32), seed=None)
    x = rng.standard_normal((2, 3, 32, 32), dtype=np.float32)
    pc.load_torch_state(net, module.state_dict())
    require_the_same(module, net, x)


def test_tensors_are_read_without_a_copy() -> None:
    net = pc.ConvNet([("fc", pc.Linear(2000, 1000, bias=False))], (2000,))
    weight = torch.ones(2000, 1000).t()
    assert net.params
    tracemalloc.start()
    pc.load_weights(net, {"fc.weight": weight})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert net.params["fc.weight"].min() == 1
    assert peak < 2**20


def test_types_of_tensors() -> None:
    net = pc.ConvNet([("fc", pc.Linear(3, 2, bias=False))], (3,))
    for dtype in (torch.float16, torch.bfloat16, torch.float64, torch.int16, torch.uint8):
        weight = torch.arange(6.0).reshape(2, 3).to(dtype)
        pc.load_weights(net, {"fc.weight": torch.zeros(2, 3)})
        pc.load_weights(net, {"fc.weight": weight})
        assert net.params["fc.weight"].tolist() == [[0, 1, 2], [3, 4, 5]]
    parameter = nn.Parameter(torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"fc\.weight requires gradients"):
        pc.load_weights(net, {"fc.weight": parameter})
    pc.load_weights(net, {"fc.weight": nn.Parameter(torch.zeros(2, 3), requires_grad=False)})
    meta = torch.zeros(2, 3, device="meta")
    with pytest.raises(ValueError, match=r"tensor fc\.weight cannot be read as an array"):
        pc.load_weights(net, {"fc.weight": meta})


def test_what_torch_load_reads_is_what_we_read(tmp_path: Path) -> None:
    """Networks with tensors of one storage, in every order of memory."""
    base = torch.randn(4, 6, 5)
    state = {
        "base": base,
        "turned": base.permute(2, 0, 1),
        "part": base[1:3, ::2, 1],
        "half": base.half()[0],
        "brain": base.bfloat16()[1].t(),
        "double": base.double(),
    }
    for protocol in (2, 3, 4, 5):
        for zipped in (True, False):
            path = tmp_path / f"{protocol}{zipped}.pt"
            torch.save(state, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
            found, theirs = pc.read_torch(path), torch.load(path, weights_only=False)
            assert list(found) == list(theirs)
            for name, tensor in theirs.items():
                wide = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
                np.testing.assert_array_equal(found[name], wide.numpy())
