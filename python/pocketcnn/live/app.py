"""The page's requests: what they carry, and what they are answered."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, TypeVar

import numpy as np
from anyio import CapacityLimiter, to_thread
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pocketcnn.live import wire
from pocketcnn.live.collection import Collection
from pocketcnn.live.exhibit import Exhibit
from pocketcnn.live.guard import RefusedError, read_body
from pocketcnn.live.neighbours import Neighbours
from pocketcnn.live.recipe import NETWORKS, OPTIMIZERS
from pocketcnn.live.workshop import Workshop
from pocketcnn.network.net import ConvNet

_T = TypeVar("_T")

_MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

# Images that are sent together, bytes of a command, requests that are computed at once.
_MOST_IMAGES = 64
_MOST_COMMAND = 4096
_AT_ONCE = 4
_NEIGHBOURS = 8


class Page:
    """What one page shows: a network, images at hand, and what is trained here.

    Parameters
    ----------
    net : ConvNet
        Takes images (C, H, W).
    classes : list of str or None
        Names of the scores; None if it gives something else.
    title : str
        What the network is called.
    collection : Collection or None
    begin : str
        What the page proposes to train; see `Recipe`.
    """

    def __init__(
        self,
        net: ConvNet,
        classes: list[str] | None,
        title: str,
        collection: Collection | None,
        begin: str = "fresh",
    ) -> None:
        self.title, self._begin = title, begin
        self.exhibit = Exhibit(net, classes)
        self.collection = collection
        self.neighbours = None if collection is None else Neighbours(self.exhibit, collection.x)
        self.workshop = Workshop(net, classes, collection)

    def describe(self) -> dict[str, Any]:
        """Describe it for the browser."""
        at_hand = None
        if self.collection is not None:
            at_hand = {
                "name": self.collection.name,
                "training": len(self.collection.x),
                "test": len(self.collection.x_test),
                "ground": self.collection.ground,
            }
        return {
            "title": self.title,
            "optimizers": list(OPTIMIZERS),
            "begins": ["fresh", "model", *NETWORKS],
            "begin": self._begin,
            "images": _MOST_IMAGES,
            "data": at_hand,
            **self.exhibit.describe(),
        }

    @contextmanager
    def showing(self, query: Mapping[str, str]) -> Iterator[Exhibit]:
        """Give the exhibit that a query names: the model, or a run after an epoch."""
        if "run" not in query:
            yield self.exhibit
            return
        with self.workshop.showing(_number(query, "run"), _number(query, "epoch")) as exhibit:
            yield exhibit


def make_app(page: Page) -> Starlette:
    """Make the application that answers a page's requests."""
    answers = _Answers(page)
    routes = [
        Route("/api/network", answers.network),
        Route("/api/sample", answers.sample),
        Route("/api/predict", answers.predict, methods=["POST"]),
        Route("/api/look", answers.look, methods=["POST"]),
        Route("/api/plane", answers.plane, methods=["POST"]),
        Route("/api/value", answers.value, methods=["POST"]),
        Route("/api/attribute", answers.attribute, methods=["POST"]),
        Route("/api/neighbours", answers.neighbours, methods=["POST"]),
        Route("/api/excite", answers.excite),
        Route("/api/train", answers.train, methods=["POST"]),
        Route("/api/progress", answers.progress),
        Route("/api/filters", answers.filters),
        *(Route(address, _file(*content)) for address, content in _own_files().items()),
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={
            RefusedError: _refused,
            LookupError: _told(404),
            ValueError: _told(400),
        },
    )
    app.router.redirect_slashes = False
    return app


class _Answers:
    """The answers to the requests, by their names."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._limiter = CapacityLimiter(_AT_ONCE)
        self._bytes = int(np.prod(page.exhibit.input_shape))

    async def network(self, request: Request) -> Response:
        """What the page shows; or only the layers of a run's network."""
        query = request.query_params
        if "run" in query:
            return _json(self._page.workshop.exhibit(_number(query, "run")).describe())
        return _json(self._page.describe())

    async def sample(self, request: Request) -> Response:
        """An image at hand, by its number."""
        collection = self._collection()
        x, t = collection.x_test, collection.t_test
        if request.query_params.get("part") == "training":
            x, t = collection.x, collection.t
        index = _number(request.query_params, "index") % len(x)
        return _packed({"index": index, "label": int(t[index])}, {"image": x[index]})

    async def predict(self, request: Request) -> Response:
        sizes = range(self._bytes, _MOST_IMAGES * self._bytes + 1, self._bytes)
        body = await read_body(request, sizes)
        images = np.frombuffer(body, np.uint8).reshape(-1, *self._page.exhibit.input_shape)

        def compute() -> NDArray[np.float64]:
            with self._page.showing(request.query_params) as exhibit:
                return exhibit.predict(images)

        return _packed({}, {"probabilities": (await self._run(compute)).astype(np.float32)})

    async def look(self, request: Request) -> Response:
        image, query = await self._image(request), request.query_params
        layers = [name for name in query.get("layers", "").split(",") if name]
        count = _number(query, "maps", 0)

        def compute() -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
            start = time.perf_counter()
            with self._page.showing(query) as exhibit:
                about, arrays = exhibit.look(image, layers, count)
            return {**about, "ms": 1e3 * (time.perf_counter() - start)}, arrays

        return _packed(*await self._run(compute))

    async def plane(self, request: Request) -> Response:
        image, query = await self._image(request), request.query_params

        def compute() -> NDArray[Any]:
            with self._page.showing(query) as exhibit:
                return exhibit.plane(image, query.get("layer", ""), _number(query, "channel"))

        return _packed({}, {"plane": (await self._run(compute)).astype(np.float32)})

    async def value(self, request: Request) -> Response:
        image, query = await self._image(request), request.query_params
        place = [_whole("place", word) for word in query.get("place", "").split(",")]

        def compute() -> Any:
            with self._page.showing(query) as exhibit:
                return exhibit.explain(image, query.get("layer", ""), place)

        about, arrays = await self._run(compute)
        # A page shows no more digits than single precision has.
        return _packed(about, {k: a.astype(np.float32) for k, a in arrays.items()})

    async def attribute(self, request: Request) -> Response:
        image, query = await self._image(request), request.query_params

        def compute() -> NDArray[np.uint8]:
            with self._page.showing(query) as exhibit:
                return exhibit.attribute(image, _number(query, "class"), query.get("kind", ""))

        return _packed({}, {"shares": await self._run(compute)})

    async def neighbours(self, request: Request) -> Response:
        image = await self._image(request)
        collection, finder = self._collection(), self._page.neighbours
        assert finder is not None  # there is one where there is a collection
        found = await self._run(lambda: finder.nearest(image, _NEIGHBOURS))
        near = [index for index, _ in found]
        about = {"labels": collection.t[near].tolist(), "cosines": [c for _, c in found]}
        return _packed(about, {"images": collection.x[near]})

    async def excite(self, request: Request) -> Response:
        query, collection = request.query_params, self._collection()

        def compute() -> tuple[dict[str, Any], NDArray[np.uint8]]:
            with self._page.showing(query) as exhibit:
                channel = _number(query, "channel")
                return exhibit.excite(query.get("layer", ""), channel, collection.x_test)

        about, patches = await self._run(compute)
        labels = collection.t_test[about["images"]].tolist()
        return _packed({**about, "labels": labels}, {"patches": patches})

    async def train(self, request: Request) -> Response:
        body = await read_body(request, range(_MOST_COMMAND + 1))
        try:
            values = json.loads(body)
        except (ValueError, RecursionError):
            raise ValueError("the command is no JSON") from None
        if not isinstance(values, dict):
            raise ValueError("the command is no JSON object")
        return _json({"run": await self._run(lambda: self._page.workshop.command(values))})

    async def progress(self, request: Request) -> Response:
        """The runs, if they have changed since the version that the browser knows."""
        version = self._page.workshop.version()
        if request.query_params.get("version") == version:
            return _json({"version": version})
        return _json({"version": version, "runs": self._page.workshop.report()})

    async def filters(self, request: Request) -> Response:
        query = request.query_params
        epoch = _number(query, "epoch") if "epoch" in query else None
        found = self._page.workshop.filters(_number(query, "run"), epoch)
        return _packed({}, {"filters": found.astype(np.float32)})

    def _collection(self) -> Collection:
        if self._page.collection is None:
            raise LookupError("there are no images at hand")
        return self._page.collection

    async def _image(self, request: Request) -> NDArray[np.uint8]:
        body = await read_body(request, (self._bytes,))
        return np.frombuffer(body, np.uint8).reshape(self._page.exhibit.input_shape)

    async def _run(self, compute: Callable[[], _T]) -> _T:
        """Compute in a thread, so that others are answered meanwhile."""
        return await to_thread.run_sync(compute, limiter=self._limiter)


def _own_files() -> dict[str, tuple[bytes, str]]:
    """Read the page's files by their addresses: no request ever names a file of the disk."""
    own = {}
    for entry in files("pocketcnn.live").joinpath("static").iterdir():
        kind = entry.name.rpartition(".")[2]
        if kind in _MEDIA_TYPES:
            address = "/" if entry.name == "index.html" else f"/{entry.name}"
            own[address] = entry.read_bytes(), _MEDIA_TYPES[kind]
    return own


def _file(content: bytes, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_request: Request) -> Response:
        return Response(content, media_type=media_type)

    return answer


def _packed(values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Response:
    return Response(wire.pack(values, arrays), media_type="application/octet-stream")


def _json(values: Any) -> Response:
    return Response(wire.to_json(values), media_type="application/json")


def _number(query: Mapping[str, str], name: str, default: int | None = None) -> int:
    if name not in query and default is not None:
        return default
    return _whole(name, query.get(name, ""))


def _whole(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise ValueError(f"{name} is {text!r:.40}: wanted a whole number")
    return int(text)


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return JSONResponse({"error": str(error)}, error.status)


def _told(status: int) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(_request: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, status)

    return answer
