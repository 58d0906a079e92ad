from pathlib import Path

import pytest

from gateway.config.checks.discovery import missing_files, open_prefixes
from tests.config.support import errors, parsed

ROUTES = "services:\n  jobs:\n    discovery: {redis: jobs}\nroutes: [{path: /x, target: jobs}]"


def test_instances_in_redis_need_one() -> None:
    """Where there is no Redis, the service that needs it is named, and what to do."""
    (error,) = errors(ROUTES)
    assert error.startswith(
        "routes.yaml:3:17: services.jobs.discovery.redis: it is found in the Redis of middleware.yaml"
    )
    assert parsed(ROUTES, middleware="redis: {url: redis://127.0.0.1}")


@pytest.mark.parametrize(
    ("discovery", "error"),
    [
        ("{etcd: {url: http://e:2379, prefix: ''}}", "etcd.prefix: without a prefix every key of etcd"),
        ("{etcd: {url: http://e:2379, prefix: /x/, user: a}}", "etcd: user and password belong together"),
        ("{etcd: {url: e:2379, prefix: /x/}}", "etcd.url"),
        ("{consul: {url: http://c:8500, service: ''}}", "consul.service: the name of the service in Consul is needed"),
        ("{consul: {url: http://c:8500, service: a, token: 1}}", "consul.token: expected a text of plain characters"),
        ("{registered: false}", "registered: registered is true, or is not there"),
        ("{registered: true, redis: jobs}", "discovery needs exactly one source"),
    ],
)
def test_registries_that_cannot_be_asked(discovery: str, error: str) -> None:
    """What is wrong is named with its place and the remedy."""
    (found,) = errors(f"services: {{jobs: {{discovery: {discovery}}}}}\nroutes: [{{path: /x, target: jobs}}]")
    assert error in found


def test_a_prefix_that_other_services_share() -> None:
    """`/services/stock` is also how the keys of `/services/stock-old` begin."""
    found = open_prefixes(
        parsed(ROUTES.replace("{redis: jobs}", "{etcd: {url: http://e:2379, prefix: /services/stock}}"))
    )
    assert [fault.message for fault in found] == ["keys of other services may begin with this, too; end it with /"]


def test_a_file_with_instances_that_is_not_there(tmp_path: Path) -> None:
    """It may come later: until then the service has nothing."""
    configuration = parsed(ROUTES.replace("{redis: jobs}", "{file: jobs.yaml}"), base=tmp_path)
    (fault,) = missing_files(configuration)
    assert (fault.path, "does not exist" in fault.message) == (("services", "jobs", "discovery", "file"), True)
    (tmp_path / "jobs.yaml").write_text("[]")
    assert not list(missing_files(configuration))
