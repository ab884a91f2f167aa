"""ConvNetRegressor: numbers that images stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin

from pocketcnn._arguments import Array
from pocketcnn.sklearn.estimator import ConvNetEstimator
from pocketcnn.sklearn.images import mean_and_std
from pocketcnn.sklearn.losses import WeightedSquaredError
from pocketcnn.sklearn.networks import with_output_units


class ConvNetRegressor(RegressorMixin, ConvNetEstimator):
    """A convolutional network that estimates one number, or several, from an image.

    It minimises the squared error, each output in units of the standard deviation of its targets:
    `loss_curve_` is 1 for a network that always answers with the mean. Outputs have the units of
    the targets, because the network's last layers put them back.

    Parameters
    ----------
    network : str or callable, default "small"
        As in `ConvNetClassifier`, with the number of outputs in place of that of classes.
    image_shape, standardize, optimizer, learning_rate_init, max_iter, batch_size, augment
        As in `ConvNetClassifier`.
    early_stopping, validation_fraction, n_iter_no_change, tol, callbacks
        As in `ConvNetClassifier`; what is held back is drawn from all images.
    warm_start, random_state, verbose
        As in `ConvNetClassifier`.

    Attributes
    ----------
    network_, image_shape_, n_iter_, history_, loss_curve_, loss_, n_features_in_
        As in `ConvNetClassifier`.
    n_outputs_ : int

    See Also
    --------
    ConvNetClassifier

    Examples
    --------
    How bright are the digits?

    >>> import pocketcnn as pc
    >>> (x, _), (x_test, _) = pc.data.digits()
    >>> regressor = pc.ConvNetRegressor(max_iter=3, random_state=0)
    >>> regressor.fit(x, x.mean((1, 2, 3))).score(x_test, x_test.mean((1, 2, 3))) > 0.9
    True
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> ConvNetRegressor:
        """Train on images and their targets.

        Parameters
        ----------
        X : array_like, (N, H, W), (N, C, H, W), (N, H, W, C) or (N, features)
        y : array_like, (N,) or (N, outputs)
        sample_weight : array_like, (N,), optional
            How much each image counts; those of weight 0 are left out.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            Images, targets, weights or parameters that cannot be used.
        FloatingPointError
            The loss became infinite or NaN: the learning rate is too large.
        """
        x, t, weights = self._prepared(X, y, sample_weight, go_on=self.warm_start)
        return self._train(x, t, weights, self._loss(), stratify=False)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> ConvNetRegressor:
        """Train for one epoch on some of the images.

        The units of the targets, and with `standardize` those of the images, are taken from the
        first call.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.

        Returns
        -------
        self
        """
        x, t, weights = self._prepared(X, y, sample_weight, go_on=True)
        return self._train_once(x, t, weights, self._loss())

    def predict(self, X: Any) -> Array:
        """Estimate the targets, float32 (N,) or (N, outputs)."""
        outputs = self._outputs(X)
        return outputs[:, 0] if self._is_flat else outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _prepared(
        self, X: Any, y: Any, sample_weight: Any, *, go_on: bool
    ) -> tuple[Array, Array, Array | None]:
        """Check the data, make a network if there is none, and bring the weights to a mean of 1."""
        fresh = self._is_fresh(go_on=go_on)
        x, y, weights = self._checked(
            X, y, sample_weight, fresh=fresh, multi_output=True, y_numeric=True
        )
        t = y.reshape(len(y), -1).astype(np.float32)
        if fresh:
            self.n_outputs_ = t.shape[1]
            self._is_flat = y.ndim == 1
            mean, std = mean_and_std(t[:, :, None, None], weights)
            self._unit = std.tolist()
            self._begin(with_output_units(self._new_network(x, t.shape[1], weights), mean, std))
        elif t.shape[1] != self.n_outputs_:
            raise ValueError(f"y has {t.shape[1]} outputs, but had {self.n_outputs_} before")
        return x, t, None if weights is None else weights / weights.mean()

    def _loss(self) -> WeightedSquaredError:
        return WeightedSquaredError(self._unit)
