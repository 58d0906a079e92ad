"""Which models a caller may name: the lists of them, and the refusals of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.algorithms.globs import Glob
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Response
from gateway.http.model_record import ModelRecord
from gateway.http.parameters import query_values
from gateway.llm.answers import ListedModel, model_entry, model_list
from gateway.llm.apis import Call
from gateway.llm.choosing import Ask, Choice, Table, candidates_of, fits, offered
from gateway.llm.naming import is_ambiguous
from gateway.llm.realtime import SessionCheck
from gateway.llm.request import ModelRequest
from gateway.llm.speaking import ModelError, family_of


class Offering:
    """The models that callers may use. `allowed`: those of consumers that may not use all."""

    def __init__(self, table: Table, allowed: Mapping[str, tuple[Glob, ...] | None]) -> None:
        self._table = table
        self._allowed = allowed

    def lets(self, exchange: Exchange, model: str) -> bool:
        """Whether the caller may use the model of this name."""
        identity = exchange.identity
        globs = self._allowed.get(identity.consumer) if identity is not None else None
        return globs is None or fits(globs, model)

    def check(self, exchange: Exchange, request: ModelRequest) -> None:
        """Have no caller name a model that is for others, in whichever member. Raises ModelError."""
        identity = exchange.identity
        globs = self._allowed.get(identity.consumer) if identity is not None else None
        if globs is None:
            return
        for name, member in {request.model: "model", **request.unknown_names, **request.others}.items():
            if not fits(globs, name):
                if exchange.model is not None:
                    exchange.model.asked = ""  # which may be anything, also a key
                raise self._not_allowed(exchange, name, member)
        if request.body and is_ambiguous(request.body, request.document):
            detail = "a member of the body is duplicated, which servers read in different ways; write it once"
            raise ModelError(ErrorKind.BAD_REQUEST, detail, "invalid_request")

    def restricts(self, exchange: Exchange) -> bool:
        """Whether the caller may not use every model."""
        identity = exchange.identity
        return identity is not None and self._allowed.get(identity.consumer) is not None

    def check_list(self, exchange: Exchange, *, shared: bool, of_models: bool) -> None:
        """Have no caller list what others have stored, unless these are `shared`, and then, where the entries are `of
        models`, only of one that it may use. Raises ModelError."""
        identity = exchange.identity
        if identity is None:
            return
        if not shared:
            detail = "lists of what is stored show that of all callers, and are not given; ask for it by its id"
            logged = (
                "the list shows what all callers have stored: models.yaml gives it to callers with list_stored: true"
            )
            raise ModelError(ErrorKind.FORBIDDEN, detail, "list_not_available", logged=logged)
        globs = self._allowed.get(identity.consumer) if of_models else None
        models = [value.decode("utf-8", "replace") for value in query_values(exchange.query, "model")]
        if globs is not None and not (len(models) == 1 and fits(globs, models[0])):
            detail = "name a model that you may use, as `model` of the query"
            raise ModelError(ErrorKind.FORBIDDEN, detail, "model_not_allowed", param="model")

    def session_check(self, exchange: Exchange, record: ModelRecord) -> SessionCheck:
        """What looks at the messages of a session in real time."""
        identity = exchange.identity
        globs = self._allowed.get(identity.consumer) if identity is not None else None
        return SessionCheck(
            self._table.offers[record.provider], frozenset({record.asked, record.model}), globs, exchange
        )

    def names(self, exchange: Exchange) -> Sequence[str]:
        """The models that the caller may name."""
        return [name for name in offered(self._table, exchange) if self.lets(exchange, name)]

    def listed(self, exchange: Exchange, call: Call) -> Response:
        """The answer to a request for the list, or for one entry of it. Raises ModelError."""
        names, family = self.names(exchange), family_of(exchange, exchange.target_path)
        if not call.model:
            return model_list(family, [ListedModel(name) for name in names])
        name = call.model.removeprefix("models/")
        if name not in names and not self._covers(exchange, name):
            raise self._unknown(exchange, name)
        return model_entry(family, ListedModel(name))

    def _covers(self, exchange: Exchange, name: str) -> bool:
        """Whether a pattern covers it, of a provider that the caller may use."""
        providers = usable(self._table, exchange)
        offers = [offer for offer in self._table.offers.values() if providers is None or offer.name in providers]
        return self.lets(exchange, name) and any(offer.covers(name) for offer in offers)

    def not_offered(self, exchange: Exchange, ask: Ask, choice: Choice, request: ModelRequest) -> GatewayError:
        """The refusal of a model that none of the providers answers for."""
        if ask.others and candidates_of(self._table, choice.profile, ask._replace(others=()), 0.0, {}).candidates:
            members = sorted({f"`{member}`" for member in request.others.values()})
            detail = f"{' and '.join(members)} may name models only that a provider of `{ask.model[:200]}` offers here"
            logged = "the request names other models that no provider of its model offers"
            param = next(iter(request.others.values()))
            return ModelError(ErrorKind.NO_ROUTE, detail, "model_not_found", param=param, logged=logged)
        others = [left.provider for left in choice.left_out if left.reason == "protocol"]
        if not others and ask.model in offered(self._table, exchange):
            detail = f"the model is offered here, but by no provider of the profile {choice.profile.name}"
            return ModelError(ErrorKind.NO_ROUTE, detail, "model_not_found", param="model")
        if not others:
            return self._unknown(exchange, ask.model)
        speaks = sorted({self._table.offers[name].protocol for name in others})
        detail = (
            f"the model is offered in the protocol of {' and '.join(speaks)} only, and requests of {ask.api} are not "
            "translated for it"
        )
        return ModelError(ErrorKind.NO_ROUTE, detail, "model_not_found", param="model")

    def _not_allowed(self, exchange: Exchange, model: str, member: str) -> GatewayError:
        names = self.names(exchange)
        detail = f"you may not use the model `{model[:200]}`" + (f"; you may use: {_some(names)}" if names else "")
        logged = "the consumer may not use the model that it names"
        return ModelError(ErrorKind.FORBIDDEN, detail, "model_not_allowed", param=member, logged=logged)

    def _unknown(self, exchange: Exchange, model: str) -> GatewayError:
        names = self.names(exchange)
        detail = f"the model `{model[:200]}` is not offered here" + (f"; there are: {_some(names)}" if names else "")
        logged = "the request names a model that is not offered"  # it may be anything, also a key
        return ModelError(ErrorKind.NO_ROUTE, detail, "model_not_found", param="model", logged=logged)


def usable(table: Table, exchange: Exchange) -> frozenset[str] | None:
    """The providers of the profiles that the caller may use; None: all."""
    found: set[str] = set()
    for profile in table.profiles.values():
        if profile.allows(exchange):
            if not profile.only:
                return None
            found.update(name for tier in profile.tiers for name, _ in tier)
    return frozenset(found)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (" and others" if len(names) > 20 else "")
