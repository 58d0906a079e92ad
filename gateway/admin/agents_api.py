"""The bridge to an agent network in the admin API: `/agents`, and its messages without a Redis."""

from __future__ import annotations

from typing import Any, Final

import orjson
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from gateway.admin.access import MESSAGES
from gateway.admin.answers import Refused, json_answer, json_body, loaded
from gateway.admin.operations import Operation, Parameter
from gateway.bus.memory import MemoryBus
from gateway.bus.outbox import Outbox
from gateway.config.problems import format_path
from gateway.events import KINDS, AgentRegistry, AgentStanding, HealthFeedback, Message
from gateway.monitor.agents import AgentStandings
from gateway.reload import Reloader

MAX_BODY: Final = 8 * 1024**2
MOST: Final = 1000  # messages of one request
MOST_WAIT: Final = 25.0  # seconds
TAKEN: Final = (AgentRegistry.KIND, HealthFeedback.KIND, AgentStanding.KIND)

_EXAMPLE = '{"messages": [{"kind": "health-feedback", "body": {"service": "user-api", ...}}]}'
_NONE = {404: "middleware.yaml has no group agents", 409: "the bus is redis, which the bridge uses itself"}


def agents_operations(reloader: Reloader) -> list[Operation]:
    """The API."""
    api = _Api(reloader)
    after = Parameter("after", "`next` of the former answer; without it, what is known of all services.")
    wait = Parameter("wait", f"Seconds to wait where nothing is new; at most {MOST_WAIT:g}.")
    kinds = Parameter("kinds", "Kinds of messages that are wanted, with commas between them; without it all.")
    wrong = {400: "what is wrong with it", 415: "it is not application/json"}
    body = {
        "type": "object",
        "properties": {"messages": {"type": "array", "items": {"type": "object"}}},
        "required": ["messages"],
        "additionalProperties": False,
    }
    return [
        Operation("GET", "/agents", api.listed, "The bridges to an agent network, and how they do."),
        Operation(
            "GET",
            MESSAGES,
            api.messages,
            "Messages for the bridge: `messages`, `next`, and how many were `missed`.",
            (after, wait, kinds),
            refusals={401: "it needs a token on every address", 400: "wait or kinds cannot be read", **_NONE},
            description="For `gateway agents serve` where there is no `bus: redis`.",
        ),
        Operation(
            "POST",
            MESSAGES,
            api.say,
            "What the bridge says: instances, feedback, and how it does.",
            body=body,
            refusals={**wrong, **_NONE},
            description=f"`{_EXAMPLE}`; kinds are {', '.join(TAKEN)}.",
        ),
    ]


class _Api:
    def __init__(self, reloader: Reloader) -> None:
        self._reloader = reloader

    async def listed(self, request: Request) -> Response:
        return json_answer({name: each for all in self._standings() for name, each in all.summary().items()})

    async def messages(self, request: Request) -> Response:
        if request.state.holder is None:
            refused: Response = request.state.no_token(
                "messages for the bridge need a token, as they may hold credentials; send Authorization: Bearer TOKEN"
            )
            return refused
        outbox = self._outbox()
        try:
            wait = max(0.0, min(MOST_WAIT, float(request.query_params.get("wait", "0"))))
        except ValueError:
            raise Refused(400, "wait is a number of seconds, such as 20") from None
        kinds = request.query_params.get("kinds", "")
        wanted = frozenset(kinds.split(",")) if kinds else outbox.kinds
        if unknown := sorted(wanted - outbox.kinds):
            raise Refused(400, f"{unknown[0]} is no kind of message; these are: {', '.join(sorted(outbox.kinds))}")
        batch = await outbox.after(request.query_params.get("after", ""), wait, wanted)
        messages = [{"kind": each.kind, "body": orjson.Fragment(each.body)} for each in batch.entries]
        return json_answer({"messages": messages, "next": batch.next, "missed": batch.missed})

    async def say(self, request: Request) -> Response:
        fields = await json_body(request, MAX_BODY, "messages", _EXAMPLE)
        self._outbox()
        given = fields.get("messages")
        if not isinstance(given, list) or len(given) > MOST or fields.keys() != {"messages"}:
            raise Refused(400, f"expected at most {MOST} messages, as in {_EXAMPLE}")
        messages = [_message(each, f"messages[{number}]") for number, each in enumerate(given)]
        for bus in self._reloader.owner.all(MemoryBus):
            for message in messages:
                bus.publish(message)
        return json_answer({"taken": len(messages)})

    def _standings(self) -> list[AgentStandings]:
        return list(self._reloader.owner.all(AgentStandings))

    def _outbox(self) -> Outbox:
        middleware = loaded(self._reloader).configuration.middleware
        if middleware.agents is None:
            raise Refused(404, "middleware.yaml has no group agents; add agents: {} to have a bridge")
        if middleware.bus == "redis":
            raise Refused(
                409,
                "the bus is redis, which the bridge uses itself: start the bridge again, with the same middleware.yaml",
            )
        found = next(iter(self._reloader.owner.all(Outbox)), None)
        if found is None:
            raise Refused(404, "there are no messages yet; try again in a moment")
        return found


def _message(given: Any, place: str) -> Message:
    kind, body = (given.get("kind"), given.get("body")) if isinstance(given, dict) else (None, None)
    if kind not in TAKEN:
        raise Refused(400, f"{place}.kind is one of {', '.join(TAKEN)}")
    try:
        message = KINDS[kind].model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = format_path(("body", *first["loc"]))
        raise Refused(400, f"{place}.{where}: {first['msg']}") from None
    if isinstance(message, HealthFeedback) and message.by is None:
        raise Refused(400, f"{place}.body.by says which agent it comes from; POST /health-feedback is for others")
    return message
