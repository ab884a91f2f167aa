"""ConvNetClassifier: classes of images, as scikit-learn's classifiers tell them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from pocketcnn import functional
from pocketcnn._arguments import Array
from pocketcnn.data import Augment
from pocketcnn.sklearn.estimator import ConvNetEstimator
from pocketcnn.sklearn.losses import WeightedCrossEntropy
from pocketcnn.sklearn.networks import Factory
from pocketcnn.training.callbacks import Callback

_LOSS = WeightedCrossEntropy()


class ConvNetClassifier(ClassifierMixin, ConvNetEstimator):
    """A convolutional network that classifies images.

    Images are (N, H, W), (N, C, H, W) or (N, H, W, C), of any real dtype, or flat (N, features).
    Names of parameters are those of `sklearn.neural_network.MLPClassifier` where they mean the
    same.

    Parameters
    ----------
    network : str or callable, default "small"
        A name in `pocketcnn.models`, or "small": two linear layers behind as many convolutions as
        the images' size asks for. A callable is called like those in `pocketcnn.models`, as
        ``network(classes, input_shape=(C, H, W), seed=seed)``, and returns a `ConvNet` whose
        outputs are scores before softmax.
    image_shape : tuple of int, optional
        (H, W), (C, H, W) or (H, W, C): what a flat sample is reshaped to, and samples that are not
        flat must be. Without it a flat sample is a square image if its length is a square,
        otherwise one row; of three axes the last are the channels if only that one can be (1, 3
        or 4 values).
    standardize : bool, default True
        Put the mean and standard deviation of each channel of the training images into a layer in
        front of the network, so that pixels need no scaling. For a network that came with its
        weights, the images should be scaled as it was trained, and this be False.
    optimizer : str or callable, default "adam"
        "adam", "adamw", "sgd", "rmsprop", "adagrad", or a callable (rate) that makes an optimiser:
        ``functools.partial(pc.optim.SGD, momentum=0.9)``.
    learning_rate_init : float, default 0.001
        Its learning rate; a schedule among `callbacks` may change it.
    max_iter : int, default 30
        How many epochs to train at most.
    batch_size : int or "auto", default "auto"
        Images per update; "auto" makes ten batches, of 10 to 100 images.
    class_weight : dict or "balanced", optional
        How much the images of each class count. "balanced" lets all classes count the same.
    augment : callable (x, rng) -> x, optional
        Changes each training batch; see `pocketcnn.Trainer`.
    early_stopping : bool, default False
        Hold back `validation_fraction` of the images, the same share of each class, stop by their
        loss instead of that of training, and return to the weights with which it was lowest.
    validation_fraction : float, default 0.1
    n_iter_no_change : int or inf, default 10
        Training stops when the loss has not fallen by `tol` for so many epochs.
    tol : float, default 1e-4
    callbacks : sequence of Callback, default ()
        Such as a schedule; used as they are, not copied.
    warm_start : bool, default False
        Let `fit` go on with the network that an earlier call trained.
    random_state : int, RandomState or None, default None
        Of first weights, the order of the images, and what is held back. The same number gives the
        same bits, for any number of threads.
    verbose : bool, default False
        Whether to show progress.

    Attributes
    ----------
    classes_ : ndarray, (K,)
        The labels, in the order of scores and probabilities.
    network_ : ConvNet
        The trained network: a complete model, with `classes_` as its class names. Save it for use
        without scikit-learn.
    image_shape_ : tuple of int
        (C, H, W).
    n_iter_ : int
        How many epochs were trained.
    history_ : History
        A record for each epoch.
    loss_curve_ : list of float
        The mean loss of each epoch, and `loss_` its last.
    n_features_in_ : int
    feature_names_in_ : ndarray
        As scikit-learn defines them, for flat samples; the second axis of other samples.

    See Also
    --------
    ConvNetRegressor

    Examples
    --------
    >>> import pocketcnn as pc
    >>> (x, t), (x_test, t_test) = pc.data.digits()
    >>> classifier = pc.ConvNetClassifier(max_iter=3, random_state=0).fit(x, t)
    >>> classifier.score(x_test, t_test) > 0.95
    True
    """

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
        class_weight: Any = None,
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
        super().__init__(
            network,
            image_shape=image_shape,
            standardize=standardize,
            optimizer=optimizer,
            learning_rate_init=learning_rate_init,
            max_iter=max_iter,
            batch_size=batch_size,
            augment=augment,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            callbacks=callbacks,
            warm_start=warm_start,
            random_state=random_state,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> ConvNetClassifier:
        """Train on images and their labels.

        Parameters
        ----------
        X : array_like, (N, H, W), (N, C, H, W), (N, H, W, C) or (N, features)
        y : array_like, (N,)
            Labels of any kind: numbers, strings, booleans.
        sample_weight : array_like, (N,), optional
            How much each image counts; those of weight 0 are left out.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            Images, labels, weights or parameters that cannot be used.
        FloatingPointError
            The loss became infinite or NaN: the learning rate is too large.
        """
        fresh = self._is_fresh(go_on=self.warm_start)
        x, y, weights = self._checked(X, y, sample_weight, fresh=fresh)
        check_classification_targets(y)
        classes = np.unique(y)
        if fresh:
            self.classes_ = classes
            self._begin(self._named(self._new_network(x, len(classes), weights)))
        elif not np.array_equal(classes, self.classes_):
            raise ValueError(f"y has the classes {classes}, but warm_start needs {self.classes_}")
        t = np.searchsorted(self.classes_, y)
        weights = self._by_class(t, weights)
        return self._train(x, t, weights, _LOSS, stratify=True)

    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> ConvNetClassifier:
        """Train for one epoch on some of the images.

        `standardize` takes mean and deviation from the first call.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.
        classes : array_like, (K,)
            All labels that will occur; needed in the first call.

        Returns
        -------
        self
        """
        fresh = self._is_fresh(go_on=True)
        if fresh and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit")
        x, y, weights = self._checked(X, y, sample_weight, fresh=fresh)
        check_classification_targets(y)
        if classes is not None:
            classes = np.unique(classes)
            if not fresh and not np.array_equal(classes, self.classes_):
                raise ValueError(f"classes is {classes}, but was {self.classes_} before")
        known = classes if fresh else self.classes_
        if not np.isin(y, known).all():
            raise ValueError(f"y has the classes {np.setdiff1d(y, known)}, which classes lacks")
        if fresh:
            self.classes_ = known
            self._begin(self._named(self._new_network(x, len(known), weights)))
        if self.class_weight == "balanced":
            raise ValueError(
                "partial_fit cannot know how many images each class will have: wanted a dict of "
                "class_weight, not 'balanced'"
            )
        t = np.searchsorted(self.classes_, y)
        weights = self._by_class(t, weights)
        return self._train_once(x, t, weights, _LOSS)

    def predict(self, X: Any) -> Array:
        """Return the label with the largest score for each image, (N,)."""
        best = self._outputs(X).argmax(axis=1)
        labels: Array = self.classes_[best]
        return labels

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class, float32 (N, K), in the order of `classes_`."""
        return functional.softmax(self._outputs(X))

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithm of `predict_proba`."""
        return functional.log_softmax(self._outputs(X))

    def decision_function(self, X: Any) -> Array:
        """Return the scores before softmax, (N, K); of two classes their difference, (N,)."""
        scores = self._outputs(X)
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def _named(self, net: Any) -> Any:
        """Give the network the names of the classes, for files that are used without us."""
        names = [str(label) for label in self.classes_.tolist()]
        net.classes = names if all(names) else None
        return net

    def _by_class(self, t: Array, weights: Array | None) -> Array | None:
        """Weights of samples, multiplied by those of their classes; the mean is 1."""
        if self.class_weight == "balanced":
            sizes = np.bincount(t, weights, minlength=len(self.classes_))
            weights = (np.ones(len(t)) if weights is None else weights) / sizes[t]
        elif self.class_weight is not None:
            by_class = compute_class_weight(
                self.class_weight, classes=self.classes_, y=self.classes_[t]
            )
            weights = (1.0 if weights is None else weights) * by_class[t]
        return None if weights is None else weights / weights.mean()
