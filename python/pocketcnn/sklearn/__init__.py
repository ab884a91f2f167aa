"""Convolutional networks as scikit-learn estimators; needs scikit-learn, the extra `sklearn`.

Importing pocketcnn does not import this module: `pocketcnn.ConvNetClassifier` and
`pocketcnn.ConvNetRegressor` do when they are first used.
"""

try:
    import sklearn.utils.validation

    sklearn.utils.validation.validate_data  # noqa: B018  # since scikit-learn 1.6
except (ImportError, AttributeError) as error:
    raise ImportError(
        "ConvNetClassifier and ConvNetRegressor need scikit-learn 1.6 or later: "
        "pip install pocketcnn[sklearn]"
    ) from error

from pocketcnn.sklearn.classifier import ConvNetClassifier
from pocketcnn.sklearn.regressor import ConvNetRegressor

__all__ = ["ConvNetClassifier", "ConvNetRegressor"]


def __dir__() -> list[str]:
    """List the public names, which completion shows."""
    return sorted(__all__)
