"""Whether an installed pocketcnn works at all: ``python smoke.py`` needs the package alone.

For platforms on which the whole suite does not run: it trains, compares gradients with differences,
saves, loads, and compiles, and prints what ran. The exit code is 0 if all of it is as it should be.
"""

from __future__ import annotations

import platform
import sys
import tempfile
from pathlib import Path

import numpy as np

import pocketcnn as pc


def small_network(dtype: str) -> pc.ConvNet:
    """One of each kind of layer that has kernels of its own."""
    return pc.ConvNet(
        [
            ("conv1", pc.Conv2d(1, 8, 3, padding=1, bias=False)),
            ("norm1", pc.BatchNorm2d(8)),
            ("relu1", pc.ReLU()),
            ("pool1", pc.MaxPool2d(2)),
            ("conv2", pc.Conv2d(8, 8, 3, padding=1, groups=8)),
            ("silu2", pc.SiLU()),
            ("pool2", pc.AvgPool2d(2)),
            ("flatten", pc.Flatten()),
            ("fc", pc.Linear(8 * 7 * 7, 10)),
        ],
        input_shape=(1, 28, 28),
        dtype=dtype,
        seed=0,
    )


def check_gradients(x: np.ndarray, t: np.ndarray) -> None:
    """Compare every gradient with central differences in double precision."""
    net = small_network("float64")
    _, gradients = net.value_and_gradient(x, t)
    rng = np.random.default_rng(0)
    step = 1e-5
    for name, parameter in net.params.items():
        direction = rng.standard_normal(parameter.shape)
        losses = []
        for sign in (1, -1):
            parameter += sign * step * direction
            losses.append(net.value_and_gradient(x, t)[0])
            parameter -= sign * step * direction
        measured = (losses[0] - losses[1]) / (2 * step)
        computed = float((gradients[name] * direction).sum())
        # Differences of a function of size 1 have some 1e-16 / step of rounding.
        if abs(measured - computed) > 1e-6 * (1 + abs(computed)):
            raise AssertionError(f"gradient of {name}: {computed}, by differences {measured}")


def check_training(x: np.ndarray, t: np.ndarray) -> float:
    """Train; the saved and the compiled network must answer as the trained one."""
    net = small_network("float32")
    pc.Trainer(net, pc.optim.Adam(0.003), batch_size=50, seed=0).fit(x, t, epochs=3)
    scores = net.predict(x)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "smoke.safetensors"
        net.save(path)
        if not np.array_equal(pc.load(path).predict(x), scores):
            raise AssertionError("the loaded network answers differently")
    np.testing.assert_allclose(net.compile()(x), scores, rtol=1e-4, atol=1e-4)
    accuracy = float(net.accuracy(x, t))
    if accuracy < 0.8:
        raise AssertionError(f"after three epochs {accuracy:.1%} of the training images are right")
    return accuracy


def main() -> int:
    """Run everything."""
    (x, t), _ = pc.data.digits()
    x = np.float32(x[:1000]) / 255
    check_gradients(np.float64(x[:4]), t[:4])
    with pc.num_threads(2):
        accuracy = check_training(x, t[:1000])
    print(
        f"pocketcnn {pc.__version__}, {platform.system()} {platform.machine()}, {pc.isa()}, "
        f"Python {platform.python_version()}, NumPy {np.__version__}, "
        f"teams {', '.join(pc.available_teams())}: {accuracy:.1%} of 1,000 digits learnt"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
