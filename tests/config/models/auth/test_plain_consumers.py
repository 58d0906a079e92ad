"""Consumers that are only a name, groups and hashes of keys: read as all others, and small."""

from __future__ import annotations

import json
import tracemalloc
from hashlib import sha256
from typing import Any

import pytest

from gateway.config import checks
from gateway.config.models import Consumer, ConsumerConfig
from gateway.config.models.auth.plain_consumers import PlainConsumer
from gateway.config.problems import ConfigError
from gateway.control_plane.revision_secrets import plain_secrets
from tests.config.support import errors, parsed

HASHES = ["sha256:" + sha256(str(number).encode()).hexdigest() for number in range(4)]
KEY = f"keys: ['{HASHES[0]}']"


@pytest.mark.parametrize(
    "value",
    [
        {"name": "a"},
        {"name": "a", "tenant": "north", "groups": ["a", "b"], "scopes": ["read"], "keys": []},
        {"name": "a", "keys": [{"hash": HASHES[0], "not_before": "2026-01-01", "expires": "2030-01-01"}, HASHES[1]]},
    ],
)
def test_a_plain_consumer_says_what_its_model_says(value: dict[str, Any]) -> None:
    """Each attribute, and each of its keys, has the same value."""
    plain, model = (
        parsed(auth=json.dumps({"consumers": [value]})).auth.consumers[0],
        ConsumerConfig.model_validate(value),
    )
    assert isinstance(plain, PlainConsumer)
    for name in ConsumerConfig.model_fields.keys() - {"keys"}:
        assert getattr(plain, name) == getattr(model, name), name
    assert plain.as_model() == model
    assert len(plain.keys) == len(model.keys)
    for key, same in zip(plain.keys, model.keys, strict=True):
        for name in ("digest", "hash", "sha256", "key", "file", "not_before", "expires"):
            assert getattr(key, name) == getattr(same, name), name


ODD = (
    "a",
    "A.b-c_9@x:/",
    "1",
    "true",
    "null",
    "~",
    "",
    " a",
    "a ",
    "a,b",
    "a b",
    'a"b',
    "a\\b",
    "a\x7f",
    "é",
    "${X}",
    "x" * 201,
)


def _read(auth: str) -> Consumer | list[str]:
    """The only consumer of a file, or the errors in it."""
    try:
        return parsed(auth=auth, environment={"X": "y"}).auth.consumers[0]
    except ConfigError as error:
        return [str(problem) for problem in error.problems]


@pytest.mark.parametrize("key", ["name", "tenant", "groups", "scopes"])
@pytest.mark.parametrize("quoted", [True, False])
@pytest.mark.parametrize("text", ODD)
def test_names_of_plain_consumers_are_as_strict_as_others(key: str, text: str, *, quoted: bool) -> None:
    """However they are written, they are read, or refused in the same words, as those of a consumer with more to it."""
    written = json.dumps(text) if quoted else text
    value = f"[{written}]" if key in ("groups", "scopes") else written
    auth = f"consumers:\n- {key}: {value}\n" + ("" if key == "name" else "  name: z\n")
    plain, more = _read(auth), _read(f"{auth}  subjects: [z]\n")
    if isinstance(plain, list) or isinstance(more, list):
        assert plain == more
    else:
        assert getattr(plain, key) == getattr(more, key)


@pytest.mark.parametrize(
    "keys",
    [
        "[]",
        "null",
        "{}",
        "sha256:0",
        f"'{HASHES[0]}'",
        f"[{HASHES[0]}]",
        f"[{{hash: {HASHES[0]}}}, {HASHES[1]}]",
        f"[[{HASHES[0]}]]",
        f"[{HASHES[0].upper()}]",
        f"['{HASHES[0]} ']",
        f"[{HASHES[0]}0]",
        "[{}]",
        "[null]",
        "[{hash: null}]",
        f"[{{hash: {HASHES[0]}, expires: 2030-01-01}}]",
        f"[{{hash: {HASHES[0]}, expires: never}}]",
    ],
)
def test_keys_of_plain_consumers_are_as_strict_as_others(keys: str) -> None:
    """They are read, or refused in the same words, as those of a consumer with more to it."""
    auth = f"consumers:\n- name: z\n  keys: {keys}\n"
    plain, more = _read(auth), _read(f"{auth}  subjects: [z]\n")
    if isinstance(plain, list) or isinstance(more, list):
        assert plain == more
    else:
        assert [key.digest for key in plain.keys] == [key.digest for key in more.keys]


@pytest.mark.parametrize(
    ("line", "environment"),
    [
        ("- {name: a, tenant: '${TENANT}'}", {"TENANT": "north"}),
        ("- {name: a, keys: [{key: 0123456789abcdef0123}]}", {}),
        ("- {name: a, keys: [{file: a.key}]}", {}),
        ("- {name: a, basic: {username: a, password: x}}", {}),
    ],
)
def test_what_is_a_secret_or_stands_elsewhere_keeps_its_model(line: str, environment: dict[str, str]) -> None:
    """Others look at what was written there: for the files that it names, and for secrets in plain text."""
    configuration = parsed(auth=f"consumers:\n{line}\n", environment=environment)
    assert isinstance(configuration.auth.consumers[0], ConsumerConfig)
    assert ("a.key" in configuration.named) == ("file" in line)
    assert len(list(plain_secrets(configuration))) == (1 if "0123" in line else 0)


def test_errors_about_plain_consumers_have_their_places() -> None:
    """Of what one consumer shows, of what several show, and of an alias."""
    auth = f"""\
consumers:
- name: one
  {KEY}
- name: two
  groups: &groups
  - a
  keys:
  - hash: {HASHES[1]}
- {{name: three, groups: *groups, keys: ['{HASHES[0]}']}}
- name: one
- {{name: four, keys: [sha256:0]}}
"""
    assert errors(auth=auth) == [
        "auth.yaml:11:23: consumers[4].keys[0]: expected sha256: and 64 hexadecimal digits, "
        "such as `gateway keys new` prints",
        "auth.yaml:9:41: consumers[2].keys[0]: this key is there already; a key has one consumer: remove one",
        'auth.yaml:10:3: consumers[3].name: a consumer has this name already; rename one of them (got "one")',
    ]


def test_warnings_about_plain_consumers_have_their_places() -> None:
    """An expired key is found where it stands."""
    auth = f"consumers:\n- {{name: one}}\n- name: two\n  keys:\n  - hash: {HASHES[0]}\n    expires: 2020-01-01\n"
    found = [str(each) for each in checks.run(checks.WARNINGS, parsed(auth=auth), "warning")]
    assert any(each.startswith("auth.yaml:6:5: consumers[1].keys[0].expires: this key of two") for each in found)


def test_a_consumer_with_a_key_takes_little_memory() -> None:
    """Less than 400 bytes beside the text of the file, and hardly more while it is read: 100,000 need 40 MB."""
    count = 3000
    auth = "consumers:\n" + "".join(
        f"- {{name: c{number}, tenant: north, groups: [a], keys: ['sha256:{number:064x}']}}\n"
        for number in range(count)
    )
    parsed(auth=f"consumers:\n- {{name: a, {KEY}}}\n")  # all models are built
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        configuration = parsed(auth=auth)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(configuration.auth.consumers) == count
    assert (after - before - len(auth)) / count < 400
    assert (peak - before - 3 * len(auth)) / count < 600
