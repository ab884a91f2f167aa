"""Records of a training for TensorBoard."""

from __future__ import annotations

import os
from typing import Any

from pocketcnn.training.callbacks import Callback
from pocketcnn.training.history import Record
from pocketcnn.training.run import Run


class TensorBoard(Callback):
    """Write every epoch's record to a folder that ``tensorboard --logdir`` shows.

    Each quantity is a scalar over the epochs; that of the validation is in the same picture:
    `loss/training` and `loss/validation`. A run that is resumed goes on in the same folder. It
    needs tensorboardX (``pip install pocketcnn[tensorboard]``).

    Parameters
    ----------
    folder : path-like
        Created if needed; each run needs one of its own.
    """

    on_first_rank_only = True

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = os.fspath(folder)
        self._writer: Any = None

    def on_fit_begin(self, trainer: Run) -> None:
        """Open a file of events.

        Raises
        ------
        ImportError
            tensorboardX is not installed.
        """
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ImportError(
                "TensorBoard needs tensorboardX: pip install pocketcnn[tensorboard]"
            ) from error
        # What an interrupted run wrote of later epochs is not shown.
        self._writer = SummaryWriter(self.folder, purge_step=trainer.epoch + 1)

    def on_epoch_end(self, trainer: Run, record: Record) -> None:
        """Write what was measured."""
        values: dict[str, Any] = dict(record)
        epoch = values.pop("epoch")
        for name, value in values.items():
            if value is None:
                continue
            part = "validation" if name.startswith("val_") else "training"
            paired = f"val_{name.removeprefix('val_')}" in values
            tag = f"{name.removeprefix('val_')}/{part}" if paired else name
            self._writer.add_scalar(tag, value, epoch)
        self._writer.flush()

    def on_fit_end(self, trainer: Run) -> None:
        """Close the file."""
        self._writer.close()
        self._writer = None
