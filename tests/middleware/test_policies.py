"""Policies in Python: loading them, their mistakes, refusals and shadow mode, and where they stand."""

import asyncio
import re
from pathlib import Path

import pytest

from gateway.config.load import ConfigError
from gateway.config.watch import look, same
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Handler, Response
from gateway.http.testing import make_exchange
from gateway.live import Owner
from gateway.middleware.order import completed
from gateway.middleware.table import POLICIES
from tests.resilience.support import running

from .support import ROUTES, answering, build, chained, context, errors

HEAD = """\
from __future__ import annotations
import asyncio
from dataclasses import dataclass
from pydantic import BaseModel, Field, field_validator
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Handler, Response

"""
COUNTER = (
    HEAD
    + """
@dataclass
class Seen:
    number: int = 0

class Counter:
    class Config(BaseModel):
        name: str
        step: int = Field(1, ge=1)

        @field_validator("name")
        @classmethod
        def _short(cls, value: str) -> str:
            if len(value) > 5:
                raise ValueError(f"{value} is longer than 5 characters")
            return value

    def __init__(self, config: Config) -> None:
        self.config = config
        self.seen = Seen()

    def wrap(self, handler: Handler) -> Handler:
        async def counted(exchange: Exchange) -> Response:
            self.seen.number += self.config.step
            response = await handler(exchange)
            response.headers.append((self.config.name.encode(), b"%d" % self.seen.number))
            return response
        return counted
"""
)
REFUSING = (
    HEAD
    + """
class Policy:
    def wrap(self, handler: Handler) -> Handler:
        async def asked(exchange: Exchange) -> Response:
            case = exchange.fields.get(b"case")
            if case == b"raise":
                raise GatewayError(ErrorKind.FORBIDDEN, "not you")
            if case == b"answer":
                return Response(418, [])
            if case == b"break":
                raise KeyError("oops")
            if case == b"task":
                self.task = asyncio.create_task(self.hand_on(handler, exchange))
                await asyncio.sleep(0)
                return Response(403, [])
            try:
                response = await handler(exchange)
            except GatewayError:
                if case == b"page":
                    return Response(503, [])
                raise
            if case == b"replace":
                return Response(403, [])
            if case in (b"change", b"change and break"):
                response.status, response.body = 403, b"changed"
                response.headers.append((b"x-changed", b"1") if case == b"change" else "nonsense")
            if case == b"late":
                raise GatewayError(ErrorKind.FORBIDDEN, "too much")
            return response
        return asked

    async def hand_on(self, handler: Handler, exchange: Exchange) -> Response:
        return await handler(exchange)
"""
)
CLASS = "policies: {mine: {class: 'p.py:Counter', config: {name: x-n}}}"


async def answers(owner: Owner, source: str, middleware: str = CLASS) -> list[tuple[bytes, bytes]]:
    """The headers of one response, after a reload with this source."""
    built = context(middleware, sources={"p.py": source}, owner=owner)
    handle = chained(build(built), answering())
    await owner.adopt(built.plan)
    await owner.release()
    return (await handle(make_exchange())).headers


async def test_a_policy_has_its_configuration() -> None:
    """What middleware.yaml says under `config` arrives in the class, checked and with defaults."""
    text = "policies: {mine: {class: 'p.py:Counter', config: {name: x-n, step: 3}}}"
    assert await answers(Owner(), COUNTER, text) == [(b"x-n", b"3")]


async def test_a_reload_keeps_what_did_not_change() -> None:
    """A counter goes on counting over reloads of other things, and begins anew with new code or a new config."""
    owner = Owner()
    assert await answers(owner, COUNTER) == [(b"x-n", b"1")]
    assert await answers(owner, COUNTER, CLASS + "\nlimits: {headers: 50}") == [(b"x-n", b"2")]
    assert await answers(owner, COUNTER, CLASS.replace("x-n", "x-m")) == [(b"x-m", b"1")]
    assert await answers(owner, COUNTER) == [(b"x-n", b"1")]
    assert await answers(owner, COUNTER + "\n# changed\n") == [(b"x-n", b"1")]


async def test_a_broken_version_leaves_the_old_one_whole() -> None:
    """While an edit is wrong, what was built before goes on as it was."""
    owner = Owner()
    built = context(CLASS, sources={"p.py": COUNTER}, owner=owner)
    handle = chained(build(built), answering())
    await owner.adopt(built.plan)
    with pytest.raises(ConfigError):
        build(context(CLASS, sources={"p.py": COUNTER.replace("class Counter", "class Other")}, owner=owner))
    with pytest.raises(ConfigError):
        build(context(CLASS, sources={"p.py": COUNTER + "\nraise RuntimeError('half')\n"}, owner=owner))
    assert (await handle(make_exchange())).headers == [(b"x-n", b"1")]
    assert await answers(owner, COUNTER) == [(b"x-n", b"2")]


async def test_a_policy_is_started_and_stopped() -> None:
    """It can open what it needs and close it; a failure there does not stop the gateway."""
    source = COUNTER + (
        "    async def start(self) -> None:\n        self.seen.number = 40\n"
        "    async def stop(self) -> None:\n        raise RuntimeError('no matter')\n"
    )
    owner = Owner()
    assert await answers(owner, source) == [(b"x-n", b"41")]
    await owner.stop()


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("{}", ['middleware.yaml:1:42: policies.mine.config: the key "name" is missing; add it']),
        (
            "{name: a, stepp: 2}",
            ['middleware.yaml:1:60: policies.mine.config.stepp: unknown key, did you mean "step"?'],
        ),
        (
            "{name: a, step: 0}",
            [
                "middleware.yaml:1:60: policies.mine.config.step: mine does not take this: Input should be greater than"
                " or equal to 1"
            ],
        ),
        (
            "{name: abcdef, step: x}",
            [
                "middleware.yaml:1:51: policies.mine.config.name: mine does not take this: abcdef is longer than 5"
                " characters",
                "middleware.yaml:1:65: policies.mine.config.step: mine does not take this: Input should be a valid"
                " integer, unable to parse string as an integer",
            ],
        ),
    ],
)
def test_a_wrong_config_is_reported_at_its_place(config: str, expected: list[str]) -> None:
    """As for every other key: file, line and column, and every error at once."""
    text = f"policies: {{mine: {{class: 'p.py:Counter', config: {config}}}}}"
    assert errors(text, sources={"p.py": COUNTER}) == expected


def test_a_secret_that_is_wrong_is_not_repeated() -> None:
    """What came from the environment stays out of the errors, whatever the policy's own check says."""
    text = "policies: {mine: {class: 'p.py:Counter', config: {name: '${SECRET:-hunter22}'}}}"
    assert "hunter22" not in "".join(errors(text, sources={"p.py": COUNTER}))


@pytest.mark.parametrize(
    ("source", "named", "expected"),
    [
        ("x = 1\ndef f(:\n", "p.py:P", "p.py:2:7: policy mine: it cannot be loaded: SyntaxError: invalid syntax"),
        ("\n\nimport nowhere_at_all\n", "p.py:P", "p.py:3:1: policy mine: it cannot be loaded: ModuleNotFoundError"),
        (
            "def f():\n    return 1 / 0\nf()\n",
            "p.py:P",
            "p.py:2:12: policy mine: it cannot be loaded: ZeroDivisionError",
        ),
        ("import sys\nsys.exit(3)\n", "p.py:P", "p.py:2:1: policy mine: it cannot be loaded: SystemExit: 3"),
        ("P = 1\n", "p.py:P", "middleware.yaml:1:19: policies.mine.class: there is no class P in p.py"),
        ("class P: pass\n", "p.py:P", "policies.mine.class: P has no wrap(self, handler)"),
        (
            "class P:\n    Config = 3\n    def wrap(self, h): return h\n",
            "p.py:P",
            "Config of the class must be a pydantic",
        ),
        ("class P:\n    def wrap(self, h): pass\n", "p.py:P", "wrap of P must return a handler"),
        (
            "class P:\n    def __init__(self): self.x.y\n    def wrap(self, h): return h\n",
            "p.py:P",
            "p.py:2:25: policy mine: P cannot be made: AttributeError",
        ),
        ("", "q.py:P", "policies.mine.class: q.py cannot be read in /nowhere"),
        ("", "no_such_package.module:P", "policies.mine.class: no_such_package.module cannot be imported"),
        ("", "json:NoSuchClass", "policies.mine.class: there is no class NoSuchClass in json"),
        ("", "p.py", "a class is written file.py:Class, or package.module:Class"),
    ],
)
def test_what_keeps_a_policy_from_working_is_reported_with_its_line(source: str, named: str, expected: str) -> None:
    """Syntax, imports, its own code and its shape: a sentence, not a traceback."""
    found = errors(f"policies: {{mine: {{class: '{named}'}}}}", sources={"p.py": source})
    assert len(found) == 1
    assert expected in found[0]


WRAP = "class P:\n    def wrap(self, handler):\n"
PASSING = WRAP + "        return handler\n"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            "from gateway.http import Response\n"
            + WRAP
            + "        def asked(exchange) -> Response:\n            return made()\n        return asked\n",
            "p.py:4:1: policy mine: wrap of P must return a handler, and what this returns cannot be awaited; "
            "write async def, and await handler(exchange) in it",
        ),
        (
            WRAP + "        return self.ask\n    def ask(self, exchange):\n        pass\n",
            "p.py:4:1: policy mine: wrap of P must return a handler, and what this returns cannot be awaited",
        ),
        (
            WRAP + "        async def asked(exchange):\n            yield\n        return asked\n",
            "p.py:3:1: policy mine: wrap of P must return a handler, and what this returns cannot be awaited",
        ),
        (
            WRAP + "        async def asked(exchange, more):\n            pass\n        return asked\n",
            "p.py:3:1: policy mine: wrap of P must return a handler that takes one argument: async def (exchange)",
        ),
        (
            "class P:\n    async def wrap(self, handler):\n        return handler\n",
            "p.py:2:1: policy mine: wrap of P must be a plain def; what it returns is the handler",
        ),
        (
            "class P:\n    def wrap(self):\n        return 1\n",
            "p.py:2:1: policy mine: wrap of P must take one argument: wrap(self, handler)",
        ),
        (
            PASSING + "    def __init__(self, config):\n        pass\n",
            "p.py:4:1: policy mine: __init__ of P must be: def __init__(self); or give the class a Config",
        ),
        (
            "from pydantic import BaseModel\n" + PASSING + "    class Config(BaseModel):\n        pass\n",
            "policies.mine.class: __init__ of P must be: def __init__(self, config), as the class has a Config",
        ),
        (
            PASSING + "    def start(self):\n        pass\n",
            "p.py:4:1: policy mine: start of P must be: async def start(self)",
        ),
        (
            PASSING + "    async def stop(self, now):\n        pass\n",
            "p.py:4:1: policy mine: stop of P must be: async def stop(self)",
        ),
        (
            PASSING + "    def explain(self, exchange):\n        pass\n",
            "p.py:4:1: policy mine: explain of P must be: async def explain(self, exchange)",
        ),
    ],
)
def test_a_policy_of_a_wrong_shape_is_refused(source: str, expected: str) -> None:
    """What would fail at the first request is an error of the configuration, at the line of the function."""
    found = errors("policies: {mine: {class: 'p.py:P'}}", sources={"p.py": source})
    assert len(found) == 1
    assert expected in found[0]


@pytest.mark.parametrize(
    "source",
    [
        WRAP + "        return lambda exchange: self.ask(exchange, handler)\n"
        "    async def ask(self, exchange, handler):\n        return await handler(exchange)\n",
        "from functools import partial\n" + WRAP + "        return partial(self.ask, handler)\n"
        "    async def ask(self, handler, exchange):\n        return await handler(exchange)\n",
        "from functools import wraps\n" + WRAP + "        @wraps(handler)\n        def asked(exchange):\n"
        "            return handler(exchange)\n        return asked\n",
        WRAP + "        def asked(exchange):\n            return handler(exchange)\n        return asked\n",
        WRAP + "        self.handler = handler\n        return self\n"
        "    async def __call__(self, exchange, *more):\n        return await self.handler(exchange)\n",
        "import types\n" + WRAP + "        @types.coroutine\n        def asked(exchange):\n"
        "            return (yield from handler(exchange).__await__())\n        return asked\n",
    ],
    ids=["lambda", "partial", "wraps", "plain", "object", "coroutine"],
)
async def test_all_that_can_be_awaited_is_a_handler(source: str) -> None:
    """A handler need not be an `async def` itself: what it returns is awaited."""
    built = context("policies: {mine: {class: 'p.py:P'}}", sources={"p.py": source})
    assert (await chained(build(built), answering())(make_exchange())).status == 200


async def test_names_of_headers_of_a_refusal_are_in_lower_case() -> None:
    """What a refusal adds is compared with the gateway's own headers, and so is written as those are."""
    source = (
        HEAD + WRAP + "        async def asked(exchange):\n"
        "            raise GatewayError(ErrorKind.FORBIDDEN, 'no', headers=((b'Retry-After', b'5'),))\n"
        "        return asked\n"
    )
    built = context("policies: {mine: {class: 'p.py:P'}}", sources={"p.py": source})
    with pytest.raises(GatewayError) as raised:
        await chained(build(built), answering())(make_exchange())
    assert raised.value.headers == ((b"retry-after", b"5"),)


def test_errors_of_all_policies_are_reported_at_once() -> None:
    """Two broken policies are two errors."""
    text = "policies: {a: {class: 'a.py:A'}, b: {class: 'b.py:B'}}"
    assert len(errors(text, sources={"a.py": "import nope_a", "b.py": "import nope_b"})) == 2


async def outcome(case: str, mode: str = "enforce", backend: Handler | None = None) -> tuple[object, list[str]]:
    """Status or kind of error of a request, and the verdicts that were recorded."""
    text = f"policies: {{mine: {{class: 'p.py:Policy', mode: {mode}}}}}"
    handle = chained(build(context(text, sources={"p.py": REFUSING})), backend or answering())
    exchange = make_exchange(headers=[("case", case)])
    try:
        response = await handle(exchange)
        result: object = response.status
        assert response.status != 200 or (response.headers, response.body) == ([], b"fine")
    except GatewayError as error:
        result = error.kind
    return result, [f"{decision.rule} {decision.verdict}" for decision in exchange.decisions]


async def test_what_a_policy_refuses_is_recorded() -> None:
    """By an error, by an answer of its own, after it has seen the response, or because it broke."""
    assert await outcome("pass") == (200, [])
    assert await outcome("raise") == (ErrorKind.FORBIDDEN, ["policy:mine deny"])
    assert await outcome("answer") == (418, ["policy:mine deny"])
    assert await outcome("late") == (ErrorKind.FORBIDDEN, ["policy:mine deny"])
    assert await outcome("break") == (ErrorKind.INTERNAL, ["policy:mine deny"])
    assert await outcome("replace") == (403, ["policy:mine deny"])
    assert await outcome("change") == (403, ["policy:mine deny"])
    assert await outcome("change and break") == (ErrorKind.INTERNAL, ["policy:mine deny"])
    assert await outcome("task", backend=late) == (403, ["policy:mine deny"])


REFUSALS = ["raise", "answer", "late", "break", "replace", "change", "change and break", "task"]


@pytest.mark.parametrize("case", REFUSALS)
async def test_shadow_mode_lets_pass_what_a_policy_refuses(case: str) -> None:
    """However it refuses, the request is answered as if it were not there."""
    assert await outcome(case, "shadow", late if case == "task" else None) == (200, ["policy:mine shadow-deny"])


async def late(exchange: Exchange) -> Response:
    """A backend that takes its time."""
    await asyncio.sleep(0.05)
    return Response(200, [], b"fine")


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
async def test_an_error_in_the_place_of_another_is_no_refusal(mode: str) -> None:
    """What a policy makes of an error of the backend, or of a failure to reach it, goes out in any mode."""

    async def failing(exchange: Exchange) -> Response:
        raise GatewayError(ErrorKind.UPSTREAM_REFUSED, "no")

    assert await outcome("replace", mode, answering(lambda: Response(500, []))) == (403, [])
    assert await outcome("change", mode, answering(lambda: Response(404, []))) == (403, [])
    assert await outcome("page", mode, failing) == (503, [])


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
@pytest.mark.parametrize("error", [GatewayError(ErrorKind.UPSTREAM_REFUSED, "no"), ValueError("bug further in")])
async def test_a_failure_behind_a_policy_is_not_its_own(mode: str, error: Exception) -> None:
    """The backend's errors pass through, and are asked for once."""
    calls = []

    async def failing(exchange: Exchange) -> Response:
        calls.append(exchange)
        raise error

    text = f"policies: {{mine: {{class: 'p.py:Policy', mode: {mode}}}}}"
    exchange = make_exchange()
    with pytest.raises(type(error)):
        await chained(build(context(text, sources={"p.py": REFUSING})), failing)(exchange)
    assert (len(calls), exchange.decisions) == (1, ())


async def test_policies_stand_in_the_order_of_the_file() -> None:
    """The first is the outermost: it sees the response last."""
    text = (
        "policies: {b: {class: 'p.py:Counter', config: {name: x-b}}, a: {class: 'p.py:Counter', config: {name: x-a}}}"
    )
    assert [name for name, _ in await answers(Owner(), COUNTER, text)] == [b"x-a", b"x-b"]


def test_the_whole_stack_can_be_reordered() -> None:
    """A policy of one's own can stand anywhere, even in front of everything else."""
    order = ["policies.mine", *(policy.name for policy in reversed(POLICIES))]
    text = f"request_id: {{echo: true}}\n{CLASS}\norder: [{', '.join(order)}]"
    kinds = [type(each).__name__ for each in build(context(text, sources={"p.py": COUNTER}))]
    assert kinds.index("PythonPolicy") == 0
    assert kinds.index("BodyLimit") < kinds.index("RequestIdHeaders")


def test_the_documented_order_is_the_default_one() -> None:
    """Operators read there which policies a refusal has passed, and which names `order` takes."""
    document = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    section = document.partition("## Order of policies\n")[2].partition("A response that")[0]
    assert re.findall(r"`([a-z_]+)`", section) == [policy.name for policy in POLICIES]


def test_an_order_that_invents_something_is_refused() -> None:
    """A name that nothing has is probably another's, misspelt."""
    names = [policy.name for policy in POLICIES]
    expected = errors(f"order: [{', '.join(names[1:])}, request_idd, cors, rate_limits.none]")
    assert len(expected) == 3
    assert 'did you mean "request_id"?' in expected[0]
    assert "duplicated" in expected[1]
    assert "nothing has this name" in expected[2]


@pytest.mark.parametrize("missing", range(len(POLICIES)))
def test_what_an_order_forgets_takes_its_usual_place(missing: int) -> None:
    """An older file needs no change when there are new policies."""
    names = [policy.name for policy in POLICIES]
    order = [*names[:missing], *names[missing + 1 :]]
    assert completed(order) == names


def test_what_an_order_forgets_opens_no_hole() -> None:
    """Also where its usual predecessor stands in an unusual place."""
    names = [policy.name for policy in POLICIES]
    whole = completed(["quotas", "authentication", "blocklist"])
    assert whole.index("ip_allow") < whole.index("authentication") < whole.index("request_headers")
    assert sorted(whole) == sorted(names)


def test_one_rate_limit_can_stand_in_front_of_the_authentication() -> None:
    """And the others behind it: a limit by address holds off who only guesses."""
    limits = "rate_limits: {guesses: {key: [address], limits: [10/s]}, b: {limits: [1/s]}, c: {limits: [2/s]}}"
    order = "order: [rate_limits.guesses, authentication, rate_limits.c, body_limit, rate_limits]"
    auth = {"auth.yaml": "schemes: {keys: {api_key: {}}}\ndefault: [keys]"}
    kinds = [repr(each) for each in build(context(f"{limits}\n{order}", sources=auth))]
    places = [kinds.index(f"RateLimits({name})") for name in ("guesses", "c", "b")]
    authentication = next(index for index, kind in enumerate(kinds) if kind.startswith("Authentication"))
    assert places[0] < authentication < places[1] < places[2]


def test_a_policy_that_is_being_written_is_waited_for(tmp_path: Path) -> None:
    """Half of a class is never loaded: its file is watched like the three, and identified by its content."""
    (tmp_path / "routes.yaml").write_text(ROUTES)
    (tmp_path / "middleware.yaml").write_text(CLASS)
    with (tmp_path / "p.py").open("w") as file:
        file.write("class Coun")
        file.flush()
        contents, written = look(tmp_path)
        assert written is not None
        assert [problem.file for problem in written.problems] == ["p.py"]
        file.write("ter: pass")
    complete, written = look(tmp_path)
    assert written is None
    assert not same(contents, complete)


def test_a_package_can_hold_policies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed module is imported by its name."""
    (tmp_path / "my_policies.py").write_text(REFUSING)
    monkeypatch.syspath_prepend(tmp_path)
    assert errors("policies: {mine: {class: 'my_policies:Policy'}}", routes=ROUTES) == []


REFUSAL = """
from gateway.errors import Refusal

class Credit:
    def wrap(self, handler):
        async def asked(exchange):
            self._check(exchange)
            return await handler(exchange)
        return asked

    async def explain(self, exchange):
        self._check(exchange)

    def _check(self, exchange):
        status, kind = int(exchange.fields.get(b"status", b"402")), exchange.fields.get(b"kind", b"").decode()
        given = {"type": kind} if kind else {"type": "https://api.example.com/problems/no-credit", "title": "No credit"}
        raise Refusal(status, "top up", members={"balance": 0}, headers=((b"x-help", b"/billing"),), **given)
"""


async def test_a_policy_refuses_with_a_status_and_a_problem_type_of_its_own(tmp_path: Path) -> None:
    """The client gets them; metrics, the log of decisions and the explanation name them; shadow mode only records."""
    (tmp_path / "p.py").write_text(REFUSAL)
    policy = "policies: {{credit: {{class: 'p.py:Credit', mode: {}}}}}"
    routes = "routes: [{id: r, path: /*, redirect: /there}]"
    async with running(tmp_path, routes, policy.format("enforce")) as gateway:
        refused = await gateway.get()
        document = refused.json()
        assert (refused.status_code, refused.headers["x-help"]) == (402, "/billing")
        assert document["type"] == "https://api.example.com/problems/no-credit"
        assert (document["title"], document["detail"], document["balance"]) == ("No credit", "top up", 0)
        assert [(each.verdict, each.reason) for each in gateway.last.decisions] == [("deny", "402 no-credit: top up")]
        blank = (await gateway.get(headers={"status": "451", "kind": "about:blank"})).json()
        assert (blank["type"], blank["title"]) == ("about:blank", "Unavailable For Legal Reasons")
        metrics = gateway.metrics.now("text")
        assert b'status_class="4xx",method="GET",outcome="refused"} 2' in metrics
        assert b'gateway_decisions_total{rule="policy:credit",verdict="deny"} 2' in metrics
        explained = (await gateway.admin.get("/explain", params={"url": "/"})).json()
        assert explained["verdict"] == "refused by policy:credit: 402 no-credit: top up"
        for status, kind in (("200", ""), ("600", ""), ("402", "no-uri"), ("402", "urn:a b")):
            assert (await gateway.get(headers={"status": status, "kind": kind})).status_code == 500

        await gateway.reload(middleware=policy.format("shadow"))
        assert (await gateway.get()).status_code == 307
        decisions = [(each.verdict, each.reason) for each in gateway.last.decisions]
        assert decisions == [("shadow-deny", "402 no-credit: top up")]


async def test_a_policy_that_cannot_explain_is_named(tmp_path: Path) -> None:
    """An explanation does not say that a request is allowed where one that may refuse it was not asked; in shadow mode
    it refuses nothing."""
    (tmp_path / "p.py").write_text(REFUSAL.replace("def explain(", "def unasked("))
    policy = "policies: {credit: {class: 'p.py:Credit'}}"
    async with running(tmp_path, "routes: [{id: r, path: /*, redirect: /there}]", policy) as gateway:
        assert (await gateway.get()).status_code == 402
        explained = (await gateway.admin.get("/explain", params={"url": "/"})).json()
        silent = "not asked, as they have no `explain`: credit"
        assert explained["verdict"] == f"undecided: {silent}; without them it would be allowed: no rule refuses it"
        assert explained["outcome"] == "undecided"
        await gateway.reload(middleware=policy.replace("}}", ", mode: shadow}}"))
        explained = (await gateway.admin.get("/explain", params={"url": "/"})).json()
        assert explained["verdict"] == f"allowed: no rule refuses it; {silent}"
        assert explained["outcome"] == "redirected"
