"""Scripts in the book's style run over ``install_common`` without a change."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# A network as readers write it, a file beside the script that trains it.
NETWORK = """
import numpy as np
from collections import OrderedDict
from common.layers import *
from common.gradient import numerical_gradient

class TinyNet:
    def __init__(self):
        self.params = {'W1': 0.1 * np.random.randn(3, 1, 3, 3), 'b1': np.zeros(3),
                       'W2': 0.1 * np.random.randn(507, 10), 'b2': np.zeros(10)}
        self.layers = OrderedDict()
        self.layers['Conv'] = Convolution(self.params['W1'], self.params['b1'])
        self.layers['Relu'] = Relu()
        self.layers['Pool'] = Pooling(pool_h=2, pool_w=2, stride=2)
        self.layers['Affine'] = Affine(self.params['W2'], self.params['b2'])
        self.last_layer = SoftmaxWithLoss()

    def loss(self, x, t):
        for layer in self.layers.values():
            x = layer.forward(x)
        self.scores = x
        return self.last_layer.forward(x, t)

    def accuracy(self, x, t):
        self.loss(x, t)
        return np.mean(self.scores.argmax(axis=1) == t)

    def gradient(self, x, t):
        self.loss(x, t)
        dout = self.last_layer.backward(1)
        for layer in reversed(list(self.layers.values())):
            dout = layer.backward(dout)
        conv, affine = self.layers['Conv'], self.layers['Affine']
        return {'W1': conv.dW, 'b1': conv.db, 'W2': affine.dW, 'b2': affine.db}
"""

SCRIPT = """
import sys, os
sys.path.append(os.pardir)
from common.optimizer import *
from common.util import smooth_curve, im2col
from common.trainer import Trainer
from common.functions import softmax
from common.multi_layer_net import MultiLayerNet
from common.multi_layer_net_extend import MultiLayerNetExtend
from common.own_module import ANSWER
from tiny_net import TinyNet
import pocketcnn as pc

(x, t), _ = pc.data.digits()
x, t = x[:200] / 255, t[:200]
np.random.seed(0)  # np came with the optimisers
trainer = Trainer(TinyNet(), x, t, x, t, epochs=5, mini_batch_size=20, optimizer='Adam',
                  optimizer_param={'lr': 0.01}, evaluate_sample_num_per_epoch=100)
trainer.train()
assert smooth_curve(trainer.train_loss_list).shape == (50,)
print('accuracy', trainer.test_acc_list[-1], ANSWER)
"""


def run(folder: Path, code: str) -> str:
    """Run code in a fresh interpreter, in a folder from which modules are imported too."""
    paths = os.pathsep.join([str(folder), *sys.path])
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A chapter's folder, beside a ``common`` that holds a module of the reader's own."""
    chapter, common = tmp_path / "ch07", tmp_path / "common"
    chapter.mkdir()
    common.mkdir()
    (chapter / "tiny_net.py").write_text(NETWORK)
    (chapter / "script.py").write_text(SCRIPT)
    (common / "__init__.py").write_text("")
    (common / "layers.py").write_text("raise ImportError('the book\\'s own layers')")
    (common / "own_module.py").write_text("ANSWER = 42")
    return chapter


def test_a_script_runs_unchanged(book: Path) -> None:
    out = run(
        book,
        "import pocketcnn, runpy\n"
        "pocketcnn.scratch.install_common()\n"
        "runpy.run_path('script.py', run_name='__main__')",
    )
    name, accuracy, answer = out.splitlines()[-1].split()
    assert name == "accuracy"
    assert float(accuracy) > 0.7  # 500 draws of 200 digits; guessing gives 0.1
    assert answer == "42"
    assert out.count("train loss: ") == 50
    assert out.count("epoch ") == 5


def test_install_common_twice_is_once(tmp_path: Path) -> None:
    run(
        tmp_path,
        "import sys\n"
        "from pocketcnn import scratch\n"
        "scratch.install_common()\n"
        "import common.layers, common.util\n"
        "scratch.install_common()\n"
        "from common import layers\n"
        "assert layers is common.layers is sys.modules['common.layers']\n"
        "assert layers.Convolution is scratch.Convolution\n"
        "assert common.util.im2col is scratch.im2col\n"
        "from common.layers import *\n"
        "np, sigmoid, softmax, im2col, Relu\n"
        "try:\n"
        "    import common.nothing\n"
        "except ModuleNotFoundError:\n"
        "    pass\n"
        "else:\n"
        "    raise AssertionError",
    )


def test_importing_the_package_does_not_import_the_book(tmp_path: Path) -> None:
    run(
        tmp_path,
        "import sys, pocketcnn\n"
        "assert 'pocketcnn.scratch' not in sys.modules\n"
        "assert pocketcnn.scratch.SimpleConvNet\n"
        "assert not any(name.split('.')[0] == 'common' for name in sys.modules)",
    )
