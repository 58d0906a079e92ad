"""Checking a bundle on the control plane: all errors with their places, and nothing of that machine in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.bundles import Bundle
from gateway.control_plane.revision_check import Checked, check_bundle

ROUTES = "routes:\n- path: /\n  target: http://127.0.0.1:9000\n"
AUTH = "default: [keys]\nschemes: {keys: {api_key: {}}}\nconsumers:\n- name: a\n  keys: [{key: '${ACME_KEY}'}]\n"


def check(**files: str) -> Checked:
    return check_bundle(bundle(**files), resolve=False)


def bundle(**files: str) -> Bundle:
    return Bundle({f"{name}.yaml": text.encode() for name, text in files.items()})


def errors(**files: str) -> list[str]:
    return [str(problem) for problem in check(**files).errors]


def warnings(**files: str) -> list[str]:
    checked = check(**files)
    assert checked.errors == ()
    return [str(problem) for problem in checked.warnings]


def test_what_is_right() -> None:
    """A configuration that a gateway would serve has neither errors nor warnings."""
    assert check(routes=ROUTES) == Checked((), ())


def test_every_error_of_all_files_with_its_place() -> None:
    """Errors are those of `gateway check`, of all files at once."""
    assert errors(routes="routes:\n- path: /\n  targt: http://a\n", middleware="limits:\n  heads: 1\n") == [
        'middleware.yaml:2:3: limits.heads: unknown key, did you mean "head"?',
        'routes.yaml:2:3: routes[0]: the key "target" is missing; add it, such as target: users:8080, '
        "redirect: /v2/$1 or respond: 410",
        'routes.yaml:3:3: routes[0].targt: unknown key, did you mean "target"?',
    ]


def test_unset_variables_are_warnings() -> None:
    """Variables are the gateways' own: whatever type the value has, that they are not set here is no error."""
    routes = 'routes:\n- path: /\n  target: ${BACKEND}\n  timeout: {total: "${TOTAL}"}\n  preserve_host: ${KEEP}\n'
    assert warnings(routes=routes, middleware="limits:\n  body: ${MOST}\n") == [
        "middleware.yaml:2:3: limits.body: the environment variable MOST is not set; set it, or write ${MOST:-default}",
        "routes.yaml:3:3: routes[0].target: the environment variable BACKEND is not set; "
        "set it, or write ${BACKEND:-default}",
        "routes.yaml:4:13: routes[0].timeout.total: the environment variable TOTAL is not set; "
        "set it, or write ${TOTAL:-default}",
        "routes.yaml:5:3: routes[0].preserve_host: the environment variable KEEP is not set; "
        "set it, or write ${KEEP:-default}",
    ]


def test_errors_beside_unset_variables() -> None:
    """A variable that is not set hides no error of another value."""
    assert errors(routes="routes:\n- path: /\n  target: ${BACKEND}\n  tiemout: 5s\n") == [
        'routes.yaml:4:3: routes[0].tiemout: unknown key, did you mean "timeout"?'
    ]


def test_errors_beside_a_variable_that_many_values_need() -> None:
    """The same where more values need one than there are errors of other kinds at most, and without an error it is
    checked as any other."""
    routes = "routes:\n" + "".join(
        f"- {{path: /{number}, target: 'a:80', host: '${{HOST}}'}}\n" for number in range(1500)
    )
    assert errors(routes=f"{routes}- {{path: /, target: 'a:80', tiemout: 5s}}\n") == [
        'routes.yaml:1502:29: routes[1500].tiemout: unknown key, did you mean "timeout"?'
    ]
    assert all("HOST is not set" in warning for warning in warnings(routes=routes))


def test_environment_of_this_machine_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the control plane has in its environment is neither used nor shown."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://admin:hunter2@db/control")
    found = warnings(routes="routes:\n- path: /\n  target: ${DATABASE_URL}\n")
    assert len(found) == 1
    assert "DATABASE_URL is not set" in found[0]
    assert "hunter2" not in str(found)


def test_files_of_this_machine_are_not_read(tmp_path: Path) -> None:
    """A revision that names a file of the control plane's machine learns nothing of it."""
    secret = tmp_path / "key"
    secret.write_text("hunter2-hunter2-hunter2")
    services = f"services:\n  web: {{endpoints: ['a:1'], protocol: https, tls: {{ca: {secret}}}}}\n"
    found = warnings(
        routes=ROUTES + "- path: /web\n  target: web\n" + services,
        middleware=f"redis:\n  url: ${{file:{secret}}}\n",
    )
    assert f"the file {secret} is not in the revision; it must be on each gateway" in found[1]
    assert found[1].startswith("routes.yaml:7:")
    assert found[0].startswith("middleware.yaml:2:3: redis.url: the file ")
    assert "cannot be used: it is not in the revision" in found[0]
    assert "hunter2" not in str(found)


def test_code_is_named_and_not_run(tmp_path: Path) -> None:
    """Policies and applications are warnings, and nothing is imported for them."""
    proof = tmp_path / "proof"
    code = tmp_path / "evil.py"
    code.write_text(f"open({str(proof)!r}, 'w')\nclass Evil: ...\n")
    found = warnings(
        routes=ROUTES + "- path: /app\n  target: asgi:antigravity:fly\n",
        middleware=f"policies:\n  evil: {{class: '{code}:Evil'}}\n",
    )
    assert [each.split(" ")[0] for each in found] == ["middleware.yaml:2:10:", "routes.yaml:5:3:"]
    assert "is not in a revision; it must be on each gateway" in found[0]
    assert not proof.exists()


def test_control_plane_of_a_gateway_is_its_own() -> None:
    """A revision cannot say to which control plane its gateways listen, so that no rollout cuts them off."""
    (error,) = [
        each
        for each in errors(routes=ROUTES, middleware="# x\ncontrol_plane:\n  url: http://evil\n")
        if "local" in each
    ]
    assert error.startswith("middleware.yaml:2:1: control_plane: this is local to each gateway")


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ({"middleware": "redis:\n  url: redis://user:sekret-sekret@cache:6379\n"}, "middleware.yaml:2:3: redis.url"),
        ({"middleware": "redis:\n  url: ${R:-redis://u:sekret-sekret@c:1}\n"}, "middleware.yaml:2:3: redis.url"),
        (
            {"auth": "consumers:\n- name: a\n  keys:\n  - key: sekret-sekret-sekret\n"},
            "auth.yaml:4:5: consumers[0].keys[0].key",
        ),
        ({"models": "providers:\n  openai: {keys: [sk-sekret-sekret-sekret]}\n", "auth": AUTH}, "models.yaml:2:"),
    ],
)
def test_secrets_are_refused(files: dict[str, str], place: str) -> None:
    """A secret that stands there as it is is refused, with its place, and is not repeated."""
    (error,) = errors(routes=ROUTES, **files)
    assert error.startswith(place)
    assert "a secret is in plain text" in error
    assert "sekret" not in error


@pytest.mark.parametrize(
    "files",
    [
        {"middleware": "redis:\n  url: redis://cache:6379\n"},
        {"middleware": "redis:\n  url: ${REDIS_URL}\n"},
        {"auth": "consumers:\n- name: a\n  keys:\n  - key: ${ACME_KEY}\n  - hash: sha256:" + "0" * 64 + "\n"},
        {"models": "providers:\n  openai: {keys: ['${OPENAI_KEY}']}\n", "auth": AUTH},
    ],
)
def test_references_to_secrets_are_right(files: dict[str, str]) -> None:
    """Names of secrets, hashes, and addresses without a password may be in a revision."""
    assert check(routes=ROUTES, **files).errors == ()


def test_names_that_do_not_resolve_are_warnings() -> None:
    """The gateways may know names that this machine does not."""
    checked = check_bundle(bundle(routes="routes:\n- path: /\n  target: http://backend.invalid\n"))
    assert [str(each).split(":")[:2] for each in checked.warnings] == [["routes.yaml", "3"]]
    assert "backend.invalid" in str(checked.warnings[0])


def test_files_that_are_not_read() -> None:
    """A file under a name that no gateway reads gives a warning, and an error if the name is only misspelt."""
    files = Bundle({"routes.yaml": ROUTES.encode(), "auth.yml": b"", "routes.b.yml": b"", "notes.json": b"{}"})
    assert [str(each) for each in check_bundle(files, resolve=False).errors] == [
        "auth.yml: this file is not read; rename it to auth.yaml",
        "routes.b.yml: this file is not read; rename it to routes.b.yaml",
    ]
    assert warnings(routes=ROUTES, other="") == [
        "other.yaml: no gateway reads this file, as none of the others names it"
    ]


@pytest.mark.parametrize(
    "text", ["[", "\0", "a: *b", "&a [*a]", "- " * 5000, "x: !!python/object:os.system {}", "routes: 1"]
)
def test_hostile_yaml(text: str) -> None:
    """Whatever is uploaded, there is a sentence about it."""
    assert errors(routes=text)
