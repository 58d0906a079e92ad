"""`gateway register`: keeps an instance registered that does not do so itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gateway.seconds_option import Seconds

if TYPE_CHECKING:
    from gateway.upstream.member import Address


@click.command()
@click.option("--service", required=True, help="The NAME in `discovery: {redis: NAME}`.")
@click.option("--address", required=True, metavar="HOST:PORT", help="Where the instance is.")
@click.option("--weight", default=1, show_default=True, type=click.IntRange(0, 1000), help="Its share of the requests.")
@click.option("--zone", default="", help="Where it is.")
@click.option("--redis", envvar="GATEWAY_REDIS", default="redis://127.0.0.1:6379/0", show_default=True, metavar="URL")
@click.option("--prefix", default="gateway:", show_default=True, help="The `redis.prefix` of middleware.yaml.")
@click.option("--ttl", default=10.0, show_default=True, type=Seconds(1.0, 3600.0), help="Seconds until it is late.")
def register(service: str, address: str, weight: int, zone: str, redis: str, prefix: str, ttl: float) -> None:
    """Register an instance in Redis, and keep it alive until this command ends.

    SIGTERM and SIGINT take it out of the registry.
    """
    import signal  # noqa: PLC0415  the other commands start faster without these
    import threading  # noqa: PLC0415

    from gateway.registry.client import Registration  # noqa: PLC0415
    from gateway.registry.instances import parse_instance  # noqa: PLC0415

    more = {"weight": weight, **({"zone": zone} if zone else {})}
    try:
        instance = parse_instance({"address": address, **more})
        registration = Registration(service, address, redis=redis, prefix=prefix, seconds=ttl, **more)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if reason := _refusal(service, instance.address, redis, prefix):
        raise click.ClickException(reason)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with registration:
        click.echo(f"registering {address} as an instance of {service}, until this ends")
        ended.wait()


def _refusal(service: str, address: Address, redis: str, prefix: str) -> str:
    """Why no gateway would use the instance; empty where it would, or where Redis does not say."""
    from ipaddress import ip_network  # noqa: PLC0415

    from redis import Redis, RedisError  # noqa: PLC0415

    from gateway.registry.allowed import OUTSIDE, PUBLISHED, AllowedNetworks  # noqa: PLC0415

    try:
        with Redis.from_url(redis, socket_timeout=2, socket_connect_timeout=2) as client:
            said = client.hget(f"{prefix}{PUBLISHED}", service)
        networks = (
            AllowedNetworks(ip_network(text) for text in said.decode().split(",")) if said else AllowedNetworks(())
        )
    except (RedisError, ValueError):
        return ""  # the registration waits for Redis, and the gateway is the one that decides
    why = networks.why_not(address)
    if why != OUTSIDE:
        return "" if why is None else f"{address} of {service} is {why}"
    remedy = "register it by an IP address there, or add its network in routes.yaml"
    return f"{address} is outside of allowed_networks ({networks}) of {service}; {remedy}"
