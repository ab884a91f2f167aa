"""`pocketcnn export`, `import`: models for other libraries, and from them."""

from __future__ import annotations

import argparse

from pocketcnn import onnx
from pocketcnn._text import printable
from pocketcnn.commands import console
from pocketcnn.commands.models import load_model
from pocketcnn.layers import Shape


def export_model(arguments: argparse.Namespace) -> None:
    """Write a model to an ONNX file, with the names of its classes if it has them."""
    model = load_model(arguments.model, classifier=False)
    if model.named:
        model.net.classes = model.classes
    onnx.export(model.net, arguments.out, arguments.opset)
    made = f"opset {arguments.opset}, {_batch(model.net.input_shape)}"
    console.say(f"{printable(str(arguments.out))}: {made} to {_batch(model.net.output_shape)}")


def import_model(arguments: argparse.Namespace) -> None:
    """Write the network of an ONNX file to a model file."""
    net = onnx.load(arguments.file, input_shape=arguments.input_shape, output=arguments.output)
    net.save(arguments.out)
    console.say(net.summary(console.line_length()))
    console.say(f"\n{printable(str(arguments.out))} ({arguments.out.stat().st_size:,} bytes)")


def _batch(shape: Shape) -> str:
    return f"({', '.join(map(str, ('N', *shape)))})"
