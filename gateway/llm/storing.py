"""What is created at a provider and stays there: which provider it is created at, and what is refused.

A batch is a file of requests, which the provider works off later and the gateway does not read: it must not be a way
round what holds for requests that come one by one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway.auth.credentials import without_parameters
from gateway.errors import ErrorKind
from gateway.http import Exchange
from gateway.http.parameters import query_values
from gateway.llm.apis import BATCH, ISSUED, MESSAGE_BATCH, Call
from gateway.llm.choosing import UNBOUNDED, Profile, Table
from gateway.llm.issued import names
from gateway.llm.money import Money
from gateway.llm.request import ModelRequest
from gateway.llm.speaking import ModelError

_MODEL: Final = frozenset({b"model"})


def takes_model(call: Call) -> bool:
    """Whether `model` of the query says which provider is meant: where something is created, or listed."""
    return call.api in ISSUED and not call.id


def name_model(exchange: Exchange, call: Call, request: ModelRequest) -> None:
    """Have the request name the model by which its provider is chosen: that of the query, which the provider does not
    get, or of a batch that has its requests in it. Raises ModelError."""
    found = [value.decode("utf-8", "replace") for value in query_values(exchange.query, "model")]
    if len(found) > 1:
        detail = "`model` of the query is duplicated"
        raise ModelError(ErrorKind.BAD_REQUEST, detail, "model_invalid", param="model")
    if found:
        exchange.query = without_parameters(exchange.query, _MODEL)
    if call.api is MESSAGE_BATCH:
        named = [*([request.model] if request.model else ()), *names(request)]
        if not named:
            detail = "`requests` has no request that names a model"
            raise ModelError(ErrorKind.BAD_REQUEST, detail, "model_missing", param="requests")
        request.model = named[0]
    elif found:
        request.model = found[0]


def check_batch(call: Call, table: Table, money: Money, *, restricted: bool) -> None:
    """Have no batch get round what the gateway sees to. Raises ModelError. `restricted`: the caller may not use every
    model."""
    if call.id or call.api not in (BATCH, MESSAGE_BATCH):
        return
    of_all = call.api is BATCH  # its requests are not read: any model might be theirs
    reason = ""
    budget = next((each.name for each in money.budgets.budgets if each.mode == "enforce"), None)
    quota = next((each.name for each in money.tools.quotas if each.mode == "enforce"), None)
    if budget is not None or quota is not None:
        reason = f"what it uses is not counted, and there is the budget or quota {budget or quota}"
    elif restricted and of_all:
        reason = "its requests are not read, and you may not use every model"
    elif bound := _bound(table.profiles.values(), all_callers=of_all):  # rules look at each request
        reason = f"its requests are not looked at, and the profile {bound} has guardrails, limits or only some callers"
    if reason:
        detail = f"a batch is refused here: {reason}; send the requests one by one"
        raise ModelError(ErrorKind.FORBIDDEN, detail, "batch_not_allowed")


def _bound(profiles: Iterable[Profile], *, all_callers: bool) -> str:
    """The first profile that would do more than to choose a provider."""
    for profile in profiles:
        bounded = profile.most_tokens or profile.most_output or profile.temperature != UNBOUNDED
        if bounded or any(guard.enforced for guard in profile.guards) or (all_callers and profile.allowed is not None):
            return profile.name
    return ""


def choose_one(call: Call) -> ModelError:
    """Several providers could store it, and none of them is guessed."""
    detail = (
        f"several providers could have this {call.api.stored}; name a model of the one that is meant, as `model` of "
        "the query (`?model=NAME`)"
    )
    return ModelError(ErrorKind.BAD_REQUEST, detail, "model_missing", param="model")
