"""Whether the methods of custom classes can be called as they will be, so that it is known before the first request.

What may be right passes: compiled functions, of which nothing is known, and each plain `def` that may return something
to await, such as `return handler(exchange)`.
"""

from __future__ import annotations

import dis
import inspect
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from types import FunctionType, NoneType, UnionType
from typing import Any, Final, NamedTuple, get_args, get_type_hints

from gateway.http import Decision, Response

_NEVER_AWAITED: Final = (Response, Decision, NoneType)
_RETURNS: Final = frozenset({"RETURN_VALUE", "RETURN_CONST"})
_CONSTANTS: Final = frozenset({"LOAD_CONST", "LOAD_SMALL_INT"})


class Wrong(NamedTuple):
    """A function that cannot be used, and why."""

    function: object
    message: str


def wrong_awaited(owner: Any, method: str, *arguments: str) -> Wrong | None:
    """A method that is awaited, with these arguments. It may be left out."""
    function = getattr(owner, method, None)
    if function is None or (_takes(function, len(arguments)) and not _gives_nothing_to_await(function)):
        return None
    written = ", ".join(("self", *arguments))
    return Wrong(function, f"{method} of {type(owner).__name__} must be: async def {method}({written})")


def wrong_called(owner: Any, method: str, argument: str) -> Wrong | None:
    """A method that is called with one argument. It may be left out."""
    function = getattr(owner, method, None)
    if function is None or _takes(function, 1):
        return None
    return Wrong(function, f"{method} of {type(owner).__name__} must take one argument: {method}(self, {argument})")


def wrong_handler(policy: Any, handler: object) -> Wrong | None:
    """What `wrap` of a policy has returned."""
    must = f"wrap of {type(policy).__name__} must"
    if inspect.iscoroutine(handler):
        handler.close()
        return Wrong(policy.wrap, f"{must} be a plain def; what it returns is the handler: async def (exchange)")
    if not callable(handler):
        return Wrong(policy.wrap, f"{must} return a handler: async def (exchange)")
    if _gives_nothing_to_await(handler):
        remedy = "write async def, and await handler(exchange) in it"
        return Wrong(handler, f"{must} return a handler, and what this returns cannot be awaited; {remedy}")
    if not _takes(handler, 1):
        return Wrong(handler, f"{must} return a handler that takes one argument: async def (exchange)")
    return None


def wrong_constructor(made: type[Any], *, has_config: bool) -> Wrong | None:
    """A class that is called with its config, if it has one."""
    if _takes(made, int(has_config)):
        return None
    must = f"__init__ of {made.__name__} must be: def __init__"
    if has_config:
        return Wrong(made.__init__, f"{must}(self, config), as the class has a Config")
    return Wrong(made.__init__, f"{must}(self); or give the class a Config, which it gets then")


def line_of(function: object, path: str) -> int | None:
    """The line of this file at which a function begins, if it is from there."""
    codes = (each.__code__ for each in _functions(function))
    return next((code.co_firstlineno for code in codes if code.co_filename == path), None)


def _gives_nothing_to_await(function: object) -> bool:
    """Whether what it returns can never be awaited."""
    found = list(_functions(function))
    return bool(found) and all(map(_never_awaited, found))


def _never_awaited(function: FunctionType) -> bool:
    if inspect.iscoroutinefunction(function) or function.__code__.co_flags & inspect.CO_ITERABLE_COROUTINE:
        return False
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return True
    return _returns_constants(function) or _is_never_awaitable(_declared(function))


def _returns_constants(function: FunctionType) -> bool:
    """Whether all that it returns is written there, such as the None of its end."""
    found = list(dis.get_instructions(function))
    returns = [(before, one) for before, one in pairwise(found) if one.opname in _RETURNS]
    return bool(returns) and all(
        one.opname == "RETURN_CONST" or (before.opname in _CONSTANTS and not one.is_jump_target)
        for before, one in returns
    )


def _declared(function: FunctionType) -> object:
    """The type that it says it returns; Any where that cannot be known."""
    try:
        return get_type_hints(function).get("return", Any)
    except Exception:  # a name that only type checkers see, or what else the code of others does
        return Any


def _is_never_awaitable(declared: object) -> bool:
    """Whether it is one of our own types, or nothing."""
    members = get_args(declared) if isinstance(declared, UnionType) else (declared,)
    return all(member in _NEVER_AWAITED for member in members)


def _takes(function: Any, number: int) -> bool:
    try:
        signature = inspect.signature(function, follow_wrapped=False)
        signature.bind(*range(number))
    except ValueError:  # it does not say
        return True
    except TypeError:
        return False
    return True


def _functions(called: Any) -> Iterator[FunctionType]:
    """The functions that are called: behind partial arguments, methods, objects that can be called, and decorators."""
    while isinstance(called, partial):
        called = called.func
    if not inspect.isroutine(called):
        called = getattr(type(called), "__call__", None)  # noqa: B004  the function itself is wanted
    called = getattr(called, "__func__", called)
    while isinstance(called, FunctionType):
        yield called
        called = getattr(called, "__wrapped__", None)
