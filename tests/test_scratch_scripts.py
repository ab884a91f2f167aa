"""Scripts in the book's style run over ``install_common`` without a change."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# A network as readers write it, in a file beside the script that trains it.
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


# A reader's copy of the book's file, with additions.
OWN_FUNCTIONS = """
from .own_module import ANSWER
from common.util import im2col

def sigmoid(x):
    return 'of the book'

def elu(x):
    return np.where(x > 0, x, np.exp(x) - 1)

class Swish:
    pass

import numpy as np
LIMIT, (LOW, HIGH) = 1, (2, 3)
"""


def start(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Start a fresh interpreter in a folder."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def run(folder: Path, code: str) -> str:
    """Run code in a fresh interpreter, in a folder from which modules are imported too."""
    answer = start(folder, "-c", code)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A chapter's folder, beside a ``common`` with a module of the reader's own."""
    chapter, common = tmp_path / "ch07", tmp_path / "common"
    chapter.mkdir()
    common.mkdir()
    (chapter / "tiny_net.py").write_text(NETWORK)
    (chapter / "script.py").write_text(SCRIPT)
    (common / "__init__.py").write_text("")
    (common / "layers.py").write_text("raise ImportError('the book\\'s own layers')")
    (common / "own_module.py").write_text("ANSWER = 42")
    (common / "functions.py").write_text(OWN_FUNCTIONS)
    return chapter


def test_a_script_runs_unchanged(book: Path) -> None:
    answer = start(book, "-m", "pocketcnn.scratch", "script.py")
    assert answer.returncode == 0, answer.stderr
    out = answer.stdout
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


def test_a_script_sees_what_python_would_show_it(book: Path) -> None:
    """Its own file by an absolute path, its folder first on the path, its arguments."""
    lines = (
        "import os, sys",
        "print(__name__, __file__, sys.path[0], sys.argv[1:], sep='\\n')",
        "assert os.path.isabs(__file__) and os.path.samefile(sys.argv[0], __file__)",
        "import tiny_net",
    )
    (book / "seen.py").write_text("\n".join(lines))
    answer = start(book.parent, "-m", "pocketcnn.scratch", "ch07/seen.py", "--lr", "0.1", "-h")
    assert answer.returncode == 0, answer.stderr
    seen = ["__main__", str(book / "seen.py"), str(book), "['--lr', '0.1', '-h']"]
    assert answer.stdout.splitlines() == seen


def test_a_script_that_is_not_there(tmp_path: Path) -> None:
    answer = start(tmp_path, "-m", "pocketcnn.scratch", "none.py")
    assert answer.returncode == 2
    assert "there is no file 'none.py'" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_what_readers_added_to_their_common_is_found(book: Path) -> None:
    run(
        book.parent,
        "from pocketcnn import scratch\n"
        "scratch.install_common()\n"
        "import common.functions, pickle\n"
        "from common.functions import *\n"
        "assert sigmoid is scratch.sigmoid and (LIMIT, HIGH) == (1, 3)\n"
        "assert elu(np.array([-np.inf, 2])).tolist() == [-1, 2]\n"
        "from common.functions import Swish, ANSWER\n"
        "assert isinstance(pickle.loads(pickle.dumps(Swish())), common.functions.Swish)\n"
        "try:\n"
        "    from common.functions import nothing\n"
        "except ImportError as error:\n"
        "    assert 'nothing' in str(error)\n"
        "else:\n"
        "    raise AssertionError",
    )
