"""Rebuild tests/torch_files with the PyTorch that is installed.

    python tools/make_torch_files.py [FOLDER]

What the tests expect of the files is in tests/test_torch_file.py: numbers are counted up, so that
both can be read side by side. The bytes differ from run to run, in the legacy files by addresses
that PyTorch writes into them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import nn

TARGET = Path(__file__).resolve().parent.parent / "tests" / "torch_files"


def tensors() -> dict[str, torch.Tensor]:
    """Tensors of every type, and of every way to lie in a storage."""
    base = torch.arange(24.0).reshape(4, 6)
    names = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8")
    new = ("uint16", "uint32", "uint64")
    return {
        **{name: torch.arange(5).to(getattr(torch, name)) for name in (*names, *new)},
        "bool": torch.tensor([True, False, True]),
        "bfloat16": torch.arange(-2.0, 3.0).bfloat16() / 3,
        "base": base,
        "transposed": base.t(),
        "strided": base[1:3, ::2],
        "behind": base[2],
        "expanded": torch.tensor([1.5]).expand(3, 2),
        "number": torch.tensor(7),
        "empty": torch.zeros(0, 3),
        "parameter": nn.Parameter(torch.ones(2)),
        "channels_last": torch.arange(16.0)
        .reshape(1, 2, 2, 4)
        .contiguous(memory_format=torch.channels_last),
    }


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=TARGET)
    folder = parser.parse_args().folder
    folder.mkdir(exist_ok=True)

    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(2, 1, 4, 4)).sum().backward()
    optimizer.step()
    counted = {
        name: torch.arange(tensor.numel(), dtype=tensor.dtype).reshape(tensor.shape)
        for name, tensor in module.state_dict().items()
    }
    module.load_state_dict(counted)
    parallel = {f"module.{name}": tensor for name, tensor in module.state_dict().items()}
    checkpoint = {
        "epoch": 3,
        "best": 0.5,
        "arch": "small",
        "state_dict": parallel,
        "optimizer": optimizer.state_dict(),
    }
    strange = {
        "complex": torch.zeros(2, dtype=torch.complex64),
        "quantised": torch.quantize_per_tensor(torch.zeros(2), 0.1, 0, torch.qint8),
        "sparse": torch.eye(2).to_sparse(),
        "float8": torch.zeros(2).to(torch.float8_e4m3fn),
    }
    for new, kind in ((True, "zip"), (False, "legacy")):

        def save(value: object, name: str, protocol: int = 2, *, new: bool = new) -> None:
            torch.save(
                value, folder / name, pickle_protocol=protocol, _use_new_zipfile_serialization=new
            )

        save(tensors(), f"tensors_{kind}.pt")
        save(checkpoint, f"checkpoint_{kind}.pt", 4)
        for name, tensor in strange.items():
            save({"fine": torch.ones(1), "layer.weight": tensor}, f"{name}_{kind}.pt")
    # The legacy format would carry PyTorch's own source along.
    torch.save(module, folder / "module.pt")


if __name__ == "__main__":
    main()
