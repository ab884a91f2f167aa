"""The estimators in scikit-learn's tools, in files and in other processes."""

from __future__ import annotations

import copy
import os
import pickle
import pickletools
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

import pocketcnn as pc

FLAT, DIGITS = load_digits(return_X_y=True)
X, Y = FLAT[:300], np.array([f"digit {k}" for k in DIGITS[:300]])
MODEL = pc.ConvNetClassifier(max_iter=4, learning_rate_init=0.01, random_state=0)


def fitted() -> pc.ConvNetClassifier:
    model: pc.ConvNetClassifier = clone(MODEL).fit(X, Y)
    return model


def test_pipeline_and_grid_search_in_two_processes() -> None:
    pipeline = make_pipeline(MinMaxScaler(), MODEL)
    grid = {"convnetclassifier__learning_rate_init": [1e-6, 0.01]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(X, Y)
    assert search.best_params_ == {"convnetclassifier__learning_rate_init": 0.01}
    assert search.score(X, Y) > 0.7
    # Training in another process gives the same bits.
    again = GridSearchCV(pipeline, grid, cv=2).fit(X, Y)
    assert_array_equal(search.cv_results_["mean_test_score"], again.cv_results_["mean_test_score"])


def test_workers_share_the_processors() -> None:
    counts = joblib.Parallel(n_jobs=2)(joblib.delayed(pc.get_num_threads)() for _ in range(4))
    assert max(counts) * 2 <= max(2, os.cpu_count() or 2)


def test_cross_validation_and_clones() -> None:
    scores = cross_val_score(MODEL, X.reshape(-1, 8, 8), Y, cv=3)
    assert scores.shape == (3,)
    assert min(scores) > 0.5
    model = fitted()
    twin = clone(model)
    assert twin.get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        twin.predict(X)
    assert_array_equal(twin.fit(X, Y).predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration(method: str) -> None:
    calibrated = CalibratedClassifierCV(MODEL, method=method, cv=2).fit(X, Y)
    assert calibrated.score(X, Y) > 0.7
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1, rtol=1e-6)


def test_importance_of_pixels() -> None:
    found = permutation_importance(fitted(), X, Y, n_repeats=2, random_state=0).importances_mean
    assert found.shape == (64,)
    empty = X.std(axis=0) == 0
    assert_array_equal(found[empty], 0)
    assert found[~empty].max() > 0.01


def test_a_pickle_has_no_classes_but_the_estimators() -> None:
    model = fitted().partial_fit(X, Y)
    content = pickle.dumps(model)
    words = [arg for _, arg, _ in pickletools.genops(content) if isinstance(arg, str)]
    modules = {word for word in words if word.startswith("pocketcnn")}
    assert modules == {"pocketcnn.sklearn.classifier"}
    twin = pickle.loads(content)
    assert_array_equal(twin.predict_proba(X), model.predict_proba(X))
    assert twin.history_ == model.history_
    assert repr(twin) == repr(model)
    assert pickle.dumps(twin) == content


def test_a_file_is_read_by_another_process_and_by_pages(tmp_path: Path) -> None:
    model = fitted()
    path = tmp_path / "model.joblib"
    joblib.dump(model, path)
    mapped = joblib.load(path, mmap_mode="r")
    assert_array_equal(mapped.predict_proba(X), model.predict_proba(X))
    mapped.partial_fit(X, Y)  # has arrays of its own
    np.save(tmp_path / "x.npy", X)
    code = (
        "import joblib, numpy as np\n"
        "model = joblib.load('model.joblib')\n"
        "np.save('scores.npy', model.decision_function(np.load('x.npy')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    assert_array_equal(np.load(tmp_path / "scores.npy"), model.decision_function(X))


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_copies_are_independent(duplicate: Any) -> None:
    model = fitted()
    before = model.predict_proba(X)
    twin = duplicate(model)
    assert_array_equal(twin.predict_proba(X), before)
    twin.partial_fit(X, Y)
    assert_array_equal(model.predict_proba(X), before)
    assert model.n_iter_ == 4


def test_what_a_notebook_shows() -> None:
    assert repr(MODEL) == ("ConvNetClassifier(learning_rate_init=0.01, max_iter=4, random_state=0)")
    assert "ConvNetClassifier" in MODEL._repr_html_()
    with pytest.raises(ValueError, match="Invalid parameter 'epochs'"):
        pc.ConvNetRegressor().set_params(epochs=3)


def test_scikit_learn_is_imported_when_an_estimator_is_used() -> None:
    code = (
        "import sys\n"
        "from pocketcnn import *\n"
        "import pocketcnn as pc\n"
        "assert 'ConvNetRegressor' in dir(pc) and 'sklearn' not in sys.modules\n"
        "assert issubclass(pc.ConvNetRegressor, __import__('sklearn.base').base.BaseEstimator)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_scikit_learn() -> None:
    code = (
        "import sys\n"
        "sys.modules['sklearn'] = None\n"
        "import pocketcnn as pc\n"
        "try:\n"
        "    pc.ConvNetClassifier\n"
        "except ImportError as error:\n"
        "    assert 'pip install pocketcnn[sklearn]' in str(error), error\n"
        "else:\n"
        "    raise AssertionError"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
