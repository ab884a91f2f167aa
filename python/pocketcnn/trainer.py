"""The training loop: shuffle, gather a batch, forward, backward, update; and again.

One step of a small network takes a few milliseconds, so nothing here does Python work that
grows with the batch, and the batch is gathered into memory that is used again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pocketcnn.callbacks import Callback
from pocketcnn.checkpoint import (
    join_state,
    network_arrays,
    read_checkpoint,
    split_state,
    write_checkpoint,
)
from pocketcnn.data import Augment
from pocketcnn.history import History, Record
from pocketcnn.layers import Softmax
from pocketcnn.losses import count_correct, cross_entropy
from pocketcnn.net import ConvNet
from pocketcnn.optim import Grads, Optimizer
from pocketcnn.sharing import Sharing, changes

Array = NDArray[Any]


class Trainer:
    """Trains a network on arrays.

    Parameters
    ----------
    net : ConvNet
        Changed in place.
    optimizer : Optimizer
        Such as `pocketcnn.optim.Adam()`.
    batch_size : int, default 100
        Samples an update; the last batch of an epoch may be smaller.
    seed : int, default 0
        Of the order of the samples. The same seed, network and data give the same bits,
        whatever the number of threads.
    label_smoothing : float, default 0
        Share of each label that is spread over all classes; in the validation loss too.
    augment : callable (x, rng) -> x, optional
        Changes each training batch (N, C, H, W) before it is used, such as
        `pocketcnn.data.RandomCrop(2)`. It gets a generator of its own, made from `seed`, and an
        array that it may write into.

    Attributes
    ----------
    epoch, epochs : int
        The current epoch, counted from 1, and how many `fit` was asked for.
    samples : int
        How many samples an epoch has.
    loss : float
        Mean loss of the last batch.
    history : History
        Of the current or last `fit`.
    stop : bool
        Set it in a callback to end training after the current epoch.
    sharing : Sharing
        Which thread trains now: a second one gets a RuntimeError.

    Examples
    --------
    >>> import numpy as np
    >>> import pocketcnn as pc
    >>> t = np.arange(60) % 2
    >>> x = np.random.default_rng(0).random((60, 1, 4, 4)) + t.reshape(60, 1, 1, 1)
    >>> net = pc.ConvNet([("flat", pc.Flatten()), ("out", pc.Linear(16, 2))], input_shape=(1, 4, 4))
    >>> history = pc.Trainer(net, pc.optim.Adam(0.05), batch_size=20).fit(x, t, epochs=30)
    >>> len(history), history[-1]["accuracy"]
    (30, 1.0)
    """

    def __init__(
        self,
        net: ConvNet,
        optimizer: Optimizer,
        *,
        batch_size: int = 100,
        seed: int = 0,
        label_smoothing: float = 0.0,
        augment: Augment | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: wanted at least 1")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing is {label_smoothing}: wanted 0 to less than 1")
        if augment is not None and not callable(augment):
            raise TypeError(f"augment is {augment!r}: wanted a callable (x, rng) -> x")
        if isinstance(list(net.layers.values())[-1], Softmax):
            raise ValueError("the last layer is Softmax, but the loss contains it: leave it out")
        self.sharing = Sharing("the trainer", "each thread needs a trainer of its own")
        self.net = net
        self.optimizer = optimizer
        self.batch_size = batch_size
        self.seed = seed
        self.label_smoothing = label_smoothing
        self.augment = augment
        self.rng = np.random.default_rng(seed)
        self._augment_rng = np.random.default_rng(seed).spawn(1)[0]
        self.epoch = 0
        self.epochs = 0
        self.samples = 0
        self.loss = 0.0
        self.history = History()
        self.stop = False
        self._seen = 0
        self._hits = 0
        self._loss_sum = 0.0
        self._epoch_start = 0.0

    @changes("a step")
    def step(self, x_batch: ArrayLike, t_batch: ArrayLike) -> float:
        """Make one update: forward, backward, optimiser.

        The gradients of layers that `net.summary()` calls "updated in backward" are used while
        they are made; in `net.grads` they read as zero afterwards.

        Parameters
        ----------
        x_batch : array_like (N, C, H, W)
            Images.
        t_batch : array_like
            Labels, int (N,), or probabilities (N, K).

        Returns
        -------
        float
            The mean loss of the batch before the update.
        """
        x, t = np.asarray(x_batch), np.asarray(t_batch)
        net = self.net
        with net.sharing.change("a training step"):
            logits = net.forward(x, training=True)
            self.loss, grad = cross_entropy(logits, t, label_smoothing=self.label_smoothing)
            self._update(grad)
        self._seen += len(x)
        self._hits += count_correct(logits, t)
        self._loss_sum += self.loss * len(x)
        return self.loss

    @changes("a run")
    def fit(
        self,
        x: ArrayLike,
        t: ArrayLike,
        *,
        epochs: int = 20,
        validation: tuple[ArrayLike, ArrayLike] | None = None,
        callbacks: Sequence[Callback] = (),
        checkpoint: str | os.PathLike[str] | None = None,
        resume: bool = False,
    ) -> History:
        """Train for some epochs; every sample is used once an epoch, in a new random order.

        Parameters
        ----------
        x : array_like (N, C, H, W)
            Training images. They are cast to the network's dtype batch by batch, not scaled.
        t : array_like
            Labels, int (N,), or probabilities (N, K).
        epochs : int, default 20
            How many epochs to train; with `resume`, counted from the run's beginning.
        validation : (x, t), optional
            Loss and accuracy on it are measured after every epoch.
        callbacks : sequence of Callback
            Called in this order.
        checkpoint : path-like, optional
            A file in which the state of the run is kept, rewritten after every epoch in one
            step: killed at any moment, the run leaves the last epoch's whole.
        resume : bool, default False
            Continue from `checkpoint`, to the same bits as a run that was never interrupted.
            Where there is no such file yet, the run begins at the beginning.

        Returns
        -------
        History
            One record an epoch, those before an interruption included.

        Raises
        ------
        ValueError
            Arguments that do not fit each other, or a checkpoint of another run.
        FloatingPointError
            The loss of an epoch is not finite; the checkpoint is the one of the epoch before.
        """
        x, t = _check_samples("x", "t", x, t)
        if epochs < 0:
            raise ValueError(f"epochs is {epochs}: wanted at least 0")
        if resume and checkpoint is None:
            raise ValueError("resume=True needs a checkpoint to continue from")
        held_out = None if validation is None else _check_samples("xv", "tv", *validation)

        self.epoch, self.epochs, self.samples = 0, epochs, len(x)
        self.history, self.stop = History(), False
        states: list[dict[str, object]] = []
        if checkpoint is not None and resume and Path(checkpoint).exists():
            states = self._load(checkpoint)
        try:
            for callback in callbacks:
                callback.on_fit_begin(self)
            for callback, state in zip(callbacks, states, strict=False):
                callback.load_state_dict(state)
            while self.epoch < epochs and not self.stop:
                record = self._run_epoch(x, t, held_out, callbacks)
                for callback in callbacks:
                    callback.on_epoch_end(self, record)
                if checkpoint is not None:
                    self._save(checkpoint, callbacks)
        finally:
            for callback in callbacks:
                callback.on_fit_end(self)
        return self.history

    def _update(self, grad: Array) -> None:
        """Go back from the scores, and make the optimiser's step."""
        net, optimizer = self.net, self.optimizer
        if getattr(type(optimizer), "update", None) is not Optimizer.update:
            # Somebody's own `update` gets everything at once.
            net.backward(grad)
            optimizer.update(net.params, net.grads)
            return
        updated: set[str] = set()

        def apply(params: Mapping[str, Array], grads: Grads) -> None:
            updated.update(params)
            optimizer.apply(params, grads)

        optimizer.begin()
        net.backward(grad, apply)
        params, grads = net.params, net.grads
        for name in updated:
            del params[name], grads[name]
        optimizer.apply(params, grads)

    def running(self) -> tuple[float, float, float]:
        """Return the current epoch's mean loss, accuracy and images a second so far."""
        seen = max(self._seen, 1)
        seconds = time.perf_counter() - self._epoch_start
        return self._loss_sum / seen, self._hits / seen, self._seen / max(seconds, 1e-9)

    def evaluate(self, x: ArrayLike, t: ArrayLike) -> tuple[float, float]:
        """Measure mean loss and accuracy in inference mode.

        Parameters
        ----------
        x, t : array_like
            As in `fit`.

        Returns
        -------
        loss, accuracy : float
        """
        x, t = _check_samples("x", "t", x, t)
        logits = self.net.predict(x, batch_size=self.batch_size)
        loss, _ = cross_entropy(logits, t, label_smoothing=self.label_smoothing)
        return loss, count_correct(logits, t) / len(x)

    def _run_epoch(
        self,
        x: Array,
        t: Array,
        validation: tuple[Array, Array] | None,
        callbacks: Sequence[Callback],
    ) -> Record:
        self.epoch += 1
        self._seen, self._hits, self._loss_sum = 0, 0, 0.0
        for callback in callbacks:
            callback.on_epoch_begin(self)
        rate = self.optimizer.lr
        order = self.rng.permutation(len(x))
        x_batch = np.empty((min(self.batch_size, len(x)), *x.shape[1:]), dtype=x.dtype)
        self._epoch_start = time.perf_counter()
        for start in range(0, len(x), self.batch_size):
            chosen = order[start : start + self.batch_size]
            size = len(chosen)
            # mode="clip" lets take write straight into the buffer; no index is out of range.
            np.take(x, chosen, axis=0, out=x_batch[:size], mode="clip")
            images = x_batch[:size]
            if self.augment is not None:
                images = self.augment(images, self._augment_rng)
            self.step(images, t[chosen])
            for callback in callbacks:
                callback.on_batch_end(self, size)
        loss, accuracy, speed = self.running()
        if not np.isfinite(loss):
            raise FloatingPointError(
                f"the loss became {loss} in epoch {self.epoch}: a smaller learning rate may help"
            )
        seconds = time.perf_counter() - self._epoch_start
        val_loss, val_accuracy = (None, None) if validation is None else self.evaluate(*validation)
        record = Record(
            epoch=self.epoch,
            loss=loss,
            accuracy=accuracy,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            seconds=seconds,
            images_per_second=speed,
            learning_rate=rate,
        )
        self.history.append(record)
        return record

    def _identity(self) -> dict[str, object]:
        """Return what must be the same for a checkpoint to be continued to the same bits."""
        return {
            "optimizer": type(self.optimizer).__name__,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "label_smoothing": self.label_smoothing,
            # A function has a name; the augmentations of `pocketcnn.data` say what they are.
            "augment": getattr(self.augment, "__name__", repr(self.augment)),
            "samples": self.samples,
        }

    def _generators(self) -> dict[str, np.random.Generator]:
        """Return all that is drawn from: our own generators and the layers'."""
        own = {"trainer.order": self.rng, "trainer.augment": self._augment_rng}
        return own | self.net.generators

    def _save(self, path: str | os.PathLike[str], callbacks: Sequence[Callback]) -> None:
        arrays = {f"net/{name}": array for name, array in network_arrays(self.net).items()}
        parts, optimizer = split_state("optimizer", self.optimizer.state_dict())
        arrays.update(parts)
        states = []
        for position, callback in enumerate(callbacks):
            parts, state = split_state(f"callback/{position}", callback.state_dict())
            arrays.update(parts)
            states.append(state)
        values = {
            "identity": self._identity(),
            "epoch": self.epoch,
            "stop": self.stop,
            "history": list(self.history),
            "optimizer": optimizer,
            "callbacks": states,
            "generators": {
                name: rng.bit_generator.state for name, rng in self._generators().items()
            },
        }
        write_checkpoint(path, arrays, values)

    def _load(self, path: str | os.PathLike[str]) -> list[dict[str, object]]:
        """Take over the state in a checkpoint; return the callbacks' states."""
        arrays, values = read_checkpoint(path)
        for name, mine in self._identity().items():
            given = values["identity"].get(name)
            if given != mine:
                raise ValueError(
                    f"checkpoint {os.fspath(path)!r} has {name} {given!r}, "
                    f"but this run has {mine!r}"
                )
        stored = {name.removeprefix("net/"): a for name, a in arrays.items() if name[:4] == "net/"}
        own = network_arrays(self.net)
        if {k: (a.shape, a.dtype) for k, a in own.items()} != {
            k: (a.shape, a.dtype) for k, a in stored.items()
        }:
            raise ValueError(f"checkpoint {os.fspath(path)!r} is of another network")
        self.optimizer.load_state_dict(join_state("optimizer", arrays, values["optimizer"]))
        for name, array in own.items():
            array[...] = stored[name]
        generators = self._generators()
        for name, state in values["generators"].items():
            generators[name].bit_generator.state = state
        self.history = History(values["history"])
        self.epoch, self.stop = values["epoch"], values["stop"]
        return [
            join_state(f"callback/{position}", arrays, state)
            for position, state in enumerate(values["callbacks"])
        ]


def _check_samples(x_name: str, t_name: str, x: ArrayLike, t: ArrayLike) -> tuple[Array, Array]:
    images, targets = np.asarray(x), np.asarray(t)
    if images.ndim < 2 or len(images) == 0:
        raise ValueError(f"{x_name} has shape {images.shape}: wanted (N, C, H, W) with N > 0")
    if len(targets.shape) == 0 or len(targets) != len(images):
        raise ValueError(
            f"{t_name} has shape {targets.shape}, but {x_name} has {len(images)} images"
        )
    return images, targets
