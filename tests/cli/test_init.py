"""`gateway init`: the first files of a configuration."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.cli.new_files import write_new
from gateway.config.load import load
from tests.cli.support import gateway

PETS: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Pets", "version": "1"},
    "servers": [{"url": "https://{region}.pets.test/api/v3", "variables": {"region": {"default": "eu"}}}],
    "security": [{"key": []}],
    "components": {
        "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Pets-Key"}},
        "pathItems": {"Stores": {"servers": [{"url": "https://stores.test"}], "get": {"responses": {}}}},
    },
    "paths": {
        "/pets": {"get": {"summary": "List # all: pets\n", "security": []}, "post": {"responses": {200: {}}}},
        "/pets/{pet-id}": {"get": {}, "head": {}, "delete": {}, "parameters": []},
        "/pets/{pet-id}/photo.{format}": {"put": {}},
        "/stores": {"$ref": "#/components/pathItems/Stores"},
        "/a*b ${c}": {"get": {}},
        "/odd/{a}{b}": {"get": {}},
        "/nothing": {"parameters": []},
        "x-internal": {"get": {}},
    },
}


def test_what_it_writes_is_served_as_it_is(tmp_path: Path) -> None:
    """One backend gets everything, with its own prefix before the path; the files are right as they are."""
    directory = tmp_path / "new"
    ended = gateway("init", "--backend", "localhost:3000/app/", config=directory)
    assert ended.returncode == 0, ended.stderr
    assert "wrote routes.yaml, middleware.yaml, auth.yaml in " in ended.stdout
    assert gateway("check", config=directory).stdout == "ok, 0 warnings\n"
    asked = json.loads(gateway("explain", "GET", "/api/x?y=1", "--json", config=directory).stdout)
    assert (asked["outcome"], asked["sent"], asked["endpoints"]) == ("forwarded", "/app/api/x", ["localhost:3000"])


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """Where one of the files is there, none is written."""
    (tmp_path / "auth.yaml").write_text("mine")
    ended = gateway("init", config=tmp_path)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("error: already there: auth.yaml. Nothing was written")
    assert [path.name for path in tmp_path.iterdir()] == ["auth.yaml"]
    assert (tmp_path / "auth.yaml").read_text() == "mine"


def test_a_name_with_spaces_can_be_copied(tmp_path: Path) -> None:
    """What it says to do next works in a shell."""
    directory = tmp_path / "my new gateway"
    assert f"next: gateway serve --config '{directory}', and" in gateway("init", config=directory).stdout


@pytest.mark.parametrize("path", ["/a b", "/{x}", "/*", "//x", "/ü"])
def test_a_backend_whose_path_is_none_is_refused(tmp_path: Path, path: str) -> None:
    """By the option that it came with, and not by a line of a file that there is not."""
    ended = gateway("init", "--backend", f"http://localhost:3000{path}", config=tmp_path)
    assert ended.returncode == 2
    assert "--backend: its path is plain text, with single slashes; write %20 for a space" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_all_files_or_none(tmp_path: Path) -> None:
    """Where one cannot be written, as on a full disk, those before it are not left: they would stop a second try."""
    with pytest.raises(FileNotFoundError):
        write_new(tmp_path, {"routes.yaml": "a", "missing/auth.yaml": "b"})
    assert list(tmp_path.iterdir()) == []


def test_all_that_is_commented_out_holds(tmp_path: Path) -> None:
    """Removing a # gives a valid key: here all of them at once."""
    assert gateway("init", config=tmp_path).returncode == 0
    for name in ("routes", "middleware", "auth"):
        path = tmp_path / f"{name}.yaml"
        path.write_text(re.sub(r"^( *)#(?=[-a-z]|  )", r"\1", path.read_text(), flags=re.MULTILINE))
    configuration = load(tmp_path, {})
    assert len(configuration.routes.routes) == 2
    assert configuration.middleware.rate_limits
    assert configuration.auth.consumers
    assert gateway("check", config=tmp_path).returncode == 0


@pytest.mark.parametrize("kind", ["json", "yaml"])
def test_a_description_becomes_routes(tmp_path: Path, kind: str) -> None:
    """A route for each path, with its methods, to the server of the description; what cannot be one is named."""
    description = tmp_path / f"openapi.{kind}"
    description.write_text(json.dumps(PETS) if kind == "json" else yaml.safe_dump(PETS, sort_keys=False))
    directory = tmp_path / "new"
    ended = gateway("init", "--from", str(description), config=directory)
    assert ended.returncode == 0, ended.stderr
    routes = load(directory, {}).routes.routes
    assert [(route.path, route.methods) for route in routes] == [
        ("/api/v3/pets", ("GET",)),
        ("/api/v3/pets", ("POST",)),
        ("/api/v3/pets/{pet_id}", ("GET", "DELETE")),
        ("/api/v3/pets/{pet_id}/photo.{format}", ("PUT",)),
        ("/api/v3/stores", ("GET",)),
        ("/api/v3/a%2Ab%20${c}", ("GET",)),
    ]
    assert {route.target for route in routes} == {"https://eu.pets.test"}
    assert [line.partition(":")[2].partition(":")[0].strip() for line in ended.stdout.splitlines()[1:4]] == [
        "/stores",
        "/odd/{a}{b}",
        "/nothing",
    ]
    assert "List # all: pets" in (directory / "routes.yaml").read_text()
    assert "X-Pets-Key" in (directory / "auth.yaml").read_text()
    asked = json.loads(gateway("explain", "GET", "/api/v3/pets/7", "--json", config=directory).stdout)
    assert asked["sent"] == "/api/v3/pets/7"


def test_what_demands_a_credential_is_closed(tmp_path: Path) -> None:
    """Until the operator has said who may call it: an open route would be the wrong default. The rest of a path is
    open, and what asks for a credential without demanding it."""
    paths = {
        "/pets": {"get": {"security": []}, "post": {}},
        "/free": {"get": {"security": [{}, {"key": []}]}},
        "/all": {"get": {}, "delete": {}},
    }
    (tmp_path / "pets.json").write_text(json.dumps(PETS | {"paths": paths}))
    ended = gateway("init", "--from", str(tmp_path / "pets.json"), config=tmp_path / "new")
    assert ended.returncode == 0, ended.stderr
    assert "4 routes to https://eu.pets.test; 2 of them refuse every request, because the description" in ended.stdout
    closed = [route for route in load(tmp_path / "new", {}).routes.routes if route.authorize]
    assert [(route.path, route.methods) for route in closed] == [
        ("/api/v3/pets", ("POST",)),
        ("/api/v3/all", ("GET", "DELETE")),
    ]
    refused = json.loads(gateway("explain", "POST", "/api/v3/pets", "--json", config=tmp_path / "new").stdout)
    assert "left the route closed" in str(refused)
    warned = gateway("check", config=tmp_path / "new").stderr
    assert f"without access rules, which refuse every request: {closed[0].id}, {closed[1].id}; " in warned


def test_a_backend_takes_the_place_of_the_server(tmp_path: Path) -> None:
    """--backend says where it runs; an older description, and one without a host, will do."""
    older = {"swagger": "2.0", "basePath": "/v1", "paths": {"/x/{id}": {"get": {}}}}
    (tmp_path / "old.json").write_text(json.dumps(older))
    command = ["init", "--from", str(tmp_path / "old.json")]
    ended = gateway(*command, config=tmp_path / "new")
    assert ended.returncode == 1
    assert "names no server with a host; say where it runs with --backend" in ended.stderr
    assert gateway(*command, "--backend", "http://127.0.0.1:3000/app", config=tmp_path / "new").returncode == 0
    asked = json.loads(gateway("explain", "GET", "/v1/x/7", "--json", config=tmp_path / "new").stdout)
    assert (asked["sent"], asked["endpoints"]) == ("/app/v1/x/7", ["127.0.0.1:3000"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "neither JSON nor YAML"),
        ("[]", "no OpenAPI description"),
        ("a: 1", "no OpenAPI description"),
        ('{"openapi": "3.0.0", "paths": {}}', "no path that could be a route"),
    ],
)
def test_a_file_that_is_not_a_description_is_reported(tmp_path: Path, text: str, said: str) -> None:
    """With its file and the reason; nothing is written."""
    (tmp_path / "it").write_text(text)
    ended = gateway("init", "--from", str(tmp_path / "it"), config=tmp_path / "new")
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: {tmp_path / 'it'}: ")
    assert said in ended.stderr
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("backend", ["ftp://x", "http://", "http://a b", "http://a:99999", "http://u:p@a"])
def test_an_invalid_backend_url_is_reported(tmp_path: Path, backend: str) -> None:
    """A matter of usage: exit code 2, and nothing is written."""
    ended = gateway("init", "--backend", backend, config=tmp_path / "new")
    assert ended.returncode == 2, ended.stdout
    assert "--backend" in ended.stderr
    assert not (tmp_path / "new").exists()


def test_a_gateway_for_models_begins_with_four_files(tmp_path: Path) -> None:
    """Only known callers get in, as it is written and with all that is commented out; no backend is needed."""
    ended = gateway("init", "--models", config=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "wrote routes.yaml, middleware.yaml, auth.yaml, models.yaml in " in ended.stdout
    assert gateway("check", config=tmp_path).stdout == "ok, 0 warnings\n"
    configuration = load(tmp_path, {})
    assert configuration.auth.default == ("keys",)
    assert [route.target for route in configuration.routes.routes] == ["models"]
    for name in ("middleware", "auth", "models"):
        path = tmp_path / f"{name}.yaml"
        path.write_text(re.sub(r"^( *)#(?=[-a-z]|  )", r"\1", path.read_text(), flags=re.MULTILINE))
    models = load(tmp_path, {}).models
    assert models is not None
    assert list(models.providers) == ["openai", "anthropic", "local"]
    assert models.model_routing.default == "fast"
    assert models.budgets["per-consumer"].limits
    assert gateway("check", config=tmp_path).returncode == 0
    assert gateway("init", "--models", "--backend", "http://a", config=tmp_path / "new").returncode == 2
