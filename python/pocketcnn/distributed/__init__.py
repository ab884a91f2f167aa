"""Training in several processes, on one machine or on many, over MPI.

Run a script in N processes, here called ranks, with ``mpiexec -n N python script.py``; it needs
mpi4py (``pip install pocketcnn[mpi]``, or ``mpi4py`` alone where a cluster has its own MPI).

>>> import pocketcnn as pc
>>> comm = pc.distributed.init()
>>> (x, t), (x_test, t_test) = pc.data.digits()
>>> net = pc.models.simple_convnet()
>>> trainer = pc.Trainer(net, pc.optim.Adam(), batch_size=50, comm=comm)
>>> training = pc.distributed.scatter((x[:200] / 255, t[:200]), comm)
>>> history = trainer.fit(training, epochs=1)
"""

from pocketcnn.distributed.communicator import Communicator
from pocketcnn.distributed.scaled_rate import ScaledRate
from pocketcnn.distributed.starting import init, scatter

__all__ = ["Communicator", "ScaledRate", "init", "scatter"]
