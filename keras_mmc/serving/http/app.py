"""The service: routes, metrics, and refusals in one line."""

import functools
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio
import anyio.to_thread
import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from keras_mmc._version import __version__
from keras_mmc.serving.http import forms, page
from keras_mmc.serving.http.engine import Engine
from keras_mmc.serving.http.limits import Intake, Limits, RefusedError

_WORKERS = 4  # threads that answer; TensorFlow shares the processors among them
_JSON = "application/json"
_log = logging.getLogger(__name__)
_VERB = r"/v1/models/[^/:]+(/versions/[^/:]+)?:[^/]*"
_OTHER = "other"  # the route, in metrics, of requests that have none
Handler = Callable[[Request], Awaitable[Response]]


class _Named(Convertor[str]):
    """A part of a path up to a verb, as in `/v1/models/NAME:predict`."""

    regex = "[^/:]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("named", _Named())


class Service:
    """The routes of one classifier under one name.

    Args:
        engine: the classifier.
        name: its name in addresses; compared with, never looked up.
        limits: what a request may cost.
    """

    def __init__(self, engine: Engine, name: str, limits: Limits):
        self._engine = engine
        engine.on_answer = self._count
        self._name = name
        self._limits = limits
        self._intake = Intake(limits)
        self._workers = anyio.CapacityLimiter(_WORKERS)
        self._attacker = anyio.CapacityLimiter(1)
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "keras_mmc_requests", "Requests.", ["route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "keras_mmc_request_seconds", "From head to answer.", ["route"], registry=self.registry
        )
        self._images = Counter(
            "keras_mmc_images", "Images answered.", ["accepted"], registry=self.registry
        )
        Gauge(
            "keras_mmc_bytes_held", "Bytes of bodies at work.", registry=self.registry
        ).set_function(lambda: self._intake.held)

    def app(self) -> Starlette:
        """The ASGI application."""
        get, post = ["GET"], ["POST"]
        routes: list[tuple[str, Handler, list[str]]] = [
            ("/", self._page, get),
            ("/page/predict", self._look, post),
            ("/page/attack", self._attack, post),
            ("/page/{file}", self._page, get),
            ("/metrics", self._metrics, get),
            ("/v2", self._server, get),
            ("/v2/health/live", self._live, get),
            ("/v2/health/ready", self._live, get),
        ]
        for model in ("models/{name}", "models/{name}/versions/{version}"):
            routes += [
                (f"/v1/{model}", self._status, get),
                (f"/v1/{model}/metadata", self._signatures, get),
                (f"/v1/{model}:predict", self._predict, post),
                (f"/v2/{model}", self._model, get),
                (f"/v2/{model}/ready", self._ready, get),
                (f"/v2/{model}/infer", self._infer, post),
            ]
        return Starlette(
            routes=[
                Route(_pattern(path), self._watched(path, handler), methods=methods)
                for path, handler, methods in routes
            ],
            exception_handlers={404: self._unknown, 405: self._unknown},
        )

    def _watched(self, path: str, handler: Handler) -> Handler:
        """The handler with its time, its metrics, and refusals as one line of JSON."""

        @functools.wraps(handler)
        async def watched(request: Request) -> Response:
            began = time.perf_counter()
            try:
                if request.path_params.get("name", self._name) != self._name:
                    raise RefusedError(404, f"There is no such model; there is {self._name!r}.")
                if request.path_params.get("version", forms.VERSION) != forms.VERSION:
                    told = f"There is no such version; there is {forms.VERSION!r}."
                    raise RefusedError(404, told)
                response = await handler(request)
            except RefusedError as refusal:
                response = _refused(refusal.status, refusal.message)
            except Exception:
                _log.exception("A request to %s failed", path)
                response = _refused(500, "The service failed; its log says why.")
            self._requests.labels(path, str(response.status_code)).inc()
            self._seconds.labels(path).observe(time.perf_counter() - began)
            return response

        return watched

    async def _unknown(self, request: Request, error: Exception) -> Response:
        """What no route takes."""
        status = getattr(error, "status_code", 404)
        told = f"{request.method} is not taken here"
        if status == 404:
            verb = re.fullmatch(_VERB, request.url.path)
            told = "This verb is not there; predict is" if verb else "There is nothing here"
        response = _refused(status, f"{told}; the page at / names the addresses.")
        response.headers.update(getattr(error, "headers", None) or {})  # which methods are taken
        self._requests.labels(_OTHER, str(status)).inc()
        return response

    def _count(self, accepted: np.ndarray) -> None:
        self._images.labels("true").inc(int(accepted.sum()))
        self._images.labels("false").inc(int((~accepted).sum()))

    async def _work(
        self, work: Callable[[bytes], bytes], body: bytes, limiter: anyio.CapacityLimiter
    ) -> Response:
        """Blocking work in a thread; who gives up waiting leaves it to end by itself."""
        try:
            with anyio.fail_after(self._limits.seconds):
                answer = await anyio.to_thread.run_sync(
                    work, body, limiter=limiter, abandon_on_cancel=True
                )
        except TimeoutError:
            told = f"No answer within {self._limits.seconds:g} seconds."
            raise RefusedError(503, told) from None
        return Response(answer, media_type=_JSON)

    async def _answered(self, request: Request, form: Callable) -> Response:
        def work(body: bytes) -> bytes:
            return forms.written(form(self._engine, forms.parsed(body)))

        async with self._intake.body(request) as body:
            return await self._work(work, body, self._workers)

    async def _predict(self, request):
        return await self._answered(request, forms.tensorflow_serving)

    async def _infer(self, request):
        if "inference-header-content-length" in request.headers:
            raise RefusedError(400, "The binary form of tensors is not taken; send JSON.")
        return await self._answered(
            request, lambda engine, found: forms.version_2(engine, self._name, found)
        )

    async def _look(self, request):
        self._check_page()
        async with self._intake.body(request) as body:
            return await self._work(
                lambda file: forms.written(page.looked_at(self._engine, file)), body, self._workers
            )

    async def _attack(self, request):
        self._check_page()
        eps = page.radius(request.query_params.get("eps", ""), self._engine.box)
        if self._attacker.statistics().tasks_waiting >= self._limits.attacks:
            raise RefusedError(429, "Other attacks are waiting; try again in a moment.")
        async with self._intake.body(request) as body:
            return await self._work(
                lambda file: forms.written(page.attacked(self._engine, file, eps)),
                body,
                self._attacker,
            )

    def _check_page(self):
        if not self._engine.takes_files:
            raise RefusedError(404, "This model takes no image files; ask it by the interfaces.")

    async def _page(self, request):
        file = request.path_params.get("file", "page.html")
        if file == "facts.json":
            facts = page.facts(self._engine, self._name)
            return Response(forms.written(facts), media_type=_JSON)
        content, media_type = page.static(file)
        return Response(content, media_type=media_type, headers=page.HEADERS)

    async def _metrics(self, request):
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)

    async def _live(self, request):
        return _answer({"live": True, "ready": True})

    async def _ready(self, request):
        return _answer({"name": self._name, "ready": True})

    async def _server(self, request):
        return _answer({"name": "keras_mmc", "version": __version__, "extensions": []})

    async def _status(self, request):
        good = {"error_code": "OK", "error_message": ""}
        state = {"version": forms.VERSION, "state": "AVAILABLE", "status": good}
        return _answer({"model_version_status": [state]})

    async def _signatures(self, request):
        return _answer(forms.signature_metadata(self._engine, self._name))

    async def _model(self, request):
        return _answer(forms.model_metadata(self._engine, self._name))


def _answer(facts: Mapping[str, Any]) -> Response:
    return Response(forms.written(facts), media_type=_JSON)


def _refused(status: int, message: str) -> Response:
    # What is left of a body is not read: the connection ends.
    headers = {"connection": "close"} if status in (408, 413, 429, 503) else {}
    if status in (429, 503):
        headers["retry-after"] = "1"
    return Response(forms.written({"error": message}), status, headers=headers, media_type=_JSON)


def _pattern(path: str) -> str:
    """A path whose names end before a verb."""
    return path.replace("{name}", "{name:named}").replace("{version}", "{version:named}")
