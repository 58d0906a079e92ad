"""Big answers in pages: what an operator may see of a configuration, and not more of it at a time than is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pydantic import BaseModel, SecretStr

from gateway.admin.answers import Refused
from gateway.admin.operations import Parameter
from gateway.config.models.auth.plain_consumers import PlainConsumer
from gateway.config.models.base import hidden_keys, keys_of
from gateway.config.secrets import HIDDEN

MOST = 10_000  # items of one page
ITEMS = 1000  # of one list, unless more or fewer are asked for
NODES = 200_000  # values of one answer, whatever is asked for

PAGE = (Parameter("offset", "The first item, from 0."), Parameter("limit", "How many items, at most."))
"""The parameters of `page_of`."""

_INDEX = re.compile(r"[0-9]{1,9}")

USER_INFORMATION = re.compile(r"//[^/@]*@")  # of a URL


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for."""

    offset: int = 0
    limit: int = ITEMS

    def of(self, items: Sequence[Any]) -> Sequence[Any]:
        """The requested page."""
        return items[self.offset : self.offset + self.limit]

    def next(self, path: str, count: int) -> dict[str, str]:
        """The headers that say how much there is, and where it goes on (RFC 8288)."""
        headers = {"x-total-count": str(count)}
        following = self.offset + self.limit
        if following < count:
            headers["link"] = f'<{path}?offset={following}&limit={self.limit}>; rel="next"'
        return headers


def page_of(parameters: Mapping[str, str], limit: int = ITEMS) -> Page:
    """The page that a query asks for. Raises Refused."""
    return Page(_number(parameters, "offset", 0, 10**9), _number(parameters, "limit", limit, MOST))


def _number(parameters: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = parameters.get(name, str(default))
    if not (text.isascii() and text.isdigit()) or len(text) > 10 or int(text) > most:
        raise Refused(400, f"{name}: expected a whole number of at most {most}")
    return int(text)


def find(value: Any, at: str) -> Any:
    """The value at `at`: keys and indexes, separated by slashes. Raises Refused."""
    for step in filter(None, at.split("/")):
        below = _step(value, step)
        if below is None:
            raise Refused(400, f"unknown key: {step!r} in {at!r}")
        value = below
    return value


def _step(value: Any, step: str) -> Any:
    if isinstance(value, PlainConsumer):
        value = value.as_model()
    if isinstance(value, BaseModel):
        if step in hidden_keys(type(value)):
            return HIDDEN
        if _hides_fields(value):
            return _dumped(value).get(step)
        names = {field.alias or name: name for name, field in type(value).model_fields.items()}
        return getattr(value, names[step]) if step in names else None
    if isinstance(value, Mapping):
        return value.get(step)
    if isinstance(value, (list, tuple)) and _INDEX.fullmatch(step) and int(step) < len(value):
        return value[int(step)]
    return None


def _members(model: BaseModel) -> Mapping[str, Any]:
    """Its values, by the keys of the files."""
    if _hides_fields(model):
        return _dumped(model)
    fields = zip(keys_of(type(model)), type(model).model_fields, strict=True)
    return {key: getattr(model, name) for key, name in fields}


def _hides_fields(model: BaseModel) -> bool:
    """Whether the model says itself what of it may be shown."""
    return bool(type(model).__pydantic_decorators__.field_serializers)


def _dumped(model: BaseModel) -> dict[str, Any]:
    return model.model_dump(mode="json", by_alias=True)


def without_secrets(value: Any, hide: Callable[[str], str]) -> Any:
    """A value for JSON, of whose texts none has a secret in it: a path may be rewritten to one."""
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, Mapping):
        return {key: without_secrets(item, hide) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_secrets(item, hide) for item in value]
    return value


class Shown:
    """A value as JSON has it, without secrets. Of each list only a page, with a line that says where it goes on."""

    def __init__(self, page: Page, hide: Callable[[str], str]) -> None:
        """`hide`: a text without the secrets in it, as those of a URL."""
        self._hide = hide
        self._limit = page.limit
        self._left = NODES

    def top(self, value: Any, at: str, page: Page) -> Any:
        """The value at `at`; where it is a list, the page of it."""
        if isinstance(value, (list, tuple, Mapping)):
            return self._part(value, at, page.offset)
        return self._shown(value, at)

    def _shown(self, value: Any, at: str) -> Any:
        self._left -= 1
        if isinstance(value, PlainConsumer):
            value = value.as_model()
        if isinstance(value, BaseModel):
            return {key: self._member(value, key, member, at) for key, member in _members(value).items()}
        if isinstance(value, (list, tuple, Mapping)):
            return self._part(value, at, 0)
        if isinstance(value, Set):
            return sorted(map(str, value))
        if isinstance(value, SecretStr):
            return HIDDEN
        if value is None or isinstance(value, (bool, int, float)):
            return value
        return self._hide(USER_INFORMATION.sub(f"//{HIDDEN}@", str(value)))

    def _member(self, model: BaseModel, key: str, value: Any, at: str) -> Any:
        hidden = value is not None and key in hidden_keys(type(model))
        return HIDDEN if hidden else self._shown(value, f"{at}/{key}")

    def _part(self, value: Sequence[Any] | Mapping[Any, Any], at: str, offset: int) -> Any:
        end = offset + min(self._limit, max(self._left, 1))
        more = f"{len(value) - end} more: /config?at={at}&offset={end}" if len(value) > end else ""
        if isinstance(value, Mapping):
            shown = {str(key): self._shown(item, f"{at}/{key}") for key, item in islice(value.items(), offset, end)}
            return shown | {"...": more} if more else shown
        items = [self._shown(item, f"{at}/{index}") for index, item in enumerate(value[offset:end], offset)]
        return [*items, more] if more else items
