"""The API server of Kubernetes, which is asked for the endpoints of a service."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from gateway.config.models.base import Model
from gateway.config.values.addresses import HttpUrl
from gateway.config.values.kinds import Kind, Text, TextLike, Unset, refuse

Label = Annotated[
    str,
    TextLike(
        "name",
        "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?",
        "a name in Kubernetes is small letters, digits and hyphens, up to 63",
    ),
]


def _port(value: object) -> object:
    whole = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535
    if not whole and not (isinstance(value, str) and value):
        raise refuse("a port is a whole number from 1 to 65535, or the name that the service gives it")
    return value


class Kubernetes(Model):
    """The endpoints of a service, which Kubernetes keeps in EndpointSlices (1.17 or newer).

    In a pod, the API server is found and trusted as Kubernetes says there. The service account needs a Role that
    allows get, list and watch of endpointslices (API group discovery.k8s.io) in the namespace.
    """

    namespace: Label = Field(description="Where the service is.")
    service: Label = Field(description="Its name.")
    port: Unset[
        Annotated[int | str, Kind("port, or its name"), BeforeValidator(_port, json_schema_input_type=int | str)]
    ] = Field(
        None,
        description="The port of its pods, by name, or the number at which they listen (`targetPort`). Unset: its only "
        "one.",
    )
    url: Unset[HttpUrl] = Field(
        None, description="The API server. Unset: the one of the cluster in which the gateway runs."
    )
    token_file: Unset[Text] = Field(
        None,
        description="A file with its token, which is read again every minute. Unset: that of the pod, unless "
        "`url` is set.",
    )
    ca: Unset[Text] = Field(
        None,
        description="File with the certificates to trust (PEM), relative to the configuration directory. Unset: that "
        "of the pod; with `url`, those of the system.",
    )
