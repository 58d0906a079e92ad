"""What the files hold or name that is secret is in no log line and in no answer of the data port."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
import pytest

from gateway.config.secrets import MOST_TEXTS, KnownSecrets
from tests.cli.support import gateway as cli
from tests.lifecycle.support import health, reload
from tests.support import eventually, running_gateway

ROUTES = "routes:\n- path: /x\n  target: asgi:tests.lifecycle.apps:one\n"
POLICY = """\
import os
from pydantic import BaseModel

class Refusing:
    class Config(BaseModel):
        a: str
        b: str
        password: str

    def __init__(self, config):
        pass

    def wrap(self, handler):
        raise RuntimeError(
            f"cannot connect: postgres://app:hunter2@db with {os.environ['API_TOKEN']} and {open('%s').read()}"
        )
"""


def _checked(directory: Path, environment: dict[str, str]) -> str:
    """What `gateway check` says."""
    done = cli("check", "--config", str(directory), environment=environment)
    return done.stdout + done.stderr


async def test_a_refused_policy_says_why_to_operators_only(tmp_path: Path) -> None:
    """The data port says how many problems there are; the log and the admin port name them, without secrets."""
    secret = tmp_path / "secret"
    secret.write_text("a-secret-from-a-file")
    environment = {"API_TOKEN": "a-secret-from-the-environment"}
    with running_gateway(tmp_path, ROUTES, environment=environment) as gateway:
        (gateway.directory / "refusing.py").write_text(POLICY % secret)
        gateway.write(
            middleware="policies:\n  p: {class: 'refusing.py:Refusing', "
            f"config: {{a: '${{API_TOKEN}}', b: '${{file:{secret}}}', password: a-literal-secret}}}}\n"
        )
        await eventually(lambda: bool(health(gateway)["errors"]))
        public = httpx2.get(gateway.url + "/health")
        assert public.json()["config"]["problems"] == 1
        checked = await asyncio.to_thread(_checked, gateway.directory, environment)
        for answer in (str(health(gateway)["errors"]), reload(gateway).text, checked):
            assert "cannot connect: postgres://(hidden)@db with (hidden) and (hidden)" in answer
        visible = str(health(gateway)["errors"]) + gateway.log + reload(gateway).text + checked
        assert "cannot connect: postgres://(hidden)@db with (hidden) and (hidden)" in visible
        for text in ("hunter2", "a-secret", "a-literal-secret"):
            assert text not in visible + public.text
        assert "cannot connect" not in public.text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET https://login.example/verify?key=s%2Fcret%3D1", "GET https://login.example/verify?key=(hidden)"),
        ("key 's/cret=1'", "key '(hidden)'"),
        ("redis://user:word@host:1/0 failed", "redis://(hidden)@host:1/0 failed"),
        (
            "postgres://host/db?sslmode=require&Password=word&x",
            "postgres://host/db?sslmode=require&Password=(hidden)&x",
        ),
        ("at http://host/?access_token=a.b-c: refused", "at http://host/?access_token=(hidden) refused"),
        ("http://token@host", "http://(hidden)@host"),
        ("expected redis://[user:password@]host[:port]", "expected redis://[user:password@]host[:port]"),
        ("http://host/a@b and mail@host", "http://host/a@b and mail@host"),
    ],
)
def test_secrets_are_hidden_wherever_they_stand(text: str, shown: str) -> None:
    """Also percent-encoded in a URL, as the user and password of one, and in a parameter that is called like one."""
    secrets = KnownSecrets()
    secrets.add("s/cret=1")
    assert secrets.hide(text) == shown


def test_a_short_value_is_no_secret() -> None:
    """A log line is not made unreadable by the value `80` of a variable."""
    secrets = KnownSecrets()
    secrets.add("80")
    assert secrets.hide("port 8080") == "port 8080"


def test_the_oldest_secrets_are_forgotten() -> None:
    """Reloads with ever new secrets do not fill the memory."""
    secrets = KnownSecrets()
    for number in range(MOST_TEXTS + 1):
        secrets.add(f"secret-{number:06}")
    assert secrets.hide("secret-000000") == "secret-000000"
    assert secrets.hide(f"secret-{MOST_TEXTS:06}") == "(hidden)"


def test_secrets_that_begin_alike_are_told_apart() -> None:
    """Of those that stand at one place the longest is hidden, and one that was forgotten takes no other with it."""
    secrets = KnownSecrets()
    for number in range(MOST_TEXTS + 1):
        secrets.add(f"sk_live_{number:06}")
    secrets.add("sk_live_000009_of_acme")
    assert secrets.hide("sk_live_000000 sk_live_000001 sk_live_000008") == "sk_live_000000 sk_live_000001 (hidden)"
    assert secrets.hide("(sk_live_000009_of_acme, sk_live_000009, sk_live_)") == "((hidden), (hidden), sk_live_)"
