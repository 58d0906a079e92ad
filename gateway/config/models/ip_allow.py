"""middleware.yaml: clients that may come, by address."""

from functools import cached_property

from pydantic import Field

from gateway.algorithms.networks import NetworkMap
from gateway.config.models.policy import Policy
from gateway.config.values import addresses
from gateway.config.values.kinds import SomeOf


class IpAllow(Policy):
    """Clients that may come, by address; all others are a 403. Where several lists are for one route, a client must be
    in each of them. The address is that of the client behind `trusted_proxies` (auth.yaml)."""

    networks: SomeOf[addresses.Network] = Field(
        description="Networks (CIDR) or addresses.", examples=[["10.0.0.0/8", "2001:db8::/32"]]
    )

    @cached_property
    def known(self) -> NetworkMap[None]:
        """The networks as requests look them up: one map for all routes."""
        return NetworkMap((network, None) for network in self.networks)
