"""A search of settings in the processes of a Dask cluster, through joblib.

    pip install 'pocketcnn[sklearn]' 'dask[distributed]'
    python examples/sweep_dask.py

On a real cluster the client gets the scheduler's address instead of a local cluster. Each worker
trains one network at a time, with one thread.
"""

from __future__ import annotations

from dask.distributed import Client, LocalCluster
from joblib import parallel_config
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

import pocketcnn as pc


def main() -> None:
    """Search, and print the settings from the best to the worst."""
    x, y = load_digits(return_X_y=True)
    search = GridSearchCV(
        pc.ConvNetClassifier(max_iter=3, random_state=0),
        {"learning_rate_init": [0.0003, 0.003], "batch_size": [50, 200]},
        cv=2,
    )
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster, Client(cluster) as client:
        client.run(pc.set_num_threads, 1)
        with parallel_config("dask"):
            search.fit(x[:600], y[:600])
    results = search.cv_results_
    for place in results["rank_test_score"].argsort():
        print(f"{results['mean_test_score'][place]:.1%} with {results['params'][place]}")


if __name__ == "__main__":
    main()
