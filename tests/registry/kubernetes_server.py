"""A real API server of Kubernetes 1.20, which `make kubernetes-test` builds once, on a real etcd."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.etcd_server import EtcdServer
from tests.support import free_port, until

PROGRAM = Path(os.environ.get("KUBE_APISERVER") or Path.home() / ".cache/flowmaster-gateway/kube-apiserver-1.20.2")
SLICES = "/apis/discovery.k8s.io/v1beta1/namespaces/default/endpointslices"


@dataclass
class KubernetesServer:
    """An API server with its files in `folder`; `request` asks it as an administrator."""

    folder: Path
    etcd: EtcdServer
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca(self) -> Path:
        return self.folder / "certificates/apiserver.crt"

    def start(self) -> None:
        """Start it, for the first time or again, and wait until it is ready."""
        if not PROGRAM.exists():
            pytest.skip(f"there is no {PROGRAM} (make kubernetes-test builds it)")
        if not (self.folder / "sa.key").exists():
            self._prepare()
        options = {
            "etcd-servers": self.etcd.url,
            "bind-address": "127.0.0.1",
            "secure-port": self.port,
            "insecure-port": 0,
            "cert-dir": self.folder / "certificates",
            "token-auth-file": self.folder / "tokens.csv",
            "authorization-mode": "RBAC",
            "service-account-issuer": "https://tests",
            "service-account-signing-key-file": self.folder / "sa.key",
            "service-account-key-file": self.folder / "sa.pub",
            "service-cluster-ip-range": "10.96.0.0/24",
            "disable-admission-plugins": "ServiceAccount",
            "feature-gates": "EndpointSliceTerminatingCondition=true",
        }
        with (self.folder / "log").open("ab") as log:
            arguments = [f"--{name}={value}" for name, value in options.items()]
            self.process = subprocess.Popen([PROGRAM, *arguments], stdout=log, stderr=log)
        until(self._is_ready, 60, f"the API server is not ready; see {self.folder / 'log'}")

    def _prepare(self) -> None:
        key = generate_private_key(65537, 2048)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (self.folder / "sa.key").write_bytes(private)
        (self.folder / "sa.pub").write_bytes(public)
        (self.folder / "tokens.csv").write_text('administrator,admin,1,"system:masters"\n')

    def _is_ready(self) -> bool:
        try:
            return self.request("GET", "/readyz", check=False).status_code == 200 and self._has_namespace()
        except httpx2.TransportError:
            return False

    def _has_namespace(self) -> bool:
        return self.request("GET", "/api/v1/namespaces/default", check=False).status_code == 200

    def request(self, method: str, path: str, body: Any = None, *, check: bool = True) -> httpx2.Response:
        """Ask it something."""
        headers = {"authorization": "Bearer administrator"}
        if method == "PATCH":
            headers["content-type"] = "application/merge-patch+json"
        with httpx2.Client(verify=False, timeout=10) as client:  # it may be waiting for its own certificate
            response = client.request(method, self.url + path, json=body, headers=headers)
        if check:
            response.raise_for_status()
        return response

    def put(self, name: str, *hosts: str, service: str = "web", **conditions: bool) -> None:
        """A slice of a service, new or in place of the one that is there."""
        endpoints = [{"addresses": [host], "conditions": conditions or {"ready": True}} for host in hosts]
        content: Mapping[str, Any] = {
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": [{"name": "http", "port": 8080}],
        }
        if self.request("PATCH", f"{SLICES}/{name}", content, check=False).status_code == 404:
            self.request("POST", SLICES, content)

    def delete(self, name: str) -> None:
        """A slice."""
        self.request("DELETE", f"{SLICES}/{name}")

    def token_of(self, account: str) -> str:
        """A token for a service account, which is made for it."""
        accounts = "/api/v1/namespaces/default/serviceaccounts"
        self.request("POST", accounts, {"metadata": {"name": account}}, check=False)
        asked = self.request("POST", f"{accounts}/{account}/token", {"spec": {"expirationSeconds": 600}})
        return str(asked.json()["status"]["token"])

    def allow(self, account: str) -> None:
        """Let a service account read EndpointSlices."""
        group = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
        rule = {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]}
        self.request("POST", f"{group}/roles", {"metadata": {"name": account}, "rules": [rule]})
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account}
        subject = {"kind": "ServiceAccount", "name": account, "namespace": "default"}
        binding = {"metadata": {"name": account}, "roleRef": role, "subjects": [subject]}
        self.request("POST", f"{group}/rolebindings", binding)

    def stop(self) -> None:
        """End it, and wait for that."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def running_kubernetes(folder: Path) -> Iterator[KubernetesServer]:
    """An API server with an etcd of its own, ended afterwards."""
    etcd = EtcdServer(folder)
    server = KubernetesServer(folder, etcd)
    try:
        if PROGRAM.exists():
            etcd.start()
        server.start()
        yield server
    finally:
        server.stop()
        etcd.kill()
