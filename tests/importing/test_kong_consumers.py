"""What a kong.yml says of single consumers and of their groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.importing.support import Tried, try_text

HEAD = """\
_format_version: "3.0"
consumers:
- {username: ann, keyauth_credentials: [{key: the-key-of-ann-1}], groups: [{name: gold}]}
- {username: bob, keyauth_credentials: [{key: the-key-of-bob-1}]}
consumer_groups: [{name: gold}]
services:
- {name: a, url: "http://127.0.0.1:9001", routes: [{name: a, paths: [/a], strip_path: false}]}
- {name: b, url: "http://127.0.0.1:9002", routes: [{name: b, paths: [/b], strip_path: false}]}
"""
KEYS = "- name: key-auth\n"


def limit(numbers: str, **whose: str) -> str:
    return f"- name: rate-limiting\n  config: {{{numbers}}}\n" + "".join(
        f"  {key}: {of}\n" for key, of in whose.items()
    )


def tried(plugins: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Tried:
    return try_text("kong.yml", f"{HEAD}plugins:\n{KEYS}{plugins}", directory, monkeypatch)


def file(of: Tried, name: str) -> Any:
    return yaml.safe_load((of.directory / name).read_text())


def consumer(of: Tried, name: str) -> Any:
    return next(each for each in file(of, "auth.yaml")["consumers"] if each["name"] == name)


def test_limits_of_a_group_and_of_a_consumer_stand_in_for_that_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group is a tier of the rule, and a consumer has limits of its own."""
    plugins = limit("minute: 5") + limit("minute: 50", consumer_group="gold") + limit("minute: 7", consumer="bob")
    it = tried(plugins, tmp_path, monkeypatch)
    ((name, rule),) = file(it, "middleware.yaml")["rate_limits"].items()
    assert (rule["limits"], rule["tiers"]) == (["5/m"], {"gold": ["50/m"]})
    assert consumer(it, "bob")["limits"] == {name: ["7/m"]}


def test_limits_for_days_and_months_are_quotas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing for longer than an hour is dropped: a group is a tier of the quota, and so is a consumer, which gets a
    group of its own for that."""
    plugins = limit("day: 100") + limit("day: 9000", consumer_group="gold") + limit("day: 3", consumer="ann")
    it = tried(plugins + limit("month: 70", consumer="bob"), tmp_path, monkeypatch)
    day, month = file(it, "middleware.yaml")["quotas"].values()
    assert (day["limit"], day["tiers"]) == (100, {"only-ann": 3, "gold": 9000})
    assert (month["window"], month["tiers"]) == ("month", {"only-bob": 70})
    assert consumer(it, "ann")["groups"] == ["gold", "only-ann"]
    assert "there is no limit for others" in it.report


def test_a_limit_that_only_a_group_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a limit for all, there is one that is never reached, with a tier for the group."""
    it = tried(limit("second: 4", consumer_group="gold"), tmp_path, monkeypatch)
    (rule,) = file(it, "middleware.yaml")["rate_limits"].values()
    assert (rule["limits"], rule["tiers"]) == (["999999999/s"], {"gold": ["4/s"]})


def test_a_limit_of_a_consumer_on_one_route(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds for that route and for no other, wherever the plugin stands."""
    it = tried(limit("minute: 5") + limit("minute: 50", consumer="ann", route="a"), tmp_path, monkeypatch)
    rules = file(it, "middleware.yaml")["rate_limits"]
    by_route = {route: name for name, rule in rules.items() for route in rule["routes"]}
    assert consumer(it, "ann")["limits"] == {by_route["a"]: ["50/m"]}
    assert by_route["a"] != by_route["b"]
    assert {rule["limits"][0] for rule in rules.values()} == {"5/m"}


def test_a_plugin_in_a_service_that_is_for_a_consumer_is_not_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit of one consumer that stands below a service limits no other consumer."""
    own = "plugins: [{name: rate-limiting, consumer: ann, config: {minute: 2}}]"
    text = HEAD.replace("routes: [{name: a,", f"{own}, routes: [{{name: a,") + f"plugins:\n{KEYS}"
    it = try_text("kong.yml", text, tmp_path, monkeypatch)
    ((name, rule),) = file(it, "middleware.yaml")["rate_limits"].items()
    assert {route[0] for route in rule["routes"]} == {"a"}
    assert rule["limits"] == ["999999999/s"]
    assert consumer(it, "ann")["limits"] == {name: ["2/m"]}


@pytest.mark.parametrize(
    ("plugin", "condition"),
    [
        ("{name: request-termination, consumer: ann}", 'consumer != "ann"'),
        ("{name: request-termination, consumer_group: gold}", 'not ("gold" in groups)'),
        ("{name: ip-restriction, consumer: ann, config: {allow: [10.0.0.0/8]}}", 'client in ["10.0.0.0/8"]'),
        ("{name: opa, consumer: ann, config: {opa_path: /v1/data/x}}", 'consumer != "ann"'),
    ],
)
def test_who_was_kept_out_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugin: str, condition: str) -> None:
    """A plugin that refuses one consumer, or a group, refuses it here, too, and no other consumer."""
    it = tried(f"- {plugin}\n", tmp_path, monkeypatch)
    for path, status in (("/a", "refused"), ("/b", "refused")):
        assert condition in str(file(it, "routes.yaml")["routes"])
        assert it.explain("GET", path, apikey="the-key-of-ann-1")["outcome"] == status
        assert it.explain("GET", path, apikey="the-key-of-bob-1")["outcome"] == "forwarded"


def test_keys_that_another_tool_fills_in_are_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A placeholder of decK or of a vault is no key itself: the variable holds it."""
    text = HEAD.replace("the-key-of-ann-1", "'${{ env \"DECK_ANN_KEY\" }}'")
    text = text.replace("the-key-of-bob-1", "'{vault://aws/bob/key}'") + f"plugins:\n{KEYS}"
    it = try_text("kong.yml", text, tmp_path, monkeypatch)
    assert consumer(it, "ann")["keys"] == [{"key": "${DECK_ANN_KEY}"}]
    assert consumer(it, "bob")["keys"] == [{"key": "${AWS_BOB_KEY}"}]
    assert "`AWS_BOB_KEY`: a key of at least 16 characters" in it.report
    assert it.explain("GET", "/a", apikey="{vault://aws/bob/key}")["outcome"] == "refused"
    assert it.explain("GET", "/a", apikey=it.imported.report.stand_ins()["AWS_BOB_KEY"])["outcome"] == "forwarded"


@pytest.mark.parametrize("narrow_first", [True, False])
def test_the_narrower_limit_of_a_consumer_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, narrow_first: bool
) -> None:
    """That for a route before that for a service, and both before that for all, in any order of the file."""
    own = [
        limit("minute: 7", consumer="ann", route="a"),
        limit("minute: 8", consumer="ann", service="a"),
        limit("minute: 9", consumer="ann"),
    ]
    plugins = "".join(own if narrow_first else reversed(own))
    it = tried(limit("minute: 5") + plugins, tmp_path, monkeypatch)
    rules = file(it, "middleware.yaml")["rate_limits"]
    by_route = {route: name for name, rule in rules.items() for route in rule["routes"]}
    limits = consumer(it, "ann")["limits"]
    assert (limits[by_route["a"]], limits[by_route["b"]]) == (["7/m"], ["9/m"])


def test_limits_that_a_consumer_has_not_in_kong_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin of a consumer takes the place of the whole plugin that all have, of all of its times."""
    it = tried(limit("minute: 5, day: 100") + limit("minute: 50", consumer="ann"), tmp_path, monkeypatch)
    assert "the limits of all for these times hold, too: day" in it.report
    it = tried(limit("minute: 5, day: 100") + limit("day: 500", consumer="ann"), tmp_path, monkeypatch)
    assert "the limits of all for these times hold, too: hour or less" in it.report


def test_where_kong_counts_is_translated_or_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database and user of its Redis, a second Redis, a cluster, the answer, and limits of a whole service."""
    config = "minute: 5, policy: redis, redis_host: r, redis_database: 3, redis_username: u, redis_password: hidden"
    of_b = limit("minute: 5, limit_by: service, policy: redis, redis: {host: s}", route="b")
    it = tried(limit(config) + of_b, tmp_path, monkeypatch)
    assert file(it, "middleware.yaml")["redis"] == {"url": "redis://u:${REDIS_PASSWORD}@r:6379/3"}
    assert "one Redis counts for all limits" in it.report
    assert "requests are counted for each route, not for the service" in it.report
    assert "hidden" not in it.report
    it = tried(limit("minute: 5, policy: cluster, hide_client_headers: true, error_code: 503"), tmp_path, monkeypatch)
    for text in ("policy | each gateway counts by itself", "hide_client_headers | the gateway has no such setting"):
        assert text in it.report
    assert "error_code | the gateway has no such setting" in it.report
