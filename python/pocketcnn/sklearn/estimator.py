"""What classifier and regressor share: parameters, training, and how they are pickled."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, inf
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from pocketcnn import optim
from pocketcnn._arguments import Array, integer
from pocketcnn.data import Augment
from pocketcnn.layers import Shape
from pocketcnn.network.net import ConvNet
from pocketcnn.optim import Optimizer
from pocketcnn.sklearn.images import Layout, mean_and_std, read_layout
from pocketcnn.sklearn.networks import (
    Factory,
    from_state,
    make_network,
    to_state,
    with_input_units,
)
from pocketcnn.training.callbacks import Callback, EarlyStopping
from pocketcnn.training.history import History, Record
from pocketcnn.training.progress import ProgressBar
from pocketcnn.training.trainer import Trainer

_LARGEST = float(np.finfo(np.float32).max)
_OPTIMIZERS = {
    name.lower(): getattr(optim, name) for name in optim.__all__ if name != Optimizer.__name__
}


class ConvNetEstimator(BaseEstimator):
    """Base class; the parameters and attributes are documented by those derived from it."""

    def __init__(
        self,
        network: str | Factory = "small",
        *,
        image_shape: Sequence[int] | None = None,
        standardize: bool = True,
        optimizer: Any = "adam",
        learning_rate_init: float = 0.001,
        max_iter: int = 30,
        batch_size: int | str = "auto",
        augment: Augment | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: Any = 10,
        tol: float = 1e-4,
        callbacks: Sequence[Callback] = (),
        warm_start: bool = False,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.network = network
        self.image_shape = image_shape
        self.standardize = standardize
        self.optimizer = optimizer
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.augment = augment
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.callbacks = callbacks
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    # Samples

    def _checked(
        self, X: Any, y: Any, sample_weight: Any, *, fresh: bool, **of_y: bool
    ) -> tuple[Array, Array, Array | None]:
        """Check the data of a fit; samples of weight zero are left out."""
        x, y = validate_data(self, X, y, allow_nd=True, reset=fresh, **of_y)
        if fresh:
            self._layout = x.shape[1:], *read_layout(x.shape[1:], self.image_shape)
            self.image_shape_ = Layout(*self._layout[1:]).image_shape
        images = self._images(x)
        if sample_weight is None:
            return images, y, None
        weights = _checked_weights(sample_weight, len(x))
        used = weights > 0
        return (images, y, weights) if used.all() else (images[used], y[used], weights[used])

    def _images(self, x: Array) -> Array:
        sample: Shape = self._layout[0]
        if x.shape[1:] != sample:
            raise ValueError(f"X has samples of shape {x.shape[1:]}, but was fitted with {sample}")
        if x.dtype.kind == "f" and x.dtype.itemsize > 4 and max(-x.min(), x.max()) > _LARGEST:
            raise ValueError("X has a value that is too large for float32")
        return Layout(*self._layout[1:]).images(x)

    def _outputs(self, X: Any) -> Array:
        check_is_fitted(self, "network_")
        x = validate_data(self, X, allow_nd=True, reset=False)
        scores: Array = self.network_.predict(self._images(x))
        return scores

    # Training

    def _is_fresh(self, *, go_on: bool) -> bool:
        """Whether a fit begins with a new network."""
        return not (go_on and hasattr(self, "network_"))

    def _new_network(self, x: Array, outputs: int, weights: Array | None) -> ConvNet:
        """Make a network for the images; the seeds come from `random_state`."""
        random = check_random_state(self.random_state)
        net = make_network(self.network, outputs, self.image_shape_, random.randint(2**31 - 1))
        return with_input_units(net, *mean_and_std(x, weights)) if self.standardize else net

    def _begin(self, net: ConvNet) -> None:
        self.network_ = net
        self.history_ = History()
        self._trainer: Trainer | None = None
        self._trainer_state: dict[str, Any] = {}

    def _train(
        self, x: Array, t: Array, weights: Array | None, loss: Any, stratify: bool
    ) -> ConvNetEstimator:
        """Train the network that is there with a new optimiser, as `fit` does."""
        epochs = integer("max_iter", self.max_iter, 1)
        random = check_random_state(self.random_state)
        self._trainer = self._new_trainer(random.randint(2**31 - 1), loss)
        validation = None
        if self.early_stopping:
            train, held_out = train_test_split(
                np.arange(len(x)),
                test_size=self.validation_fraction,
                random_state=random,
                stratify=t if stratify else None,
            )
            validation = x[held_out], t[held_out]
            x, t, weights = x[train], t[train], None if weights is None else weights[train]
        patience = epochs
        if self.n_iter_no_change != inf:
            patience = integer("n_iter_no_change", self.n_iter_no_change, 1)
        stop = EarlyStopping(
            "val_loss" if validation else "loss",
            patience=patience,
            min_delta=self.tol,
            restore_best=validation is not None,
        )
        bar = [ProgressBar()] if self.verbose else []
        callbacks = [*self.callbacks, stop, *bar]
        return self._run(x, t, weights, epochs, validation=validation, callbacks=callbacks)

    def _train_once(self, x: Array, t: Array, weights: Array | None, loss: Any) -> ConvNetEstimator:
        """Train for one epoch with the optimiser of the last call, as `partial_fit` does."""
        if self.early_stopping:
            raise ValueError("partial_fit cannot hold images back: wanted early_stopping=False")
        if self._trainer is None:
            random = check_random_state(self.random_state)
            self._trainer = self._new_trainer(random.randint(2**31 - 1), loss)
            _restore(self._trainer, self._trainer_state)
        return self._run(x, t, weights, 1, callbacks=self.callbacks)

    def _new_trainer(self, seed: int, loss: Any) -> Trainer:
        make = self.optimizer
        if isinstance(make, str):
            if make not in _OPTIMIZERS:
                raise ValueError(f"optimizer is {make!r}: wanted one of {', '.join(_OPTIMIZERS)}")
            make = _OPTIMIZERS[make]
        if not callable(make):
            raise TypeError(f"optimizer is {make!r}: wanted a name, or a callable (rate)")
        optimizer = make(self.learning_rate_init)
        return Trainer(self.network_, optimizer, seed=seed, augment=self.augment, loss=loss)

    def _run(
        self, x: Array, t: Array, weights: Array | None, epochs: int, **options: Any
    ) -> ConvNetEstimator:
        trainer = self._trainer
        assert trainer is not None
        trainer.batch_size = self._batch_size(len(x))
        if weights is not None:
            options["sample_weight"] = weights
        before = len(self.history_)
        for record in trainer.fit(x, t, epochs=epochs, **options):
            record["epoch"] += before
            self.history_.append(record)
        self.n_iter_ = len(self.history_)
        self.loss_curve_ = self.history_.column("loss")
        self.loss_ = self.loss_curve_[-1]
        return self

    def _batch_size(self, samples: int) -> int:
        """Without a number, ten batches an epoch, of 10 to 100 samples, the last not of one."""
        if self.batch_size != "auto":
            return integer("batch_size", self.batch_size, 1)  # type: ignore[arg-type]  # it checks
        size = min(max(ceil(samples / 10), 10), 100)
        return size + 1 if samples % size == 1 else size

    # Copies and files: text, numbers and arrays, so that no class of the library is in them

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "network_" in state:
            trainer = state.pop("_trainer")
            if trainer is not None:
                state["_trainer_state"] = _snapshot(trainer)
            state["network_"] = to_state(self.network_)
            state["history_"] = list(map(dict, self.history_))
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "network_" in state:
            records: list[Record] = state["history_"]
            state = {
                **state,
                "network_": from_state(state["network_"]),
                "history_": History(records),
                "_trainer": None,
            }
        super().__setstate__(state)


def _checked_weights(sample_weight: Any, samples: int) -> Array:
    weights = np.asarray(sample_weight, dtype=np.float64)
    if isinstance(sample_weight, Real):
        weights = np.full(samples, weights)
    if weights.shape != (samples,):
        raise ValueError(f"sample_weight has shape {weights.shape}, but must have {(samples,)}")
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("sample_weight has numbers that are negative or not finite")
    if not weights.any():
        raise ValueError("sample_weight is zero for all samples")
    return weights


def _snapshot(trainer: Trainer) -> dict[str, Any]:
    """What a trainer needs to go on to the same bits, besides the network's arrays."""
    generators = {**trainer.generators, **trainer.net.generators}
    return {
        "optimizer": trainer.optimizer.state_dict(),
        "generators": {name: rng.bit_generator.state for name, rng in generators.items()},
    }


def _restore(trainer: Trainer, state: dict[str, Any]) -> None:
    if state:
        trainer.optimizer.load_state_dict(state["optimizer"])
        for name, rng in {**trainer.generators, **trainer.net.generators}.items():
            rng.bit_generator.state = state["generators"][name]
