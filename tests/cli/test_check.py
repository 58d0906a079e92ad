"""`gateway check` says what is wrong, and what is probably not meant, before anything is served."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import yaml

from gateway.check import check
from tests.cli.support import SAMPLE, configured, gateway


def test_a_good_configuration_passes(tmp_path: Path) -> None:
    """Exit code 0, and a word that says so; --config or GATEWAY_CONFIG name the directory."""
    for ended in (
        gateway("check", "--config", str(configured(tmp_path))),
        gateway("check", config=configured(tmp_path)),
    ):
        assert (ended.returncode, ended.stdout.split(",")[0]) == (0, "ok")


def test_every_error_has_its_place(tmp_path: Path) -> None:
    """All errors of all files, each with file, line and column; exit code 1."""
    configured(tmp_path, "routes:\n- path: /a\n  target: b:80\n  upstrem: x\n- path: c\n  target: d:80\n")
    (tmp_path / "middleware.yaml").write_text("limits:\n  head: much\n")
    ended = gateway("check", config=tmp_path)
    assert ended.returncode == 1
    places = [line.split(": ")[1:3] for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert [place for place, _ in places] == ["routes.yaml:4:3", "routes.yaml:5:3", "middleware.yaml:2:3"]


def test_errors_of_policies_are_there_with_all_others(tmp_path: Path) -> None:
    """A route that is not there, and a setting that the class of a policy does not take, are reported together."""
    configured(tmp_path)
    (tmp_path / "middleware.yaml").write_text(
        "policies:\n  version:\n    class: p.py:Version\n    config: {minimum: 0}\n    routes: [nowhere]\n"
    )
    (tmp_path / "p.py").write_text(
        "from pydantic import BaseModel, Field\n\n\nclass Version:\n    class Config(BaseModel):\n"
        "        minimum: int = Field(ge=1)\n\n    def __init__(self, config):\n        pass\n\n"
        "    def wrap(self, handler):\n        return handler\n"
    )
    ended = gateway("check", config=tmp_path)
    assert ended.returncode == 1
    assert "error: middleware.yaml:5:14: policies.version.routes[0]: " in ended.stderr
    assert "error: middleware.yaml:4:14: policies.version.config.minimum: " in ended.stderr


def test_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    """The error names the directory and the option."""
    ended = gateway("check", "--config", str(tmp_path / "nowhere"))
    assert ended.returncode == 1
    assert str(tmp_path / "nowhere") in ended.stderr
    assert "--config" in ended.stderr


def test_an_application_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """What a target names must be importable, as for `serve`."""
    configured(tmp_path, "routes:\n- path: /a\n  target: asgi:no_such_module:app\n")
    ended = gateway("check", config=tmp_path)
    assert ended.returncode == 1
    assert "routes.yaml:3:" in ended.stderr
    assert "no_such_module'; install its package, or name its directory in PYTHONPATH" in ended.stderr


@pytest.mark.parametrize(
    ("source", "line", "named"),
    [
        ("import sys\nsys.exit(0)\n", 2, "SystemExit: 0"),
        ("raise KeyboardInterrupt\n", 1, "KeyboardInterrupt"),
        ("x = 1\ndef f(:\n", 2, "SyntaxError: invalid syntax"),
        ("import asyncio\n\nraise asyncio.CancelledError\n", 3, "CancelledError"),
        ("raise GeneratorExit\n", 1, "GeneratorExit"),
        ("\nraise ValueError('no')\n", 2, "ValueError: no"),
        ("import no_such_neighbour\n", 1, "ModuleNotFoundError"),
        ("def __getattr__(name):\n    raise SystemExit(0)\n", 2, "SystemExit: 0"),
    ],
)
def test_an_application_that_cannot_be_imported_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, line: int, named: str
) -> None:
    """Whatever its module raises: one sentence with the place of the target and that of the module, exit code 1."""
    (tmp_path / "broken_application.py").write_text(source)
    configured(tmp_path, "routes:\n- path: /a\n  target: asgi:broken_application:app\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    ended = gateway("check", config=tmp_path)
    assert ended.returncode == 1
    assert "error: routes.yaml:3:3: routes[0].target: " in ended.stderr
    assert named in ended.stderr
    assert f"broken_application.py:{line})" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_what_an_application_leaves_running_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a thread nor work for the end of the process keeps the command."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "busy.py").write_text(
        "import atexit, threading, time\n"
        "threading.Thread(target=time.sleep, args=(600,)).start()\n"
        "atexit.register(time.sleep, 600)\n"
        "async def app(scope, receive, send): ...\n"
    )
    configured(tmp_path, "routes:\n- path: /a\n  target: asgi:busy:app\n")
    assert gateway("check", config=tmp_path).returncode == 0
    assert gateway("routes", config=tmp_path).returncode == 0


WARNED = """\
base_path: /api
accept_rewritten: true
routes:
- path: /a/*
  target: 127.0.0.1:80
- path: /a/*
  id: shadowed
  target: 127.0.0.1:81
- path: /b//c
  id: impossible
  target: 127.0.0.1:82
- path: /v1/*
  id: double
  target: 127.0.0.1:83
  rewrite: /v2/$1
- path: /v2/*
  target: 127.0.0.1:84
  rewrite: /v3/$1
- path: /n
  id: unknown
  target: no-such-host.invalid:80
"""


def test_what_is_probably_not_meant_is_a_warning(tmp_path: Path) -> None:
    """Shadowed and impossible routes, double rewrites and unknown names are reported with their places; exit code 0."""
    ended = gateway("check", config=configured(tmp_path, WARNED))
    assert ended.returncode == 0
    places = [line.split(": ")[1] for line in ended.stderr.splitlines() if line.startswith("warning: ")]
    assert [int(place.split(":")[1]) for place in places] == [6, 9, 12, 21]
    assert "no-such-host.invalid does not resolve here" in ended.stderr


def test_certificates_that_no_client_can_present_are_a_warning(tmp_path: Path) -> None:
    """`mtls: {}` looks at the connection, which `gateway serve` does not encrypt: every caller would be refused."""
    configured(tmp_path).joinpath("auth.yaml").write_text("schemes:\n  mutual: {mtls: {}}\n")
    (warning,) = [problem for problem in check(tmp_path, {}) if problem.file == "auth.yaml"]
    assert (warning.line, warning.severity) == (2, "warning")
    assert "x-ssl-client-cert" in warning.message


def test_hashes_that_make_wrong_passwords_dear_are_a_warning(tmp_path: Path) -> None:
    """Those with other parameters than most, and those that take more memory than all checks are to take."""
    salt, digest = "A" * 22, "B" * 43
    consumers = "".join(
        f"- {{name: c{number}, basic: {{username: u{number}, password: '$scrypt${cost}${salt}${digest}'}}}}\n"
        for number, cost in enumerate(["ln=15,r=8,p=1", "ln=15,r=8,p=1", "ln=10,r=8,p=1", "ln=17,r=8,p=1"])
    )
    configured(tmp_path).joinpath("auth.yaml").write_text(f"schemes: {{b: {{basic: {{}}}}}}\nconsumers:\n{consumers}")
    warned = [problem for problem in check(tmp_path, {}) if problem.file == "auth.yaml"]
    assert [(warning.line, warning.severity) for warning in warned] == [(5, "warning"), (6, "warning")]
    assert "others than most (2 have)" in warned[0].message
    assert "takes 128 MiB, because some hashes need more than 64 MiB (1 do)" in warned[1].message


def test_names_that_are_given_need_not_resolve(tmp_path: Path) -> None:
    """--resolve takes the place of the name service, as for `serve`."""
    directory = configured(tmp_path, "routes:\n- path: /n\n  target: no-such-host.invalid:80\n")
    assert "does not resolve" in gateway("check", config=directory).stderr
    ended = gateway("check", "--resolve", "no-such-host.invalid=127.0.0.1", config=directory)
    assert ended.stderr == ""


def test_names_of_the_hosts_file_need_not_resolve(tmp_path: Path) -> None:
    """The file `hosts` beside routes.yaml stands for the name service, for `check` as for `serve`."""
    directory = configured(tmp_path, "routes: [{path: /a, target: 'no-such-host.invalid:80'}]")
    (tmp_path / "hosts").write_text("# demo\n127.0.0.1  other no-such-host.invalid # here\n")
    assert gateway("check", config=directory).stdout == "ok, 0 warnings\n"
    (tmp_path / "hosts").write_text("127.0.0.1 no-such-hots.invalid")
    assert '; did you mean "no-such-hots.invalid"?' in gateway("check", config=directory).stderr
    (tmp_path / "hosts").write_text("\nno-such-host.invalid 127.0.0.1\n")
    for command in (("check",), ("serve", "--port", "0", "--admin", "off")):
        ended = gateway(*command, config=directory)
        assert ended.returncode == 1
        assert ended.stderr.startswith("error: hosts:2:1: expected an address and its names")


def test_the_sample_has_no_warnings(tmp_path: Path) -> None:
    """A configuration that is right is not complained about."""
    assert check(configured(tmp_path, SAMPLE), {}) == []


def test_ten_thousand_routes_are_checked_quickly(tmp_path: Path) -> None:
    """What they cost, beyond what one costs, is at most 25 times what libyaml alone takes to read them, which is twice
    the usual."""
    line = "- {{path: /v1/service-{0}/*, target: '127.0.0.1:80', rewrite: /s/{0}/$1}}\n"
    begin = "base_path: /api\naccept_rewritten: true\nroutes:\n"
    text = begin + "".join(line.format(number) for number in range(10_000))
    ratios: list[float] = []
    while not ratios or (min(ratios) >= 25 and len(ratios) < 3):  # the machine has other work
        started = time.process_time()
        yaml.compose(text, Loader=yaml.CSafeLoader)
        alone = time.process_time() - started
        ratios.append((_check_seconds(tmp_path, text) - _check_seconds(tmp_path, begin + line.format(1))) / alone)
    assert min(ratios) < 25


def _check_seconds(directory: Path, routes: str) -> float:
    """Processor time of the command, in a process of its own that this one waits for."""
    configured(directory, routes)
    before = _children_seconds()
    assert gateway("check", config=directory, given="").returncode == 0
    return _children_seconds() - before


def _children_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system


def test_a_header_that_the_gateway_sends_anyway_is_not_to_be_added(tmp_path: Path) -> None:
    """Two lines of X-Forwarded-Port are two answers; `set` leaves one."""
    configured(tmp_path)
    for way, warned in (("add", ["middleware.yaml:1:25"]), ("set", [])):
        (tmp_path / "middleware.yaml").write_text(
            f'headers: {{h: {{request: {{{way}: {{X-Forwarded-Port: "443"}}}}}}}}\n'
        )
        found = [problem for problem in check(tmp_path, {}) if "write set" in str(problem)]
        assert [str(problem).split(": ")[0] for problem in found] == warned


def test_a_header_that_backends_do_not_get_is_warned_of(tmp_path: Path) -> None:
    """A route that asks for a name with an underscore or a dot has a backend that will not see it."""
    route = "routes:\n- path: /a\n  target: 127.0.0.1:80\n  headers: {x_team: a, x.team: b, x-team: c}\n"
    configured(tmp_path, route)
    messages = [problem.message for problem in check(tmp_path, {})]
    assert [message.split(",")[0] for message in messages] == [
        "the backend does not get x_team",
        "the backend does not get x.team",
    ]
    assert "underscore_headers: pass" in messages[0]
    (tmp_path / "middleware.yaml").write_text("limits: {underscore_headers: pass}\n")
    assert len(check(tmp_path, {})) == 1


def test_what_clients_may_send_as_proxies_do(tmp_path: Path) -> None:
    """`allowed_proxy_headers` takes no name that passes anyway, and none that the gateway writes."""
    configured(tmp_path, "routes:\n- path: /a\n  target: 127.0.0.1:80\n")
    for name, reason in (("X-Foo", "every client"), ("X-Forwarded-For", "the gateway itself")):
        (tmp_path / "middleware.yaml").write_text(f"limits: {{allowed_proxy_headers: [{name}]}}\n")
        (problem,) = check(tmp_path, {})
        assert (problem.severity, reason in problem.message) == ("error", True)


MODELS = """\
{"modelRouting": {"default": "fast", "profiles": {"fast": {"preferProviders": ["mine"]}}},
 "providers": {"mine": {"protocol": "openai", "baseUrl": "http://no-such-host.invalid/v1"}}}
"""


def test_models_are_checked_and_listed_with_the_rest(tmp_path: Path) -> None:
    """Their errors and unknown names have places in models.yaml, and their paths are in `gateway routes`."""
    directory = configured(tmp_path, "- {path: /a, target: '127.0.0.1:1'}\n")
    (directory / "models.yaml").write_text(MODELS)
    refused = gateway("check", config=directory)
    assert refused.returncode == 1
    assert "error: models.yaml:2:2: providers: anyone could use the models" in refused.stderr
    (directory / "auth.yaml").write_text("schemes: {keys: {api_key: }}\ndefault: keys\n")
    checked = gateway("check", config=directory)
    assert checked.returncode == 0
    assert "models.yaml:2:47: providers.mine.baseUrl: no-such-host.invalid does not resolve" in checked.stderr
    assert (
        "no-such-host" not in gateway("check", "--resolve", "no-such-host.invalid=127.0.0.1", config=directory).stderr
    )
    listed = gateway("routes", config=directory).stdout
    assert "models        GET,POST,DELETE  any   /v1/chat/completions" in listed
    assert "\n                                     /v1/messages\n" in listed
    (directory / "models.yaml").write_text(MODELS.replace("mine", "mien", 1))
    wrong = gateway("check", config=directory)
    assert "models.yaml:1:80: modelRouting.profiles.fast.preferProviders[0]: providers has no entry" in wrong.stderr
    assert 'did you mean "mine"?' in wrong.stderr
