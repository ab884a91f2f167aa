"""scikit-learn's own checks of estimators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import (
    check_sample_weight_equivalence_on_dense_data,
    parametrize_with_checks,
)

import pocketcnn as pc
from pocketcnn.sklearn.networks import small_network

# Few epochs, because hundreds of these are trained. All samples are one batch, since the checks
# compare results of samples in another order, or repeated ones with weighted ones.
BATCH = 10**6
CLASSIFIER = pc.ConvNetClassifier(batch_size=BATCH, learning_rate_init=0.02, max_iter=15)
REGRESSOR = pc.ConvNetRegressor(batch_size=BATCH, learning_rate_init=0.005, max_iter=30)

ROUNDING = (
    "Weighted samples are summed in another order than repeated ones: in float32 the results agree "
    "to 1e-4, and the check wants 1e-7. In float64 it passes, below."
)
FAILURES = {
    "ConvNetClassifier": {"check_sample_weight_equivalence_on_dense_data": ROUNDING},
    "ConvNetRegressor": {
        "check_sample_weight_equivalence_on_dense_data": ROUNDING,
        "check_regressor_multioutput": "Wants float64, but a network computes in float32.",
    },
}


def expected_failures(estimator: Any) -> dict[str, str]:
    return FAILURES[type(estimator).__name__]


CHECKS = parametrize_with_checks([CLASSIFIER, REGRESSOR], expected_failed_checks=expected_failures)


# A list: older releases of scikit-learn give a generator, of which pytest warns.
@pytest.mark.parametrize(CHECKS.args[0], list(CHECKS.args[1]), **CHECKS.kwargs)
def test_keeps_the_rules_of_estimators(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


def float64_network(outputs: int, input_shape: tuple[int, ...], seed: int) -> pc.ConvNet:
    return small_network(outputs, input_shape=input_shape, seed=seed).astype("float64")


@pytest.mark.parametrize("estimator", [CLASSIFIER, REGRESSOR], ids=lambda e: type(e).__name__)
def test_a_weight_counts_like_repetitions(estimator: Any) -> None:
    exact = clone(estimator).set_params(network=float64_network)
    check_sample_weight_equivalence_on_dense_data(type(estimator).__name__, exact)
