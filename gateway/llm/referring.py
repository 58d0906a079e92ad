"""What a request refers to that a provider has made, and which provider that is: no other one is guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from gateway.errors import ErrorKind
from gateway.http.model_record import LeftOut
from gateway.llm.affinity import Origin, Sealing
from gateway.llm.answering import not_there
from gateway.llm.apis import GENERATE, ISSUED, MESSAGES, RESPONSES_BY_ID, Call
from gateway.llm.choosing import Candidate, Choice, Profile, Table
from gateway.llm.going import Going
from gateway.llm.offering import usable
from gateway.llm.origins import Origins, references, signatures
from gateway.llm.providers import Provider
from gateway.llm.request import ModelRequest
from gateway.llm.speaking import ModelError, NotKnown
from gateway.llm.storing import choose_one, takes_model

_OF_RESPONSES: Final = frozenset({"previous_response_id", "input"})


def find_origin(sealing: Sealing, request: ModelRequest, origins: Origins) -> None:
    """Find out who has made what a request refers to by ids that do not say so."""
    referred = [request.previous_response_id] if sealing.unknown else references(request.document)
    if referred and sealing.origin is None:
        ids = [id.encode("utf-8", "surrogatepass") for id in reversed(referred)]
        sealing.origin = origins.of(ids, sealing.exchange)
        sealing.unknown = sealing.unknown or "input"


def keeping(going: Going, table: Table) -> Choice:
    """The providers that may have what is stored, of those that the caller may use. Raises ModelError where there
    is none."""
    allowed = usable(table, going.exchange)
    found = tuple(
        _of_no_model(offer.name)
        for offer in table.offers.values()
        if offer.protocol == going.call.api.family and (allowed is None or offer.name in allowed)
    )
    if not found:
        raise not_stored(going.call)
    return Choice(None, table.profiles[table.default], found, ())


def of_no_model(choice: Choice) -> Choice:
    """The same providers. What they store is of no model: how they fail with it says nothing about the one by which
    they were chosen. (Who was left out then has been noted.)"""
    return replace(choice, left_out=(), candidates=tuple(_of_no_model(each.provider) for each in choice.candidates))


def _of_no_model(provider: str) -> Candidate:
    return Candidate(provider, "", f"{provider}/*", translated=False)


def looking_at_all(table: Table) -> Profile:
    """The profile of what is stored: the guardrails of any profile that may have made it, and nothing else."""
    guards = tuple(dict.fromkeys(guard for profile in table.profiles.values() for guard in profile.guards))
    return Profile(table.default, guards=guards)


def kept(going: Going, choice: Choice, providers: Mapping[str, Provider]) -> Choice:
    """The choice, of those only who made what the request brings back or refers to. Raises ModelError where no
    provider may be guessed."""
    api, issued, sealing = going.call.api, going.issued, going.sealing
    if going.origins is not None and (api is MESSAGES or api is GENERATE):
        going.signer = going.origins.of(signatures(going.request.body), going.exchange)
    if issued is not None:
        issued.check_one(going.origin)
        if issued.origin is not None and sealing is not None:
            sealing.origin = issued.origin
        elif issued.origin is not None:
            going.signer = issued.origin
    going.several = deployments(choice, providers) > 1
    if going.origin is not None:
        return only_from(going, choice, going.origin)
    if going.several and sealing is not None and sealing.unknown:
        raise of_unknown_origin(sealing.unknown)
    if going.several and issued is not None and issued.unknown and not going.call.id:
        raise of_unknown_origin(issued.unknown)
    if api.stored:
        _check_stored(going, choice)
    return choice


def _check_stored(going: Going, choice: Choice) -> None:
    """Have it be known which provider has it, or is to have it: that a new one has several keys does not matter, the
    id will say which it was. Raises ModelError."""
    call, creates = going.call, going.exchange.method == "POST" and not going.call.id
    if not creates and going.several:
        raise not_stored(call)
    if creates and len(choice.candidates) > 1 and not going.request.model:
        raise choose_one(call)


def only_from(going: Going, choice: Choice, origin: Origin) -> Choice:
    """The provider that has made what the request refers to, and no other one."""
    found = tuple(each for each in choice.candidates if each.provider == origin.provider)
    others = [each.provider for each in choice.candidates if each.provider != origin.provider]
    going.record.left_out += tuple(LeftOut(name, "affinity") for name in others)
    going.record.candidates = tuple(candidate.backend for candidate in found)
    if not found and others and going.issued is not None and going.issued.origin == origin:
        detail = f"the request refers to what {origin.provider} has issued, which does not answer for this model here"
        raise ModelError(ErrorKind.BAD_REQUEST, detail, "mixed_providers", param="model")
    if not found:
        raise not_there(going)
    return replace(choice, candidates=found)


def deployments(choice: Choice, providers: Mapping[str, Provider]) -> int:
    """How many could answer in the client's protocol."""
    return sum(len(providers[each.provider].keys) for each in choice.candidates if not each.translated)


def of_unknown_origin(member: str) -> NotKnown:
    """No provider is guessed."""
    what = {"previous_response_id": "a response", "input": "an item"}.get(member, "something")
    code = "previous_response_not_found" if member in _OF_RESPONSES else "unknown_origin"
    instead = {"previous_response_id": "send the conversation in full", "input": "send the item itself"}
    detail = (
        f"`{member}` refers to {what} of which it is not known which of several providers has made it; refer to it by "
        f"the id that this gateway gave out, or {instead.get(member, 'create it anew here')}"
    )
    return NotKnown(ErrorKind.BAD_REQUEST, detail, code, param=member)


def not_stored(call: Call) -> ModelError:
    """Nobody knows who has it, or nobody has it."""
    if not call.id:
        if takes_model(call):
            return choose_one(call)
        detail = f"several providers may have a stored {call.api.stored}, and their lists are not made one"
        return ModelError(ErrorKind.NO_ROUTE, detail, "list_not_available")
    code, detail = f"{call.api.stored.replace(' ', '_')}_not_found", f"there is no {call.api.stored} of this id"
    if call.api is not RESPONSES_BY_ID:
        detail = f"it is not known which of several providers has the {call.api.stored} of this id"
    return (NotKnown if call.api in ISSUED else ModelError)(ErrorKind.NO_ROUTE, detail, code)
