"""Settings of balancing without effect, or with an unexpected one."""

from collections.abc import Iterator

from gateway.config.models import Configuration
from gateway.config.problems import Fault


def warnings(configuration: Configuration) -> Iterator[Fault]:
    """One cookie for two services, what has no effect together, and services that get nothing."""
    own = configuration.middleware.zones.own
    cookies: dict[str, str] = {}
    for name, service in configuration.routes.services.items():
        sticky, hashed = service.balance.sticky, service.balance.consistent_hash is not None
        if sticky is not None and cookies.setdefault(sticky.cookie, name) != name:
            message = (
                f"{cookies[sticky.cookie]} has this cookie, too, and each overwrites the other's; use another name"
            )
            yield Fault(("services", name, "balance", "sticky", "cookie"), message)
        if hashed and service.slow_start:
            message = (
                "it has no effect with consistent_hash, where the key says which endpoint it is; remove one of them"
            )
            yield Fault(("services", name, "slow_start"), message)
        zoned = next((index for index, each in enumerate(service.endpoints) if each.zone), None)
        if zoned is not None and (hashed or not own):
            reason = "with consistent_hash" if hashed else "without zones.own in middleware.yaml; add that"
            yield Fault(("services", name, "endpoints", zoned, "zone"), f"zones make no difference {reason}")
        if service.endpoints and not any(each.weight for each in service.endpoints):
            message = "all have weight 0, so that new requests are refused (503); give one of them a weight"
            yield Fault(("services", name, "endpoints"), message)


def twice(configuration: Configuration) -> Iterator[Fault]:
    """Addresses that stand more than once among the endpoints of a service, each where it does so first."""
    for name, service in configuration.routes.services.items():
        weights: dict[str, list[int]] = {}
        for index, each in enumerate(service.endpoints):
            before = weights.setdefault(each.address, [])
            before.append(each.weight)
            if len(before) == 2:
                message = (
                    f"{each.address} stands here more than once: it is one endpoint, whose weights are added up "
                    f"({' + '.join(map(str, before))}); remove one of them, or write the sum as its weight"
                )
                yield Fault(("services", name, "endpoints", index), message)
