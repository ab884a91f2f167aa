"""`pocketcnn info`: what this installation uses, or what a model is."""

from __future__ import annotations

import argparse

from pocketcnn import plot
from pocketcnn._text import printable
from pocketcnn.commands import console
from pocketcnn.commands.models import load_model
from pocketcnn.commands.pictures import picture_path, save_picture
from pocketcnn.config import show_config


def info(arguments: argparse.Namespace) -> None:
    """Print what this installation uses, or describe a model."""
    if arguments.model is None:
        show_config()
        return
    model = load_model(arguments.model, classifier=False)
    picture = None
    if arguments.picture is not None:
        picture = picture_path(arguments.picture, model, "")
    console.say(f"{model.path} ({model.path.stat().st_size:,} bytes)\n")
    console.say(model.net.summary(console.line_length()))
    console.say(f"\nclasses: {', '.join(map(printable, model.classes))}")
    if model.run is not None:
        chosen = {k: v for k, v in model.run.options.items() if v is not None and v is not False}
        told = [name if value is True else f"{name} {value}" for name, value in chosen.items()]
        console.say(f"trained with: {printable(', '.join(told))}")
        result = model.run.result
        if result is not None:
            console.say(
                f"result: accuracy {result['accuracy']:.2%}, loss {result['loss']:.4f} "
                f"after {result['epochs']} epoch{'s' * (result['epochs'] != 1)}"
            )
    if picture is not None:
        save_picture(plot.architecture(model.net), picture)
