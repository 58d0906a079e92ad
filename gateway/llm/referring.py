"""What a request refers to that a provider has made, and which provider that is: no other one is guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from gateway.errors import ErrorKind
from gateway.http.model_record import LeftOut
from gateway.llm.affinity import Origin, Sealing
from gateway.llm.answering import not_there
from gateway.llm.apis import CHAT_STORED, Call
from gateway.llm.choosing import Candidate, Choice, Table
from gateway.llm.going import Going
from gateway.llm.origins import Origins, references
from gateway.llm.providers import Provider
from gateway.llm.request import ModelRequest
from gateway.llm.speaking import ModelError


def find_origin(sealing: Sealing, request: ModelRequest, origins: Origins) -> None:
    """Find out who has made what a request refers to by ids that do not say so."""
    referred = [request.previous_response_id] if sealing.unknown else references(request.document)
    if referred and sealing.origin is None:
        ids = [id.encode("utf-8", "surrogatepass") for id in reversed(referred)]
        sealing.origin = origins.of(ids, sealing.exchange)
        sealing.unknown = sealing.unknown or "input"


def keeping(going: Going, table: Table) -> Choice:
    """The providers that may have what is stored, and the guardrails of any profile that may have made it. Raises
    ModelError where there is no provider."""
    found = tuple(
        Candidate(offer.name, "", f"{offer.name}/*", translated=False)
        for offer in table.offers.values()
        if offer.protocol == going.call.api.family
    )
    if not found:
        raise not_stored(going.call)
    guards = tuple(dict.fromkeys(guard for profile in table.profiles.values() for guard in profile.guards))
    return Choice(None, replace(table.profiles[table.default], guards=guards), found, ())


def only_from(going: Going, choice: Choice, origin: Origin) -> Choice:
    """The provider that has made what the request refers to, and no other one."""
    found = tuple(each for each in choice.candidates if each.provider == origin.provider)
    others = [each.provider for each in choice.candidates if each.provider != origin.provider]
    going.record.left_out += tuple(LeftOut(name, "affinity") for name in others)
    going.record.candidates = tuple(candidate.backend for candidate in found)
    if not found:
        raise not_there(going)
    return replace(choice, candidates=found)


def deployments(choice: Choice, providers: Mapping[str, Provider]) -> int:
    """How many could answer in the client's protocol."""
    return sum(len(providers[each.provider].keys) for each in choice.candidates if not each.translated)


def of_unknown_origin(member: str) -> ModelError:
    """No provider is guessed."""
    what = "a response" if member == "previous_response_id" else "an item"
    detail = f"`{member}` refers to {what} of which it is not known which of several providers has made it"
    return ModelError(ErrorKind.BAD_REQUEST, detail, "previous_response_not_found", param=member)


def not_stored(call: Call) -> ModelError:
    """Nobody knows who has it, or nobody has it."""
    if not call.id:
        detail = f"several providers may have a stored {call.api.stored}, and their lists are not made one"
        return ModelError(ErrorKind.NO_ROUTE, detail, "list_not_available")
    code, detail = f"{call.api.stored.replace(' ', '_')}_not_found", f"there is no {call.api.stored} of this id"
    if call.api is CHAT_STORED:
        detail = f"it is not known which of several providers has the {call.api.stored} of this id"
    return ModelError(ErrorKind.NO_ROUTE, detail, code)
