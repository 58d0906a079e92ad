import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from gateway.config.load import load

from .programs import ROOT

FOLDER = ROOT / "deploy/kubernetes"
MANIFESTS = sorted(path.name for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")


def read(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text())


@pytest.fixture
def pod() -> Any:
    return read("deployment.yaml")["spec"]["template"]["spec"]


@pytest.mark.parametrize("version", ["1.30", "1.37"])
@pytest.mark.parametrize("name", MANIFESTS)
def test_kubernetes_knows_every_key(name: str, version: str) -> None:
    """Each manifest holds against the strict schema of an old and of a new Kubernetes."""
    assert kubernetes_validate.validate(read(name), version, strict=True) == version


def test_the_kustomization_names_every_manifest() -> None:
    """`kubectl apply -k` applies all of the folder."""
    assert sorted(read("kustomization.yaml")["resources"]) == MANIFESTS


def test_the_config_map_holds_the_repository_s_own_files(tmp_path: Path) -> None:
    """gateway-config is the three files of the repository's root, unchanged, and they load."""
    data = read("configmap.yaml")["data"]
    assert data == {name: (ROOT / name).read_text() for name in ("routes.yaml", "middleware.yaml", "auth.yaml")}
    for name, text in data.items():
        (tmp_path / name).write_text(text)
    assert load(tmp_path, {}).digest == load(ROOT, {}).digest


def test_prometheus_finds_the_port_of_the_metrics(pod: Any) -> None:
    """The port by the name of `metrics` is the one that the gateway is told to open."""
    (container,) = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert container["args"][container["args"].index("--metrics") + 1] == f"0.0.0.0:{ports['metrics']}"


def test_an_edit_of_the_config_map_reaches_the_pod(pod: Any) -> None:
    """The ConfigMap is mounted as a directory, where the gateway looks for it, and not by subPath."""
    (container,) = pod["containers"]
    volume = {"name": "config", "configMap": {"name": read("configmap.yaml")["metadata"]["name"]}}
    assert volume in pod["volumes"]
    (mount,) = (mount for mount in container["volumeMounts"] if mount["name"] == "config")
    assert "subPath" not in mount
    assert container["args"][container["args"].index("--config") + 1] == mount["mountPath"]


def test_everything_selects_the_pods_of_the_deployment() -> None:
    """Service, PodDisruptionBudget, Deployment and spread all select the labels that the pods carry."""
    deployment = read("deployment.yaml")["spec"]
    (spread,) = deployment["template"]["spec"]["topologySpreadConstraints"]
    labels = deployment["template"]["metadata"]["labels"].items()
    assert read("service.yaml")["spec"]["selector"].items() <= labels
    assert read("poddisruptionbudget.yaml")["spec"]["selector"]["matchLabels"].items() <= labels
    assert deployment["selector"]["matchLabels"].items() <= labels
    assert spread["labelSelector"]["matchLabels"].items() <= labels


def test_the_probes_ask_what_they_are_for(pod: Any) -> None:
    """A pod that drains or has no configuration is taken out of the Service, and not restarted."""
    (container,) = pod["containers"]
    assert container["readinessProbe"]["httpGet"] == {"path": "/health/ready", "port": "http"}
    assert container["livenessProbe"]["httpGet"] == {"path": "/health/live", "port": "http"}
    assert container["startupProbe"]["httpGet"] == {"path": "/health/live", "port": "http"}
    assert read("service.yaml")["spec"]["ports"][0]["targetPort"] == container["ports"][0]["name"] == "http"


def test_a_drain_ends_before_the_pod_is_killed(pod: Any) -> None:
    """The grace period is longer than the drain window and deadline of middleware.yaml together."""
    drain = load(ROOT, {}).middleware.drain
    assert pod["terminationGracePeriodSeconds"] > drain.window + drain.deadline


def test_the_pod_may_do_nothing_that_it_need_not(pod: Any) -> None:
    """The pod holds to the restricted Pod Security Standard, with a read-only root file system."""
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"requests", "limits"} <= container["resources"].keys()


def test_the_image_is_of_this_version(pod: Any) -> None:
    """The Deployment names the image of the version that this checkout is."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (container,) = pod["containers"]
    assert container["image"].rpartition(":")[2] == project["version"]
