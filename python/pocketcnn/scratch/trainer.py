"""The book's training loop: ``common.trainer``."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from pocketcnn._arguments import Array, integer
from pocketcnn.scratch.optimizer import SGD, AdaGrad, Adam, Momentum, Nesterov, RMSprop

__all__ = ["Trainer"]

_OPTIMIZERS = {
    kind.__name__.lower(): kind for kind in (SGD, Momentum, Nesterov, AdaGrad, RMSprop, Adam)
}
_DEFAULT_PARAM = MappingProxyType({"lr": 0.01})


class _Network(Protocol):
    """What `Trainer` needs from a network."""

    params: dict[str, Any]

    def gradient(self, x: Any, t: Any) -> Mapping[str, Any]: ...
    def loss(self, x: Any, t: Any) -> Any: ...
    def accuracy(self, x: Any, t: Any) -> Any: ...


class Trainer:
    """Train a network on batches drawn by ``np.random.choice``.

    Parameters
    ----------
    network
        Has ``params``, ``gradient(x, t)``, ``loss(x, t)`` and ``accuracy(x, t)``.
    x_train, t_train, x_test, t_test : ndarray
    epochs : int
        An epoch is as many batches as are needed for the size of the training set.
    mini_batch_size : int
    optimizer : {"SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam"}
        In upper or lower case.
    optimizer_param : mapping
        Arguments of the optimiser.
    evaluate_sample_num_per_epoch : int or None
        How many examples, from the first on, the accuracies of an epoch are measured on; None for
        all.
    verbose : bool
        Whether to print each loss and each epoch's accuracies.

    Attributes
    ----------
    train_loss_list : list of float
        Loss of each batch, after its step.
    train_acc_list, test_acc_list : list of float
        Measured after the first step of each epoch.

    Raises
    ------
    ValueError
        If a set has no example or does not have as many labels, or a number is too small.
    """

    def __init__(
        self,
        network: _Network,
        x_train: Array,
        t_train: Array,
        x_test: Array,
        t_test: Array,
        epochs: int = 20,
        mini_batch_size: int = 100,
        optimizer: str = "SGD",
        optimizer_param: Mapping[str, float] = _DEFAULT_PARAM,
        evaluate_sample_num_per_epoch: int | None = None,
        verbose: bool = True,
    ) -> None:
        if optimizer.lower() not in _OPTIMIZERS:
            names = [kind.__name__ for kind in _OPTIMIZERS.values()]
            raise ValueError(f"optimizer is {optimizer!r}, but must be one of {names}")
        for name, x, t in (("train", x_train, t_train), ("test", x_test, t_test)):
            if len(x) != len(t) or not len(x):
                raise ValueError(
                    f"x_{name} has {len(x)} examples and t_{name} {len(t)}: need as many, not 0"
                )
        if evaluate_sample_num_per_epoch is not None:
            integer("evaluate_sample_num_per_epoch", evaluate_sample_num_per_epoch, 1)
        self.network = network
        self.x_train, self.t_train = x_train, t_train
        self.x_test, self.t_test = x_test, t_test
        self.epochs = integer("epochs", epochs, 0)
        self.batch_size = integer("mini_batch_size", mini_batch_size, 1)
        self.optimizer = _OPTIMIZERS[optimizer.lower()](**optimizer_param)
        self.evaluate_sample_num_per_epoch = evaluate_sample_num_per_epoch
        self.verbose = verbose
        self.train_size = len(x_train)
        self.iter_per_epoch = max(self.train_size / self.batch_size, 1)
        self.max_iter = int(self.epochs * self.iter_per_epoch)
        self.current_iter = 0
        self.current_epoch = 0
        self.train_loss_list: list[Any] = []
        self.train_acc_list: list[Any] = []
        self.test_acc_list: list[Any] = []

    def train_step(self) -> None:
        """Draw a batch, update the parameters, and at an epoch's first step evaluate."""
        chosen = np.random.choice(self.train_size, self.batch_size)
        x, t = self.x_train[chosen], self.t_train[chosen]
        self.optimizer.update(self.network.params, self.network.gradient(x, t))
        loss = self.network.loss(x, t)
        self.train_loss_list.append(loss)
        if self.verbose:
            print(f"train loss: {loss}")
        if self.current_iter >= self.current_epoch * self.iter_per_epoch:
            self.current_epoch += 1
            self._evaluate()
        self.current_iter += 1

    def train(self) -> None:
        """Take all steps, then print the accuracy on the whole test set where `verbose`."""
        for _ in range(self.max_iter):
            self.train_step()
        if self.verbose:
            print(f"final test accuracy: {self.network.accuracy(self.x_test, self.t_test)}")

    def _evaluate(self) -> None:
        first = slice(self.evaluate_sample_num_per_epoch)
        train = self.network.accuracy(self.x_train[first], self.t_train[first])
        test = self.network.accuracy(self.x_test[first], self.t_test[first])
        self.train_acc_list.append(train)
        self.test_acc_list.append(test)
        if self.verbose:
            print(f"epoch {self.current_epoch}: train accuracy {train}, test accuracy {test}")
