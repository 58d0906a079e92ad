"""Whether the methods of custom classes can be called as they will be, so that it is known before the first request.

Of what is not plain Python, such as compiled functions, nothing is known, and it passes.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import partial
from types import FunctionType
from typing import Any, NamedTuple


class Wrong(NamedTuple):
    """A function that cannot be used, and why."""

    function: object
    message: str


def wrong_awaited(owner: Any, method: str, *arguments: str) -> Wrong | None:
    """A method that is awaited, with these arguments. It may be left out."""
    function = getattr(owner, method, None)
    if function is None or (not _is_plain(function) and _takes(function, len(arguments))):
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
    if _is_plain(handler):
        remedy = "write async def, and await handler(exchange) in it"
        return Wrong(handler, f"{must} return a handler that can be awaited, and this is a plain def; {remedy}")
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


def _is_plain(function: object) -> bool:
    """Whether what it returns cannot be awaited. What a lambda or a decorator returns may be."""
    found = list(_functions(function))
    return bool(found) and not any(_may_be_awaited(each) for each in found)


def _may_be_awaited(function: FunctionType) -> bool:
    iterable = function.__code__.co_flags & inspect.CO_ITERABLE_COROUTINE  # types.coroutine
    return inspect.iscoroutinefunction(function) or bool(iterable) or function.__name__ == "<lambda>"


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
