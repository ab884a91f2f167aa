"""Networks that PyTorch exported: outputs, and weights after a step of SGD, as PyTorch's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pocketcnn as pc

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("onnxscript", reason="PyTorch's newer exporter needs onnxscript")

from torch_nets import networks  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch's own, of each of its exporters

NETWORKS = networks()
EXPORTERS = ["torchscript", "dynamo"]
TOLERANCE = {"rtol": 1e-4, "atol": 2e-6}


def exported(net: Any, shape: tuple[int, ...], exporter: str, path: Path) -> None:
    example = (torch.randn(2, *shape),)
    if exporter == "dynamo":
        free = ({0: torch.export.Dim("n")},)
        torch.onnx.export(net, example, path, dynamo=True, verbose=False, dynamic_shapes=free)
        return
    keep = torch.onnx.TrainingMode.PRESERVE  # batch norms stay beside convolutions
    names = {"input_names": ["x"], "dynamic_axes": {"x": {0: "n"}}}
    torch.onnx.export(net, example, path, dynamo=False, training=keep, **names)


def prepared(name: str) -> tuple[Any, tuple[int, ...]]:
    """A module with statistics other than zeros and ones, in inference mode."""
    torch.manual_seed(0)
    net, shape = networks()[name]
    for module in net.modules():
        if getattr(module, "running_mean", None) is not None:
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    return net.eval(), shape


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_and_a_step_of_sgd(name: str, exporter: str, tmp_path: Path) -> None:
    theirs, shape = prepared(name)
    exported(theirs, shape, exporter, tmp_path / "net.onnx")
    ours = pc.onnx.load(tmp_path / "net.onnx")
    x = torch.randn(3, *shape)
    with torch.no_grad():
        expected = theirs(x).numpy()
    np.testing.assert_allclose(ours.predict(x.numpy()), expected, **TOLERANCE)
    norms = [module for module in theirs.modules() if hasattr(module, "running_mean")]
    if exporter == "dynamo" and any(module.running_mean is not None for module in norms):
        return  # they are a part of the convolutions now, which train differently
    # The gradient of sum(g * output), for some g.
    g = torch.randn(expected.shape)
    theirs.train()
    (theirs(x) * g).sum().backward()
    torch.optim.SGD(theirs.parameters(), lr=0.01).step()
    ours.forward(x.numpy(), training=True)
    ours.backward(g.numpy())
    pc.optim.SGD(0.01).update(ours.params, ours.grads)
    assert compare_by_name(theirs, ours) >= len(list(theirs.parameters())) // 2
    theirs.eval()
    with torch.no_grad():
        expected = theirs(x).numpy()
    np.testing.assert_allclose(ours.predict(x.numpy()), expected, rtol=1e-3, atol=1e-4)


def compare_by_name(theirs: Any, ours: pc.ConvNet) -> int:
    """Compare arrays that have a name in both, and count them."""
    own = {**ours.params, **ours.buffers}
    count = 0
    for name, tensor in theirs.state_dict().items():
        module, _, last = name.rpartition(".")
        array = own.get(f"{module.replace('.', '_')}.{last}")
        if array is not None:
            wanted = tensor.numpy().reshape(array.shape)
            np.testing.assert_allclose(array, wanted, rtol=1e-4, atol=1e-5, err_msg=name)
            count += 1
    return count
