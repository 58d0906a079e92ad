import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml

from gateway.check import compiled
from gateway.config.checks import WARNINGS, run
from gateway.config.load import Configuration, load
from gateway.roles import ALL, parse_roles

from .programs import ROOT

FOLDER = ROOT / "deploy/kubernetes/base"
OVERLAYS = sorted(path.parent for path in (ROOT / "deploy/kubernetes/overlays").glob("*/kustomization.yaml"))
MANIFESTS = sorted(path.name for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")
FOREIGN = {"Gateway", "HTTPRoute", "ServiceMonitor"}
"""Kinds of custom resources, which no schema of Kubernetes itself has."""


SECRETS = "/run/secrets/gateway"


def built(directory: Path) -> list[Any]:
    """What `kubectl kustomize` makes, as far as these folders use it: resources, and JSON patches (RFC 6902) with `add`
    and `replace`. So the test needs no program that not every machine has."""
    kustomization = yaml.safe_load((directory / "kustomization.yaml").read_text())
    assert kustomization.keys() <= {"apiVersion", "kind", "resources", "patches"}
    found: list[Any] = []
    for name in kustomization["resources"]:
        path = directory / name
        found += built(path) if path.is_dir() else [yaml.safe_load(path.read_text())]
    for patch in kustomization.get("patches", ()):
        (target,) = (each for each in found if patch["target"] == {"kind": each["kind"], "name": _name(each)})
        for operation in yaml.safe_load((directory / patch["path"]).read_text()):
            _change(target, operation)
    return found


def _name(resource: Any) -> str:
    name: str = resource["metadata"]["name"]
    return name


def _change(resource: Any, operation: Any) -> None:
    *way, last = operation["path"].removeprefix("/").split("/")
    for step in way:
        resource = resource[int(step) if isinstance(resource, list) else step]
    if last == "-":
        resource.append(operation["value"])
    else:
        assert (last in resource) == (operation["op"] == "replace"), operation
        resource[last] = operation["value"]


def one(directory: Path, kind: str, name: str = "api-gateway") -> Any:
    (found,) = (each for each in built(directory) if (each["kind"], _name(each)) == (kind, name))
    return found


def loaded(directory: Path, path: Path, **environment: str) -> Configuration:
    """The files of the overlay's ConfigMap, loaded, with those of its Secrets beside them in place of a mount."""
    for secret in (each for each in built(directory) if each["kind"] == "Secret"):
        for name, text in secret["stringData"].items():
            (path / name).write_text(text)
    for name, text in one(directory, "ConfigMap", "gateway-config")["data"].items():
        (path / name).write_text(text.replace(SECRETS, str(path)))
    return load(path, environment)


def overlay(name: str) -> Path:
    return ROOT / "deploy/kubernetes/overlays" / name


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


@pytest.mark.parametrize("directory", OVERLAYS, ids=lambda path: path.name)
def test_an_overlay_is_whole(directory: Path, tmp_path: Path) -> None:
    """Each overlay uses all of its files, every resource holds against the schema of Kubernetes, no two have one name,
    and what its ConfigMap says can be served, and is nothing that `gateway check` warns of."""
    kustomization = yaml.safe_load((directory / "kustomization.yaml").read_text())
    used = {*kustomization["resources"], *(patch["path"] for patch in kustomization.get("patches", ()))}
    assert used - {"../../base", "../shared"} == {path.name for path in directory.iterdir()} - {"kustomization.yaml"}
    resources = built(directory)
    names = [(each["kind"], _name(each)) for each in resources]
    assert len(set(names)) == len(names)
    for each in resources:
        if each["kind"] not in FOREIGN:
            assert kubernetes_validate.validate(each, "1.37", strict=True) == "1.37"
    configuration = loaded(directory, tmp_path)
    compiled(configuration)
    assert not list(run(WARNINGS, configuration, "warning"))


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on this machine")
@pytest.mark.parametrize("directory", [ROOT / "deploy/kubernetes", *OVERLAYS], ids=lambda path: path.name)
def test_kubectl_makes_the_same(directory: Path) -> None:
    """What the tests read of an overlay is what `kubectl kustomize` makes of it."""
    made = subprocess.run(["kubectl", "kustomize", directory], capture_output=True, text=True, check=True).stdout
    by_name = {(each["kind"], _name(each)): each for each in yaml.safe_load_all(made)}
    assert by_name == {(each["kind"], _name(each)): each for each in built(directory)}


@pytest.mark.parametrize("name", ["ingress", "gateway-api"])
def test_the_proxy_in_front_is_trusted(name: str, tmp_path: Path) -> None:
    """An overlay with a proxy in front adds the network of its pods to what loopback there is."""
    networks = {str(network) for network in loaded(overlay(name), tmp_path).auth.trusted_proxies}
    assert {"127.0.0.0/8", "10.244.0.0/16"} < networks


def test_requests_get_from_the_ingress_to_the_gateway() -> None:
    """Ingress and HTTPRoute name the Service, and a port that it has; the HTTPRoute belongs to the Gateway."""
    service = one(FOLDER, "Service")["spec"]["ports"]
    (rule,) = one(overlay("ingress"), "Ingress")["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert path["backend"]["service"] == {"name": "api-gateway", "port": {"name": service[0]["name"]}}
    route = one(overlay("gateway-api"), "HTTPRoute")["spec"]
    assert route["rules"][0]["backendRefs"] == [{"name": "api-gateway", "port": service[0]["port"]}]
    gateway = one(overlay("gateway-api"), "Gateway")
    assert route["parentRefs"] == [{"name": _name(gateway)}]
    assert route["hostnames"] == [gateway["spec"]["listeners"][0]["hostname"]]


def test_prometheus_asks_each_pod() -> None:
    """The ServiceMonitor selects a headless Service, whose port is that of the pods which the network policy opens."""
    service = one(overlay("prometheus"), "Service", "api-gateway-metrics")
    monitor = one(overlay("prometheus"), "ServiceMonitor")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["spec"]["clusterIP"] == "None"
    assert [each["port"] for each in monitor["endpoints"]] == [each["name"] for each in service["spec"]["ports"]]
    template = one(FOLDER, "Deployment")["spec"]["template"]
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    ports = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
    assert service["spec"]["ports"][0]["targetPort"] in ports
    opened = {port["port"] for rule in one(FOLDER, "NetworkPolicy")["spec"]["ingress"] for port in rule["ports"]}
    assert opened == ports


def test_the_policy_and_the_scaler_are_for_the_deployment() -> None:
    """The HPA scales the Deployment, which says no number itself, to two pods at least; the policy selects its pods."""
    deployment, scaler = one(FOLDER, "Deployment"), one(FOLDER, "HorizontalPodAutoscaler")["spec"]
    assert "replicas" not in deployment["spec"]
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": _name(deployment)}
    assert scaler["minReplicas"] > one(FOLDER, "PodDisruptionBudget")["spec"]["minAvailable"]
    selected = one(FOLDER, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"]
    assert selected.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


def test_shared_limits_are_counted_in_the_redis_of_the_overlay(tmp_path: Path) -> None:
    """Two pods together allow what middleware.yaml says, and not twice as much: the Redis that is named is there."""
    redis = loaded(overlay("shared"), tmp_path).middleware.redis
    assert redis is not None
    url = urlsplit(redis.url.get_secret_value())
    service = one(overlay("shared"), "Service", str(url.hostname))["spec"]
    assert url.port == service["ports"][0]["port"]
    pods = one(overlay("shared"), "Deployment", "gateway-redis")["spec"]["template"]
    assert service["selector"].items() <= pods["metadata"]["labels"].items()


@pytest.mark.parametrize("name", ["shared", "roles"])
def test_limits_of_several_pods_are_counted_together_and_refuse_none_yet(name: str, tmp_path: Path) -> None:
    """Whoever adds a Redis shares the rate limit of base, and gets no other one: behind an ingress that is not trusted,
    all callers are one address."""
    shared = loaded(overlay(name), tmp_path).middleware.rate_limits["per-client"]
    base = load(ROOT, {}).middleware.rate_limits["per-client"]
    assert shared == base.model_copy(update={"store": "redis"})
    assert base.mode == "shadow"


def test_the_pod_may_read_the_endpoints_of_services() -> None:
    """The account of the pod is bound to a role that allows what the source asks for, and nothing else."""
    directory = overlay("discovery")
    role, binding = (one(directory, kind, "api-gateway-discovery") for kind in ("Role", "RoleBinding"))
    rule = {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]}
    assert role["rules"] == [rule]
    assert binding["roleRef"]["name"] == _name(role)
    pod = one(directory, "Deployment")["spec"]["template"]["spec"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": pod["serviceAccountName"]}]
    assert pod["automountServiceAccountToken"] is True


def test_the_page_about_discovery_has_the_account_of_the_overlay() -> None:
    """Its RoleBinding, for services of another namespace, names the account that the pods have."""
    page = (ROOT / "docs/backends.md").read_text().partition("\n### Kubernetes\n")[2].partition("\n### ")[0]
    assert "(../deploy/kubernetes/overlays/discovery)" in page
    account = one(overlay("discovery"), "Deployment")["spec"]["template"]["spec"]["serviceAccountName"]
    assert f"kind: ServiceAccount, name: {account}," in page


def test_the_two_deployments_have_all_roles_together(tmp_path: Path) -> None:
    """Routers, and one that discovers and watches, over the Redis that is there; the Service leads to routers."""
    router, other = (one(overlay("roles"), "Deployment", name) for name in ("api-gateway", "gateway-discovery"))
    roles = [args[-1].removeprefix("--roles=") for args in map(_arguments, (router, other))]
    assert {role for each in roles for role in parse_roles(each)} == ALL
    assert loaded(overlay("roles"), tmp_path).middleware.bus == "redis"
    selector = one(overlay("roles"), "Service")["spec"]["selector"]
    assert selector.items() <= router["spec"]["template"]["metadata"]["labels"].items()
    assert not selector.items() <= other["spec"]["template"]["metadata"]["labels"].items()
    (container,) = other["spec"]["template"]["spec"]["containers"]
    assert container["image"] == router["spec"]["template"]["spec"]["containers"][0]["image"]


def _arguments(deployment: Any) -> list[str]:
    arguments: list[str] = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    return arguments


def test_keys_come_from_a_secret() -> None:
    """Each file that a consumer's key names is one of the Secret, mounted where the file is looked for."""
    directory = overlay("keys")
    secret, pod = one(directory, "Secret", "gateway-keys"), one(directory, "Deployment")["spec"]["template"]["spec"]
    (volume,) = (each for each in pod["volumes"] if each.get("secret", {}).get("secretName") == _name(secret))
    (mount,) = (each for each in pod["containers"][0]["volumeMounts"] if each["name"] == volume["name"])
    auth = yaml.safe_load(one(directory, "ConfigMap", "gateway-config")["data"]["auth.yaml"])
    named = [key["file"] for each in auth["consumers"] for key in each["keys"]]
    assert named == [f"{mount['mountPath']}/{key}" for key in secret["stringData"]]
    assert mount["mountPath"] == SECRETS
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]


def test_every_route_needs_one_of_the_keys(tmp_path: Path) -> None:
    """Whoever applies the overlay has an API that no one calls without a key."""
    configuration = loaded(overlay("keys"), tmp_path)
    assert configuration.routes.routes
    for route in configuration.routes.routes:
        names = configuration.auth.default if route.auth is None else route.auth
        assert [configuration.auth.schemes[name].kind for name in names] == ["api_key"]


def test_the_config_map_holds_the_repository_s_own_files(tmp_path: Path) -> None:
    """gateway-config is the three files of the repository's root, unchanged, and they load."""
    data = read("configmap.yaml")["data"]
    assert data == {name: (ROOT / name).read_text() for name in ("routes.yaml", "middleware.yaml", "auth.yaml")}
    for name, text in data.items():
        (tmp_path / name).write_text(text)
    assert load(tmp_path, {}).digest == load(ROOT, {}).digest


def test_prometheus_finds_the_port_of_the_metrics(pod: Any) -> None:
    """The port by the name of `metrics` is the one in the options of the gateway."""
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
