"""Calls all seventeen operations by a client that was made of the document: `URL TOKEN URL-OF-A-GATEWAY`."""

from __future__ import annotations

import sys

from generated_client import AuthenticatedClient
from generated_client.api.environments import (
    create_environment,
    delete_environment,
    get_environment,
    list_environments,
    update_environment,
)
from generated_client.api.gateways import (
    delete_gateway,
    get_gateway,
    list_gateways,
    register_gateway,
    update_gateway,
)
from generated_client.api.mappings import (
    list_environments_of_gateway,
    list_gateways_of_environment,
    map_gateway,
    unmap_gateway,
)
from generated_client.api.observing import get_gateway_health, get_gateway_metrics, list_deployments
from generated_client.models import (
    EnvironmentChange,
    GatewayRequest,
    GatewayRequestAdapterconfig,
    GatewayRequestGatewaytype,
    GatewayUpdate,
    NewEnvironment,
    ProblemDocument,
)


def main(url: str, token: str, gateway_url: str) -> None:
    """Every answer must be of the model that the document names for it."""
    with AuthenticatedClient(base_url=url, token=token) as client:
        production, staging = (
            create_environment.sync(client=client, body=NewEnvironment(name=name, display_name=name.title()))
            for name in ("production", "staging")
        )
        taken = create_environment.sync(client=client, body=NewEnvironment(name="staging", display_name="x"))
        assert isinstance(taken, ProblemDocument)
        assert taken.status == 409
        assert list_environments.sync(client=client).total == 2
        change = EnvironmentChange(display_name="Live", description="What customers see.")
        assert update_environment.sync(production.uuid, client=client, body=change).name == "production"
        assert get_environment.sync(production.uuid, client=client).description == "What customers see."

        config = GatewayRequestAdapterconfig.from_dict(
            {"controlPlaneUrl": gateway_url, "credentials": {"username": "admin", "password": "admin"}}
        )
        request = GatewayRequest(
            name="prod-gateway-1",
            display_name="Production Gateway 1",
            gateway_type=GatewayRequestGatewaytype.EGRESS,
            environment_ids=[production.uuid],
            adapter_config=config,
        )
        made = register_gateway.sync(client=client, body=request)
        assert made.status == "ACTIVE", made
        assert [each.uuid for each in list_gateways.sync(client=client, environment="production").gateways] == [
            made.uuid
        ]
        assert get_gateway.sync(made.uuid, client=client).endpoint == gateway_url
        assert update_gateway.sync(made.uuid, client=client, body=GatewayUpdate(display_name="One")).uuid == made.uuid
        assert map_gateway.sync(made.uuid, staging.uuid, client=client).environment_id == staging.uuid
        assert list_environments_of_gateway.sync(made.uuid, client=client).total == 2
        assert list_gateways_of_environment.sync(staging.uuid, client=client).total == 1
        assert get_gateway_health.sync(made.uuid, client=client).gateway_id == made.uuid
        assert get_gateway_metrics.sync(made.uuid, client=client).request_rate is None
        assert list_deployments.sync(made.uuid, client=client).total == 0
        for environment in (production, staging):
            assert unmap_gateway.sync_detailed(made.uuid, environment.uuid, client=client).status_code == 204
        assert delete_gateway.sync_detailed(made.uuid, client=client).status_code == 204
        for environment in (production, staging):
            assert delete_environment.sync_detailed(environment.uuid, client=client).status_code == 204
    print("all seventeen")


if __name__ == "__main__":
    main(*sys.argv[1:])
