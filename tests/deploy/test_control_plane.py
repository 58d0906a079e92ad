"""What is shipped to run a control plane: Compose, Kubernetes, nginx, an image."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from packaging.utils import canonicalize_name

from gateway.config.load import load
from gateway.config.secrets import KnownSecrets
from gateway.control_plane.recognising import read_auth
from gateway.control_plane.settings.file import ControlPlaneFile
from gateway.control_plane.settings.reading import read_settings

from .programs import ROOT, require
from .test_image import locked
from .test_kubernetes import built, one

COMPOSE = ROOT / "deploy/compose"
FOLDER = ROOT / "deploy/kubernetes/control-plane"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@pytest.fixture
def compose() -> Any:
    return yaml.safe_load((COMPOSE / "compose.yaml").read_text())


def _settings(directory: Path) -> ControlPlaneFile:
    """What a directory's files say; both of them load."""
    read_auth((directory / "auth.yaml").read_bytes(), directory, {}, KnownSecrets(), set())
    return read_settings(directory, {"GATEWAY_STATE": "/var/lib/gateway"}, KnownSecrets())


def _with_secrets(directory: Path, text: str, secrets: Path) -> str:
    """The text of a file, with the files of secrets in another place, where they are made."""
    for path in re.findall(r"/run/secrets/[\w/-]+", text):
        (secrets / Path(path).name).write_text("secret-of-these-tests-only")
        text = text.replace(path, str(secrets / Path(path).name))
    return text


def test_compose_knows_every_key(compose: Any) -> None:
    """The file holds against the schema of Compose, and so would none with another key."""
    schema = json.loads((Path(__file__).parent / "data/compose-spec.json").read_text())
    jsonschema.validate(compose, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**compose, "services": {"control-plane": {"imagee": "x"}}}, schema)


def test_what_compose_names_is_there(compose: Any) -> None:
    """Directories that are mounted, volumes, secrets, services that are waited for, and images of this version."""
    services = compose["services"]
    for service in services.values():
        for mounted in service.get("volumes", ()):
            source = mounted.split(":")[0]
            assert source in compose["volumes"] or (COMPOSE / source).is_dir(), mounted
        assert set(service.get("secrets", ())) <= set(compose["secrets"])
        assert set(service.get("depends_on", ())) <= set(services)
        if service["image"].startswith("flowmaster/"):
            assert service["image"].endswith(f":{VERSION}")
            assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    for waited in (each for service in services.values() for each in service.get("depends_on", ())):
        assert services[waited].get("healthcheck") is not None
    assert all(port.startswith("127.0.0.1:") for port in services["control-plane"]["ports"])


def test_the_files_of_compose_can_be_served(tmp_path: Path) -> None:
    """Those of the control plane with its database and its admin, and those of the gateway that joins it."""
    control, gateway = tmp_path / "control", tmp_path / "gateway"
    for name in ("control", "gateway"):
        shutil.copytree(COMPOSE / name, tmp_path / name)
    for file in (*control.iterdir(), *gateway.iterdir()):
        file.write_text(_with_secrets(file.parent, file.read_text(), tmp_path))
    settings = _settings(control)
    assert settings.database is not None
    assert settings.database.get_secret_value() == "postgresql://control:secret-of-these-tests-only@database/control"
    assert [grant.role for grant in settings.roles] == ["admin"]
    joined = load(gateway, {}).middleware.control_plane
    assert joined is not None
    assert joined.url == "http://control-plane:9010"


def test_secrets_are_made_once(tmp_path: Path) -> None:
    """A second run changes none of them; other users of the machine cannot read them."""
    shutil.copy(COMPOSE / "secrets.sh", tmp_path)
    script = [str(tmp_path / "secrets.sh")]
    first = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    again = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    key = (tmp_path / "secrets/admin-key").read_text()
    assert first == again == f"sign in to http://127.0.0.1:9010/ with: {key}\n"
    assert len(key) > 40
    assert (tmp_path / "secrets").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("version", ["1.30", "1.37"])
@pytest.mark.parametrize("resource", built(FOLDER), ids=lambda each: each["kind"])
def test_kubernetes_knows_every_key(resource: Any, version: str) -> None:
    """Each manifest holds against the strict schema of an old and of a new Kubernetes."""
    assert kubernetes_validate.validate(resource, version, strict=True) == version


def test_the_manifests_fit_together() -> None:
    """The kustomization names all of them; service, policies and spread select the pods; the probes ask their port."""
    named = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    assert sorted(named) == sorted(path.name for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")
    deployment = one(FOLDER, "Deployment", "control-plane")["spec"]
    labels = deployment["template"]["metadata"]["labels"].items()
    assert deployment["selector"]["matchLabels"].items() <= labels
    service = one(FOLDER, "Service", "control-plane")["spec"]
    assert service["selector"].items() <= labels
    for kind, key in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        assert one(FOLDER, kind, "control-plane")["spec"][key]["matchLabels"].items() <= labels
    (container,) = deployment["template"]["spec"]["containers"]
    (port,) = container["ports"]
    arguments = container["args"]
    assert str(port["containerPort"]) == arguments[arguments.index("--port") + 1]
    assert service["ports"][0]["targetPort"] == port["name"]
    assert {container[probe]["httpGet"]["port"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")} == {
        "http"
    }
    assert container["image"] == f"flowmaster/control-plane:{VERSION}"
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert deployment["replicas"] > one(FOLDER, "PodDisruptionBudget", "control-plane")["spec"]["minAvailable"]


def test_what_the_config_map_says_can_be_served_with_the_secret(tmp_path: Path) -> None:
    """Each file that it names is one that the Secret is mounted with, and none of them is in the ConfigMap."""
    pod = one(FOLDER, "Deployment", "control-plane")["spec"]["template"]["spec"]
    secret = one(FOLDER, "Secret", "control-plane")["stringData"]
    (volume,) = (each["secret"] for each in pod["volumes"] if "secret" in each)
    mounted = {item["path"]: secret[item["key"]] for item in volume["items"]}
    (variable,) = pod["containers"][0]["env"]
    assert variable["valueFrom"]["secretKeyRef"]["key"] in secret
    for name, text in one(FOLDER, "ConfigMap", "control-plane-config")["data"].items():
        (tmp_path / name).write_text(text.replace("/run/secrets/control-plane", str(tmp_path)))
    for name, text in mounted.items():
        (tmp_path / name).write_text(text)
    settings = _settings(tmp_path)
    assert settings.database is not None
    assert settings.database.get_secret_value() == secret["database-url"]


def test_nginx_accepts_its_file(tmp_path: Path) -> None:
    """`nginx -t` has nothing to say against it."""
    text = (ROOT / "deploy/nginx/control-plane.conf").read_text()
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=control.example"]
    files = ["-keyout", str(tmp_path / "privkey.pem"), "-out", str(tmp_path / "fullchain.pem")]
    subprocess.run([*command, *files], capture_output=True, check=True)
    (tmp_path / "control-plane.conf").write_text(text.replace("/etc/nginx/tls", str(tmp_path)).replace("443", "8443"))
    main = f"pid {tmp_path}/nginx.pid; events {{}} http {{ access_log off; include {tmp_path}/control-plane.conf; }}"
    (tmp_path / "nginx.conf").write_text(main)
    checked = subprocess.run(
        [require("nginx"), "-e", "stderr", "-t", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert "[warn]" not in checked.stderr


def test_all_that_the_image_adds_has_a_hash() -> None:
    """Locked to the version of constraints.txt; what the gateway's image has is the same here."""
    found, base = locked("control-plane-requirements.txt"), locked("requirements.txt")
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins: dict[str, str] = {
        canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)
    }
    assert {name: version for name, (version, _) in base.items()} == {name: found[name][0] for name in base}
    assert {"fastapi", "sqlalchemy", "alembic", "asyncpg", "psycopg", "aiosqlite"} <= found.keys()
    for name, (version, hashes) in found.items():
        assert (version, hashes > 0) == (pins[name], True), name


def test_the_image_is_made_of_the_gateway_s_and_needs_no_root() -> None:
    """It copies the file of hashes, and nothing else is let through; pip checks them."""
    text = (ROOT / "deploy/control-plane.Dockerfile").read_text()
    assert f"ARG GATEWAY_IMAGE=flowmaster/gateway:{VERSION}" in text
    allowed = (ROOT / "deploy/control-plane.Dockerfile.dockerignore").read_text().splitlines()[1:]
    assert allowed == ["*", "!deploy/control-plane-requirements.txt"]
    assert re.findall(r"^COPY (\S+)", text, re.MULTILINE) == ["deploy/control-plane-requirements.txt"]
    assert '"--require-hashes"' in text
    assert re.findall(r"^USER (\S+)", text, re.MULTILINE)[-1] == "10001:10001"
