"""A search of settings with Optuna, which ends trials that do badly before they are trained.

    pip install 'pocketcnn[sklearn]' optuna
    python examples/sweep_optuna.py

With ``storage="sqlite:///sweep.db"``, or a server's address, any number of processes share one
study: each calls `study.optimize`.
"""

from __future__ import annotations

from typing import Any

import optuna
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import pocketcnn as pc

X, Y = load_digits(return_X_y=True)
TRAINING, VALIDATION, T_TRAINING, T_VALIDATION = train_test_split(X, Y, random_state=0)


def objective(trial: optuna.Trial) -> float:
    """Train with the settings of a trial, two epochs at a time, and return the accuracy."""
    classifier: Any = pc.ConvNetClassifier(
        max_iter=2,
        warm_start=True,
        random_state=0,
        learning_rate_init=trial.suggest_float("learning_rate_init", 1e-5, 1e-1, log=True),
        batch_size=trial.suggest_categorical("batch_size", [50, 100, 200]),
    )
    score = 0.0
    for part in range(3):
        classifier.fit(TRAINING, T_TRAINING)
        score = float(classifier.score(VALIDATION, T_VALIDATION))
        trial.report(score, part)
        if trial.should_prune():
            raise optuna.TrialPruned
    return score


def main() -> None:
    """Search, and print the best settings."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=0),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=3),
    )
    study.optimize(objective, n_trials=8)
    print(f"{study.best_value:.1%} with {study.best_params}")


if __name__ == "__main__":
    main()
