"""What the tests of `pocketcnn live` share: small networks, a server, and a client of it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import numpy as np
from numpy.typing import NDArray

import pocketcnn as pc
from pocketcnn.live.app import Page
from pocketcnn.live.collection import Collection
from pocketcnn.live.server import LiveServer

SHAPE = (2, 12, 12)
CLASSES = ["hat", "shoe", "coat", "bag"]


def graph_net(seed: int = 0) -> pc.ConvNet:
    """A network with a residual block, a gate, a join, and windows of all kinds."""
    block = pc.Residual(
        [("conv", pc.Conv2d(6, 6, 3, padding=1, groups=2)), ("norm", pc.BatchNorm2d(6))],
        shortcut=[("conv", pc.Conv2d(6, 6, 1))],
    )
    return pc.ConvNet(
        [
            ("conv1", pc.Conv2d(2, 6, (3, 2), stride=(1, 2), padding=((1, 0), (2, 1)), dilation=2)),
            ("relu1", pc.ReLU()),
            ("block", block),
            ("pool", pc.MaxPool2d(2, ceil_mode=True)),
            ("mean", pc.AvgPool2d(2, stride=1)),
            ("squeeze", pc.GlobalAvgPool2d()),
            ("gate", pc.HardSigmoid()),
            ("scale", pc.Multiply(), ["mean", "gate"]),
            ("join", pc.Concat(), ["scale", "mean"]),
            ("flatten", pc.Flatten()),
            ("fc", pc.Linear(12 * 4 * 3, 4)),
        ],
        input_shape=SHAPE,
        seed=seed,
    )


def images(count: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, *SHAPE), dtype=np.uint8)


def collection() -> Collection:
    labels = np.arange(60) % 4
    return Collection("clothes", images(60, 1), labels, images(20, 2), labels[:20])


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def packed(self) -> dict[str, Any]:
        """Values and arrays of an answer, read as `wire` describes them."""
        length = int.from_bytes(self.body[:4], "little")
        values: dict[str, Any] = json.loads(self.body[4 : 4 + length])
        for name, entry in values.pop("arrays").items():
            count = int(np.prod(entry["shape"]))
            start = 4 + length + entry["offset"]
            found = np.frombuffer(self.body, entry["dtype"], count, start)
            values[name] = found.reshape(entry["shape"])
        return values


class Client:
    """Asks a server as a browser's page would, or with other headers."""

    def __init__(self, address: str) -> None:
        self.address = urlsplit(address)

    def ask(
        self,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        *,
        prefix: str | None = None,
        **query: object,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.address.port, timeout=60)
        start = self.address.path if prefix is None else prefix
        target = f"{start}{path}" + (f"?{urlencode(query)}" if query else "")
        with closing(connection):
            connection.request("GET" if body is None else "POST", target, body, headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())

    def train(self, **command: object) -> Answer:
        return self.ask("api/train", json.dumps(command).encode())


@contextmanager
def serving(page: Page, **settings: Any) -> Iterator[Client]:
    server = LiveServer(page, **settings)
    server.start()
    try:
        yield Client(server.address)
    finally:
        server.stop()


def page(with_images: bool = True) -> Page:
    return Page(graph_net(), CLASSES, "clothes", collection() if with_images else None)
