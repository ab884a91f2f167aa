"""The training loop: shuffle, gather a batch, forward, backward, update; and repeat.

One step of a small network takes a few milliseconds, so the Python work here does not grow with the
batch, and the batch is gathered into memory that is reused.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from pocketcnn import _arguments
from pocketcnn._arguments import Array
from pocketcnn._sharing import Sharing, changes
from pocketcnn.data import Augment, Dataset, Mixing
from pocketcnn.layers.chain import require_scores
from pocketcnn.losses import CrossEntropy
from pocketcnn.losses.base import Loss, LossFunction, as_loss
from pocketcnn.network.net import ConvNet
from pocketcnn.optim.base import Optimizer
from pocketcnn.training.callbacks import Callback
from pocketcnn.training.counts import Counts, Evaluation
from pocketcnn.training.fitting import Fit
from pocketcnn.training.history import History
from pocketcnn.training.metrics import OwnMetric, make_metrics
from pocketcnn.training.ranks import Alone, Ranks
from pocketcnn.training.rate_finder import RateSearch, search_rates
from pocketcnn.training.run import Stateful
from pocketcnn.training.samples import Checks
from pocketcnn.training.shares import Shard
from pocketcnn.training.source import Source, open_source, open_validation
from pocketcnn.training.step import Step
from pocketcnn.training.together import Together
from pocketcnn.training.update import Update


class Trainer:
    """Trains a network on arrays or on a data set.

    Parameters
    ----------
    net : ConvNet
        Changed in place.
    optimizer : Optimizer
        For example `pocketcnn.optim.Adam()`.
    batch_size : int, default 100
        Samples per update; the last batch of an epoch may be smaller.
    seed : int, default 0
        Seed for the order of the samples. The same seed, network and data give the same bits, for
        any number of threads.
    label_smoothing : float, default 0
        Short for ``loss=CrossEntropy(label_smoothing)``; in the validation loss too.
    augment : callable (x, rng) -> x, optional
        Changes each training batch (N, C, H, W) before it is used, for example
        `pocketcnn.data.RandomCrop(2)`. It gets a generator of its own, made from `seed`, and an
        array that it may write into. A checkpoint identifies it by its name, or by its `repr` if
        its class has one.
    loss : callable (output, t, sample_weight=None) -> (mean loss, gradient), optional
        For example `pocketcnn.losses.MeanSquaredError()`; `CrossEntropy()` when not given.
    metrics : sequence of str or callable (output, t) -> float, default ()
        What is measured besides loss and accuracy: "top<k>"; "f1", the mean of all classes, and
        "f1_classes"; "miou" and "iou_classes", intersection over union; "mae", "mse"; or the mean
        over batches of a function.
    clip_norm : float, optional
        Gradients are scaled down together if their norm is larger.
    accumulate : int, default 1
        How many batches make an update, with the gradient of one batch as large as all of them
        (batch normalisation still sees single batches). The last of an epoch may be of fewer.
    ema : float, optional
        Decay of an average of all weights and running statistics: ``average += (1 - ema) *
        (weights - average)`` after each update. It is in the network's place for validation, for
        the callbacks after an epoch, and when `fit` is done.
    comm : communicator, optional
        What `pocketcnn.distributed.init()` returned, to train in several processes. Each then has
        batches of `batch_size` samples of its own, and all make the same updates.
    sync_batch_norm : bool, default False
        Whether BatchNorm2d layers normalise the batches of all processes as one.
    micro_batches : int, optional
        In how many parts a batch of all processes is computed, to the same bits for any number of
        processes that divides it, one too. Batch normalisation sees the parts alone.

    Attributes
    ----------
    objective : Loss
        What is minimised.
    epoch, epochs : int
        The current epoch, counted from 1, and the number of epochs passed to `fit`.
    resumed : int
        How many epochs of the current or last `fit` came from the checkpoint that it continued.
    samples, batches : int
        Number of samples and of batches per epoch.
    loss : float
        Mean loss of the last batch.
    history : History
        History of the current or last `fit`.
    stop : bool
        Set it in a callback to end training after the current epoch.
    pause : bool
        Set it in a callback or a signal handler to end training after the current update; a
        checkpoint is written before, from which the run can go on there.
    steps : int
        How many updates of the current epoch were made.
    sharing : Sharing
        Guards the trainer: a second thread that trains at the same time gets a RuntimeError.

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
        augment: Augment | Mixing | None = None,
        loss: Loss | LossFunction | None = None,
        metrics: Sequence[str | OwnMetric] = (),
        clip_norm: float | None = None,
        accumulate: int = 1,
        ema: float | None = None,
        comm: Ranks | None = None,
        sync_batch_norm: bool = False,
        micro_batches: int | None = None,
    ) -> None:
        if augment is not None and not callable(augment):
            raise TypeError(f"augment is {augment!r}: wanted a callable (x, rng) -> x")
        self.sharing = Sharing("the trainer", "each thread needs a trainer of its own")
        self.net = net
        self.optimizer = optimizer
        self.batch_size = _arguments.integer("batch_size", batch_size, 1)
        self.seed = _arguments.integer("seed", seed, 0)
        self.label_smoothing = _arguments.share("label_smoothing", label_smoothing)
        if loss is not None and label_smoothing:
            raise ValueError("loss and label_smoothing are given: CrossEntropy has its own")
        self.objective = CrossEntropy(self.label_smoothing) if loss is None else as_loss(loss)
        if self.objective.contains is not None:
            require_scores(net.layers, self.objective.contains)
        self.augment = augment
        self.rng = np.random.default_rng(self.seed)
        self._augment_rng = np.random.default_rng(self.seed).spawn(1)[0]
        self.epoch = self.epochs = self.resumed = 0
        self.steps = self.samples = self.batches = 0
        self.loss = 0.0
        self.history = History()
        self.stop = self.pause = self._paused = False
        self.ranks: Ranks = Alone() if comm is None else comm
        self._together = Together(net, self.ranks, sync_batch_norm, micro_batches)
        self._together.begin(self.generators | net.generators)
        ordered = micro_batches is not None
        self.updates = Update(net, clip_norm, accumulate, ema, self.ranks, ordered)
        self._metrics = make_metrics(metrics, net, self.objective)
        self.counts = Counts(self.objective, self._metrics)
        parts = self.updates, self.counts, self.ranks, self._together
        self._step = Step(net, self.objective, *parts)

    @property
    def parts(self) -> dict[str, Stateful]:
        """What has a state of its own that checkpoints keep, by name."""
        return {"update": self.updates} if self.updates.has_state else {}

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the metrics in the history; there is a `val_` of each too."""
        return tuple(column for metric in self._metrics for column in metric.columns)

    @property
    def average(self) -> dict[str, Array] | None:
        """The average of weights and running statistics by name, once there is one."""
        average = self.updates.average
        return dict(average.arrays) if average is not None and average.arrays else None

    @property
    def generators(self) -> dict[str, np.random.Generator]:
        """The random generators of the sample order and the augmentation, by name."""
        return {"trainer.order": self.rng, "trainer.augment": self._augment_rng}

    def __repr__(self) -> str:
        return (
            f"Trainer(ConvNet of {len(self.net.layers)} layers, {self.optimizer!r}, "
            f"batch_size={self.batch_size}, seed={self.seed}, "
            f"label_smoothing={self.label_smoothing}, augment={self.augment!r})"
        )

    @changes("a step")
    def step(
        self, x_batch: ArrayLike, t_batch: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """Make one update: forward, backward, optimiser.

        The gradients of layers that `net.summary()` calls "updated in backward" are used while
        they are made; in `net.grads` they read as zero afterwards.

        Parameters
        ----------
        x_batch : array_like (N, C, H, W)
            Images.
        t_batch : array_like
            Labels, int (N,), or probabilities (N, K): at least 0, with rows that sum to 1; or what
            another loss takes.
        sample_weight : array_like (N,), optional
            The weight of each sample in the mean loss, at least 0.

        Returns
        -------
        float
            The mean loss of the batch before the update.

        Raises
        ------
        FloatingPointError
            The loss is not finite; no parameter has changed.
        """
        x, t = _arguments.as_array("x_batch", x_batch), _arguments.as_array("t_batch", t_batch)
        self.steps += 1
        made = self._step.make(self.optimizer, x, t, sample_weight, self.pause)
        self.loss, self._paused = made.loss, made.pausing
        if made.fault is not None:
            raise FloatingPointError(f"the loss became {self.loss} in {self.place()}: {made.fault}")
        return self.loss

    def is_paused(self) -> bool:
        """Whether `pause` was set: with several ranks, on any of them before the last update."""
        return self.pause if self.ranks.size == 1 else self._paused

    @changes("a run")
    def fit(
        self,
        x: ArrayLike | Dataset,
        t: ArrayLike | None = None,
        *,
        epochs: int = 20,
        validation: tuple[ArrayLike, ArrayLike] | Dataset | None = None,
        callbacks: Sequence[Callback] = (),
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int | None = None,
        resume: bool = False,
        sample_weight: ArrayLike | None = None,
    ) -> History:
        """Train for some epochs; every sample is used once per epoch, in a new random order.

        Parameters
        ----------
        x : array_like (N, C, H, W), or Dataset
            Training images. They are cast to the network's dtype batch by batch, not scaled. A data
            set (see `pocketcnn.data.Dataset`) is read in a thread while the network trains.
        t : array_like
            Labels, int (N,), or probabilities (N, K): at least 0, with rows that sum to 1; or what
            another loss takes. A data set has its own.
        epochs : int, default 20
            How many epochs to train; with `resume`, counted from the run's beginning.
        validation : (x, t) or Dataset, optional
            Loss, accuracy and metrics on these data are measured after every epoch.
        callbacks : sequence of Callback
            Called in this order.
        checkpoint : path-like, optional
            A file with the state of the run, rewritten after every epoch in one step: if the run is
            killed at any moment, the last epoch's file is complete. The previous one is kept beside
            it, as `name.1.suffix`, and is used if the last is damaged.
        checkpoint_every : int, optional
            Write it after this many updates of an epoch too, and go on from there.
        resume : bool, default False
            Continue from `checkpoint`, to the same bits as a run that was never interrupted.
            If there is no such file yet, the run starts from the beginning. The optimiser continues
            with the settings that it had.
        sample_weight : array_like (N,), optional
            The weight of each sample in its batch's mean loss, at least 0.

        Returns
        -------
        History
            One record per epoch, including those before an interruption.

        Raises
        ------
        TypeError, ValueError
            Arguments that do not fit each other, or a checkpoint that is damaged or belongs to
            another run: other data (an array of more than 1 GiB is compared by samples), network,
            callbacks or settings. The network, the optimiser and the callbacks are unchanged.
        OSError
            The checkpoint cannot be read or written.
        FloatingPointError
            The loss, the validation loss or a parameter is not finite. The message says where that
            began; the checkpoint is that of the previous epoch.
        Exception
            Whatever a data set raises while it is read.

        Warns
        -----
        UserWarning
            The optimiser's settings from a checkpoint are used instead of those given, or something
            else differs that does not prevent resuming.
        """
        divided, data = self._open(x, t)
        fit = Fit.prepare(
            self,
            self._together,
            data,
            divided,
            open_validation(validation, self._checks()),
            epochs=epochs,
            callbacks=callbacks,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            resume=resume,
            sample_weight=sample_weight,
        )
        self.epoch = self.resumed = fit.resumed
        self.epochs, self.samples, self.batches = fit.epochs, fit.plan.samples, fit.plan.batches
        self.history = History(fit.records)
        self.stop = self.pause = self._paused = False
        fit.run(self)
        return self.history

    @changes("a search of rates")
    def find_rate(
        self,
        x: ArrayLike | Dataset,
        t: ArrayLike | None = None,
        *,
        lowest: float = 1e-6,
        highest: float = 10.0,
        steps: int = 100,
    ) -> RateSearch:
        """Train a little with rates from `lowest` to `highest`, until the loss grows.

        Afterwards network, optimiser and generators are as before. `pocketcnn.plot.rate_finder`
        draws what it returns.

        Parameters
        ----------
        x, t : array_like, or a Dataset alone
            As in `fit`.
        lowest, highest : float
            The first and the last rate.
        steps : int, default 100
            How many batches, each with a rate of its own.
        """
        divided, data = self._open(x, t)
        return search_rates(self, data, divided, lowest, highest, steps)

    def running(self) -> tuple[float, float | None, float]:
        """Return the current epoch's mean loss, accuracy and images per second so far."""
        return self.counts.loss, self.counts.accuracy, self.counts.speed

    def evaluate(self, x: ArrayLike | Dataset, t: ArrayLike | None = None) -> Evaluation:
        """Measure mean loss, accuracy and metrics in inference mode.

        Parameters
        ----------
        x, t : array_like, or a Dataset alone
            As in `fit`.

        Returns
        -------
        Evaluation
            The pair (loss, accuracy), with the metrics by name as `metrics`. With numbers as
            targets accuracy is None. With `ema` it is the average that is measured. With `comm`,
            all ranks must call this, and the data of all are measured.
        """
        data = open_source(("x", "t"), x, t, self._checks())
        counts = Counts(self.objective, self._metrics)
        with self.updates.averaged():
            for out, targets in data.outputs(self.net, self.batch_size):
                loss, _ = self.objective(out, targets)
                counts.add(out, targets, loss, self.objective.batch_weight(targets, out.shape))
        alone = self.ranks.size == counts.batches == 1
        counts.share(self.ranks)
        return Evaluation(counts, loss if alone else counts.loss)

    def _open(self, x: ArrayLike | Dataset, t: ArrayLike | None) -> tuple[bool, Source]:
        """Return whether all ranks divide the samples, and where they come from."""
        divided = self.ranks.size == 1
        if isinstance(x, Shard):
            x, divided = x.dataset, True
        # An augmentation may cut the images to the network's size.
        checks = self._checks(any_size=self.augment is not None)
        return divided, open_source(("x", "t"), x, t, checks)

    def _checks(self, *, any_size: bool = False) -> Checks:
        # A derived class with its own step may use any kind of targets.
        own = type(self).step is not Trainer.step
        return Checks(self.net, self.objective, any_size, any_target=own)

    def place(self) -> str:
        """Say which update it is."""
        return f"epoch {self.epoch}, step {self.steps}" if self.epoch else f"step {self.steps}"
