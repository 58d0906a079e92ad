"""The provider as an ASGI application."""

from __future__ import annotations

import json
import re
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

from gateway.demo_models import others
from gateway.demo_models.answers import Answer, answer
from gateway.demo_models.asked import Reply
from gateway.demo_models.errors import error
from gateway.demo_models.faults import Faults, faults
from gateway.demo_models.sending import Client

Message = MutableMapping[str, Any]
GEMINI_CALL = re.compile(r"/v1(?:beta|alpha)?/models/([^/:]+):(\w+)")
FORM_MODEL = re.compile(rb'name="model"\r?\n(?:[^\r\n]+\r?\n)*\r?\n([^\r\n]*)')
KEPT_REQUESTS = 100
KEPT_RESPONSES = 1000
SHOWN_BODY = 64 * 1024


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came. Header names are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def family(self) -> str:
        if "x-goog-api-key" in self.headers or self.path.startswith("/v1beta/") or GEMINI_CALL.fullmatch(self.path):
            return "gemini"
        return "anthropic" if self.path.startswith("/v1/messages") or "anthropic-version" in self.headers else "openai"

    @property
    def key(self) -> str:
        """Wherever the family's clients put it."""
        bearer = self.headers.get("authorization", "").partition(" ")[2]
        asked = parse_qs(self.query).get("key", [""])[0]
        return self.headers.get("x-api-key") or self.headers.get("x-goog-api-key") or bearer or asked


@dataclass(slots=True)
class Tally:
    """The totals: input of all answers that began, and output that was delivered."""

    requests: int = 0
    input: int = 0
    output: int = 0

    def add(self, given: Reply, output: int) -> None:
        self.requests += 1
        self.input += given.input
        self.output += output


@dataclass(slots=True)
class DemoModels:
    """One provider. `keys`: those that it takes; empty: any, or none."""

    keys: Sequence[str] = ()
    fault: str = ""
    received: deque[Received] = field(default_factory=lambda: deque(maxlen=KEPT_REQUESTS))
    completed: Tally = field(default_factory=Tally)
    unfinished: Tally = field(default_factory=Tally)
    _stored: OrderedDict[str, Mapping[str, Any]] = field(default_factory=OrderedDict)

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """Answer one request, or one WebSocket of `/v1/realtime`."""
        client = Client(scope, receive, send)
        path: str = scope["path"]
        # A base URL may have a path of its own before that of the API.
        if place := re.search(r"/(?:v1|v1beta|v1alpha|demo)(?=/|$)", path):
            path = path[place.start() :]
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        query = scope["query_string"].decode("latin-1")
        if scope["type"] == "websocket":
            await client.echo({"type": "session.created", "event_id": "event_demo"})
            return
        request = Received(scope["method"], path, query, headers, await client.body())
        if path.startswith("/demo/"):
            if request.path == "/demo/usage":
                await client.json(200, {"completed": _shown(self.completed), "unfinished": _shown(self.unfinished)})
            elif request.path == "/demo/requests":
                await client.json(200, {"requests": [_request(each) for each in self.received]})
            elif request.path == "/demo/fault" and request.method == "PUT":
                wanted = request.body.decode("utf-8", "replace").strip()
                if wanted and faults(wanted) == Faults():
                    await client.json(400, {"error": f"there is no fault {wanted!r}; fail-429 and cut-after are two"})
                else:
                    self.fault = wanted
                    await client.json(200, {"fault": wanted})
            else:
                await client.json(404, {"error": "there are /demo/usage, /demo/requests, and PUT /demo/fault"})
            return
        self.received.append(request)
        await self._serve(request, client)

    async def _serve(self, request: Received, client: Client) -> None:
        family = request.family
        if request.path in {"/", "/health"}:
            await client.json(200, {"status": "ok"})
        elif self.keys and request.key not in self.keys:
            await client.json(401, error(family, 401, "this key is not known", code="invalid_api_key"))
        elif "content-encoding" in request.headers:
            await client.json(415, error(family, 415, "compressed requests are not read"))
        elif request.method in {"GET", "HEAD", "DELETE"} or request.path.endswith("/cancel"):
            await client.json(*self._looked_up(request))
        else:
            await self._posted(request, client)

    def _looked_up(self, request: Received) -> tuple[int, Mapping[str, Any]]:
        """Models, and responses that are stored."""
        parts = request.path.strip("/").split("/")
        if len(parts) == 2 and parts[1] == "models":
            return 200, _models(request.family)
        if len(parts) == 3 and parts[1] == "models" and parts[2] in others.MODELS:
            shapes = {"anthropic": others.anthropic_model, "gemini": others.gemini_model}
            return 200, shapes.get(request.family, others.openai_model)(parts[2])
        if len(parts) >= 3 and parts[1] == "responses" and parts[2] in self._stored:
            if request.method == "DELETE":
                del self._stored[parts[2]]
                return 200, {"id": parts[2], "object": "response", "deleted": True}
            return 200, self._stored[parts[2]]
        return 404, error(request.family, 404, f"there is no {request.path}")

    async def _posted(self, request: Received, client: Client) -> None:
        family = request.family
        form = FORM_MODEL.search(request.body) if "multipart/" in request.headers.get("content-type", "") else None
        named = None if form is None else {"model": form[1].decode("utf-8", "replace")}
        document = named or _document(request.body)
        if not isinstance(document, dict):
            await client.json(400, error(family, 400, "the body is no JSON object"))
            return
        called = GEMINI_CALL.fullmatch(request.path)
        model = unquote(called[1]) if called else document.get("model")
        if not isinstance(model, str):
            await client.json(400, error(family, 400, "there is no model"))
            return
        wanted = faults(model, request.key, self.fault)
        if await client.refused(family, wanted):
            return
        try:
            answered = answer(request.path, document, model, wanted, called[2] if called else "", len(request.body))
        except (AttributeError, KeyError, TypeError) as wrong:
            await client.json(400, error(family, 400, f"the request cannot be read: {wrong}"))
            return
        if isinstance(answered, bytes):
            await client.content(answered, b"audio/mpeg")
        elif isinstance(answered, Answer):
            await self._generated(request, document, answered, client)
        elif answered is None:
            await client.json(404, error(family, 404, f"there is no {request.path}"))
        else:
            await client.json(200, answered)

    async def _generated(
        self, request: Received, document: Mapping[str, Any], answered: Answer, client: Client
    ) -> None:
        previous = document.get("previous_response_id")
        if request.path == "/v1/responses" and previous is not None and previous not in self._stored:
            message = f"Previous response with id '{previous}' not found."
            await client.json(400, error("openai", 400, message, code="previous_response_not_found"))
            return
        if request.path == "/v1/responses" and document.get("store") is not False:
            self._stored[answered.whole["id"]] = answered.whole
            while len(self._stored) > KEPT_RESPONSES:
                self._stored.popitem(last=False)
        given, asked = answered.reply, answered.asked
        if not asked.stream:
            finished = await client.whole(answered.whole, asked.faults)
            (self.completed if finished else self.unfinished).add(given, given.output * asked.number if finished else 0)
            return
        array = request.family == "gemini" and "alt=sse" not in request.query
        delivered, finished = await client.stream(answered.events, request.family, asked.faults, array=array)
        # What was thought is in the sum at the end, whether it was shown or not.
        (self.completed if finished else self.unfinished).add(
            given, given.output * asked.number if finished else delivered
        )


def _document(body: bytes) -> Any:
    """The parsed body, as lenient as many servers: numbers of any size, halves of surrogate pairs."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _models(family: str) -> Mapping[str, Any]:
    if family == "gemini":
        return {"models": [others.gemini_model(name) for name in others.MODELS]}
    return (others.anthropic_models if family == "anthropic" else others.openai_models)(others.MODELS)


def _shown(tally: Tally) -> Mapping[str, int]:
    return {"requests": tally.requests, "input": tally.input, "output": tally.output}


def _request(request: Received) -> Mapping[str, Any]:
    shown = {"method": request.method, "path": request.path, "query": request.query, "headers": request.headers}
    return {**shown, "body": request.body[:SHOWN_BODY].decode("utf-8", "replace")}
